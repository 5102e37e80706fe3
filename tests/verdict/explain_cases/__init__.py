"""Texts as people paste them, each with what it shows. All are printed here from states: no report is copied.

``dumps`` prints states in QEMU's layouts, ``damage`` does to them what mail, terminals and people do, the other modules
hold the cases. Each says the most that its text supports: verdict, confidence, and the state of each vCPU.
"""

from __future__ import annotations

from tests.verdict.explain_cases import bringup, copies, foreign, running, stopped, unnumbered
from tests.verdict.explain_cases.case import Case

CASES: tuple[Case, ...] = (
    *bringup.CASES,
    *running.CASES,
    *stopped.CASES,
    *foreign.CASES,
    *copies.CASES,
    *unnumbered.CASES,
)

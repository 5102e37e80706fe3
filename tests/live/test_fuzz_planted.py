"""Faults that were planted into a real QEMU are found, each within a minute, and shown again by a replay."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.fuzz.findings import Findings
from qstress.fuzz.generator import Settings
from qstress.fuzz.recording import Recording, signature
from qstress.fuzz.reduce import Reducer
from qstress.fuzz.replay import Replays
from qstress.fuzz.session import Session, Shrunk, Subject
from tests.fuzz.conftest import planted
from tests.fuzz.guests import ARGUMENTS, QEMU, bench, plant

__all__ = ["planted"]
pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]


@pytest.mark.parametrize(
    ("fault", "command", "title"),
    [
        ("crash", "query-name", "crash: SIGSEGV at query-name"),
        ("stall", "query-name", "no reply to query-name: the main loop is blocked"),
        ("leak", "balloon", "balloon leaks memory"),
        ("leakfd", "balloon", "balloon leaks descriptors"),
        ("twice", "query-name", "query-name: two replies to one command"),
        ("type", "query-name", "query-name: reply breaks the schema: value is int, not object"),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, planted: str, fault: str, command: str, title: str) -> None:
    env = plant(planted, f"{fault}:{command}")
    told = replace(bench(env), reply_s=3.0)
    quick = replace(told, reply_s=1.0)

    def shrink(recording: Recording) -> Shrunk:
        if signature(recording.kind, recording.title) != signature(recording.kind, title):
            return Shrunk(recording, 0, 0, recording.title, ())  # QEMU's own, which is not what is looked for
        return Reducer(Replays(quick).shows, budget_s=30.0).reduce(recording)

    def stop(line: str) -> None:
        made.stopping = any(finding.title == title for finding in made.findings.all)

    findings = Findings(tmp_path / "findings", (), "")
    settings = Settings(commands=300, weights={"quit": 0})
    made = Session(
        Subject(QEMU, "", (ARGUMENTS,), env),
        settings,
        told,
        findings,
        tmp_path,
        seed=os.getpid(),
        shrink=shrink,
        say=stop,
    )
    made.run(duration_s=50.0, guests=None)
    found = findings.find(title)
    assert found is not None, [finding.title for finding in findings.all]
    assert found.shown == found.tried == 5
    assert found.commands <= 5 or fault.startswith("leak")

"""What ``report.html`` is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qstress.config.settings import Settings
from qstress.report.standing import Standing
from qstress.report.summary import RunFacts
from qstress.report.trace import Trace
from qstress.stats.tally import Tally


@dataclass(frozen=True, slots=True)
class Shown:
    """One run as values. ``builds`` is that of ``run.json``: by name, with the provenance of those that have one.

    ``duration_s`` is how long its sessions ran together, ``host_log`` what ``summary.json`` says of the host's kernel
    log (empty: nothing). ``pictures`` and ``stories`` hold the ``timeline.svg`` and the ``story.txt`` of evidence
    folders that have one, by the folder's name relative to the run.
    """

    facts: RunFacts
    settings: Settings
    tally: Tally
    trace: Trace
    standing: Standing
    builds: Mapping[str, Mapping[str, Any]]
    duration_s: float
    host_log: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
    stories: Mapping[str, str] = field(default_factory=dict)

"""What a trial needs from its surroundings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from qstress.hostlog.findings import LiveTrials
from qstress.model import FindingClass, StormCount, TrialResult
from qstress.observe import usage
from qstress.verdict.limits import Learned


@dataclass(frozen=True, slots=True)
class TrialContext:
    """What a trial needs from its surroundings.

    On which lane it runs, when the run began (monotonic seconds) and what the CPUs had counted then, what the
    interposer adds to QEMU's environment, whether this QEMU has a sandbox, whether anybody wants the evidence of a
    finding, what healthy bring-ups of each cell were like and which classes it has shown so far, who is told what
    kicked a cell's guest, and the trials that are alive, for the host's kernel log.
    """

    lane: int = 0
    run_began_s: float = 0.0
    env: Mapping[str, str] | None = None
    sandbox: bool = True
    since: usage.CpuTimes = field(default_factory=usage.cpu_times)
    learned: dict[int, Learned] = field(default_factory=dict)
    wants_evidence: Callable[[TrialResult], bool] = lambda result: True
    known: set[tuple[int, FindingClass | None]] = field(default_factory=set)
    on_kicks: Callable[[int, StormCount], None] = lambda cell_index, count: None
    live_trials: LiveTrials | None = None

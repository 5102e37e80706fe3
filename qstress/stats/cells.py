"""What a run knows of one cell: its counters, which cost the same after a million trials as after one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from qstress.model import (
    LATENCY_BUCKETS_S,
    Cell,
    CommandCount,
    FindingClass,
    Outcome,
    TrialResult,
    Verdict,
)
from qstress.stats.histogram import Histogram

#: What counts as a hang in a hang rate (interface.md, ``gate``).
HANGS = (Outcome.HANG, Outcome.RESTART)


def class_of(verdict: Verdict) -> FindingClass | None:
    """Return the class of a finding, None for anything else. A finding that nobody classified is never dropped."""
    if not verdict.outcome.finding:
        return None
    return verdict.finding_class or FindingClass.HANG_OTHER


def counts_as(verdict: Verdict, classes: Iterable[FindingClass] | None) -> bool:
    """Whether *verdict* is a finding of one of *classes* (None: of any)."""
    found = class_of(verdict)
    return found is not None and (classes is None or found in classes)


@dataclass(slots=True)
class CommandTally:
    """Sums of :class:`qstress.model.CommandCount` over trials; the rate was asked and held for ``hammered_s``."""

    returned: int = 0
    errors: int = 0
    timeouts: int = 0
    lost: int = 0
    due: int = 0
    hammered_s: float = 0.0

    @property
    def sent(self) -> int:
        """All commands that were sent."""
        return self.returned + self.errors + self.timeouts + self.lost

    def add(self, count: CommandCount) -> None:
        """Add what one trial sent."""
        self.returned += count.returned
        self.errors += count.errors
        self.timeouts += count.timeouts
        self.lost += count.lost
        self.due += count.due
        self.hammered_s += count.hammered_s


@dataclass(slots=True)
class CellTally:
    """The counters of one cell over counted blocks; ``first_hang_s`` is when the first finding came, run time."""

    cell: Cell
    outcomes: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    classes: dict[FindingClass, int] = field(default_factory=lambda: dict.fromkeys(FindingClass, 0))
    rig_reasons: dict[str, int] = field(default_factory=dict)
    commands: dict[str, CommandTally] = field(default_factory=dict)
    hammered_s: float = 0.0  # time under any hammer; several at once count once
    latencies: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS_S) + 1))
    boot: Histogram = field(default_factory=Histogram)
    detection: Histogram = field(default_factory=Histogram)
    first_hang_s: float | None = None
    lost_init_injected: int = 0  # of the lost-init findings, those whose trial had the fault injected
    duty_sum: float = 0.0
    duty_trials: int = 0

    @property
    def duty_cycle(self) -> float | None:
        """The mean duty cycle of the trials that had a window log; None without any."""
        return self.duty_sum / self.duty_trials if self.duty_trials else None

    @property
    def n(self) -> int:
        """The trials of a rate: every one but ``unknown`` and ``rig``."""
        return sum(count for outcome, count in self.outcomes.items() if outcome.counted)

    @property
    def trials(self) -> int:
        """All trials, whatever became of them."""
        return sum(self.outcomes.values())

    @property
    def hangs(self) -> int:
        """Trials that ended as ``hang`` or ``restart``."""
        return sum(self.outcomes[outcome] for outcome in HANGS)

    def found(self, classes: Iterable[FindingClass] | None) -> int:
        """Return the number of findings of *classes* (None: of any)."""
        return sum(self.classes[c] for c in (FindingClass if classes is None else classes))

    @property
    def sent(self) -> int:
        """Commands sent, over all hammers."""
        return sum(command.sent for command in self.commands.values())

    @property
    def due(self) -> int:
        """Commands that the pace asked for, over all hammers."""
        return sum(command.due for command in self.commands.values())

    def add(self, result: TrialResult) -> None:
        """Count one trial."""
        outcome, found = result.verdict.outcome, class_of(result.verdict)
        self.outcomes[outcome] += 1
        if outcome is Outcome.RIG:
            reason = result.rig_reason or "rig"
            self.rig_reasons[reason] = self.rig_reasons.get(reason, 0) + 1
        if found is not None:
            self.classes[found] += 1
            self.lost_init_injected += found is FindingClass.LOST_INIT and result.trial.inject_lost_ap
            at_s = result.started_s + result.duration_s
            self.first_hang_s = at_s if self.first_hang_s is None else min(self.first_hang_s, at_s)
        for count in result.commands:
            self.commands.setdefault(count.command, CommandTally()).add(count)
        self.hammered_s += max((count.hammered_s for count in result.commands), default=0.0)
        for bucket, replies in enumerate(result.latencies):
            self.latencies[bucket] += replies
        if result.duty_cycle is not None:
            self.duty_sum += result.duty_cycle
            self.duty_trials += 1
        if result.boot_s is not None:
            self.boot.add(result.boot_s)
        if result.detection_s is not None:
            self.detection.add(result.detection_s)

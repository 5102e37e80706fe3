"""What a run knows of one cell: its counters, which cost the same after a million trials as after one (where trials
share a process, a few bytes a process-run on top)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from qstress.model import (
    LATENCY_BUCKETS_S,
    Cell,
    CommandCount,
    FindingClass,
    Outcome,
    StormCount,
    TrialResult,
    Verdict,
)
from qstress.stats.clusters import ProcessRuns
from qstress.stats.counts import Counts
from qstress.stats.exposure import Moments
from qstress.stats.histogram import Histogram

#: What counts as a hang in a hang rate (docs/reference.md, "Configuration", ``gate``).
HANGS = (Outcome.HANG, Outcome.RESTART)


def class_of(verdict: Verdict) -> FindingClass | None:
    """Return the class of a finding, None for anything else. A finding that nobody classified is never dropped."""
    if not verdict.outcome.finding:
        return None
    return verdict.finding_class or FindingClass.HANG_OTHER


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
    """The counters of one cell over counted blocks; ``first_hang_s`` is when the first finding came, run time.

    ``runs`` are the process-runs with a counted trial. ``hang_shares`` sums over them what share of their trials hung
    or restarted, ``class_shares`` the same by class: the units of whatever must not trust trials that share a process.
    With one trial a process these are the counts. ``by_run`` is kept only where a process has several.
    """

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
    kicks: StormCount | None = None  # of the guests of this session; None: nobody counted
    lost_init_injected: int = 0  # of the lost-init findings, those whose trial had the fault injected
    duty: Moments = field(default_factory=Moments)  # of the counted trials with a window log, by process-run
    commands_ok: Moments = field(default_factory=Moments)  # sent in a bring-up that ended ok, by process-run
    runs: int = 0
    hang_shares: float = 0.0
    class_shares: dict[FindingClass, float] = field(default_factory=lambda: dict.fromkeys(FindingClass, 0.0))
    by_run: ProcessRuns = field(default_factory=ProcessRuns)

    @property
    def duty_cycle(self) -> float | None:
        """The mean duty cycle of the process-runs that had a window log; None without any."""
        return self.duty.mean if self.duty.count else None

    @property
    def clustered(self) -> bool:
        """Whether trials share a process, so that they are not independent."""
        return self.cell.stratum.shape.process_trials > 1

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

    def counts(self, classes: Iterable[FindingClass] | None) -> Counts:
        """Return what counts for a limit of the rate of *classes*; None: of hangs and restarts, as in a gate."""
        if classes is None:
            return Counts(self.hangs, self.n, self.hang_shares, self.runs)
        asked = tuple(classes)
        shares = min(self.runs, sum(self.class_shares[c] for c in asked))  # rounding must not exceed what there is
        return Counts(self.found(asked), self.n, shares, self.runs)

    @property
    def sent(self) -> int:
        """Commands sent, over all hammers."""
        return sum(command.sent for command in self.commands.values())

    @property
    def due(self) -> int:
        """Commands that the pace asked for, over all hammers."""
        return sum(command.due for command in self.commands.values())

    def add_run(self, block: int, results: Sequence[TrialResult]) -> None:
        """Count one process-run: the trials of this cell in *block*.

        :raises ValueError: it has more trials than a process-run of this cell.
        """
        most = self.cell.stratum.shape.process_trials
        if len(results) > most:
            raise ValueError(f"block {block} has {len(results)} trials of one build; a process-run has {most}")
        for result in results:
            self._add(result)
        counted = [result for result in results if result.verdict.outcome.counted]
        if not counted:
            return
        trials, findings = len(counted), [r.verdict for r in counted if r.verdict.outcome is not Outcome.OK]
        hangs = sum(verdict.outcome in HANGS for verdict in findings)
        found = Counter(of_class for verdict in findings if (of_class := class_of(verdict)) is not None)
        self.runs += 1
        self.hang_shares += hangs / trials
        for of_class, count in found.items():
            self.class_shares[of_class] += count / trials
        if most > 1:
            self.by_run.add(block, trials, hangs, found)
        self._add_exposure(counted)

    def _add_exposure(self, counted: Sequence[TrialResult]) -> None:
        duties = [result.duty_cycle for result in counted if result.duty_cycle is not None]
        if duties:
            self.duty.add(sum(duties) / len(duties))
        sent = [
            sum(count.total for count in result.commands) for result in counted if result.verdict.outcome is Outcome.OK
        ]
        if sent:
            self.commands_ok.add(sum(sent) / len(sent))

    def _add(self, result: TrialResult) -> None:
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
        if result.boot_s is not None:
            self.boot.add(result.boot_s)
        if result.detection_s is not None:
            self.detection.add(result.detection_s)


def both_storms(mine: StormCount, other: StormCount) -> StormCount:
    """Return two counts together; a number that one of them lacks is not known."""
    pairs = ((getattr(mine, name), getattr(other, name)) for name in ("migrations", "write_backs", "exits"))
    sums = (None if a is None or b is None else a + b for a, b in pairs)
    return StormCount(mine.seconds + other.seconds, mine.moves + other.moves, *sums)


def total(cells: Sequence[CellTally], classes: Iterable[FindingClass] | None) -> Counts:
    """Return what counts for a limit of the rate of *classes* (None: of hangs and restarts) over *cells* together."""
    asked = None if classes is None else tuple(classes)
    if len(cells) == 1:
        return cells[0].counts(asked)
    return Counts.total(cell.counts(asked) for cell in cells)

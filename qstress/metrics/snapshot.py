"""A run at one moment, as the plain values that its metrics are made of (pure).

Taken on the event loop, where nothing else changes the tally meanwhile; whoever renders it may do so in a thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

from qstress.config.settings import Settings
from qstress.firmware import tier_of
from qstress.model import LATENCY_BUCKETS_S, Build, FindingClass, Outcome, StormCount, Tier
from qstress.stats.cells import CellTally, total
from qstress.stats.compare import Decision, winner_so_far
from qstress.stats.counts import Counts
from qstress.stats.histogram import Histogram
from qstress.stats.tally import Tally

#: Classes whose trials have an outcome of their own, or are the host's: they are no hangs.
_NO_HANGS = (FindingClass.GUEST_PANIC, FindingClass.MONITOR_STALL, FindingClass.CRASH, FindingClass.HOST_KERNEL)
#: The ``class`` label of ``qstress_hangs_total``: what a trial that ended as ``hang`` or ``restart`` may be.
HANG_CLASSES = tuple(found for found in FindingClass if found not in _NO_HANGS)

#: Upper bounds of the exposed buckets, in seconds. They are right to 2 %, the width of the tally's own buckets.
BOOT_BUCKETS_S = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 20.0, 30.0)
DETECTION_BUCKETS_S = (0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0)

#: The ``reason`` label of ``qstress_rig_errors_total``: every reason that qstress gives; whatever else is ``rig``.
RIG_REASONS = (
    "cache", "cannot-run", "churn", "compile", "control", "disk-full", "emulated-host", "firmware", "fleet", "inject",
    "kernel", "metrics", "no-compiler", "no-dask", "no-kvm", "no-log", "no-monitor", "no-sandbox", "no-worker",
    "not-qemu", "placement", "qemu-missing", "qemu-start", "rig", "spawn", "store",
)  # fmt: skip


class StormKind(StrEnum):
    """What moves and kicks vCPUs: the ``kind`` label of ``qstress_storm_events_total`` (see ``StormCount``)."""

    MOVE = "move"
    MIGRATION = "migration"
    WRITE_BACK = "write-back"
    EXIT = "exit"


class RunVerdict(StrEnum):
    """How a run stands or ended: the ``verdict`` label of ``qstress_run_verdict``."""

    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    INTERRUPTED = "interrupted"
    ERROR = "error"

    @classmethod
    def of(cls, exit_code: int) -> RunVerdict:
        """Return what an exit code of ``qstress soak`` says (docs/reference.md, "Exit codes")."""
        known = {0: cls.PASSED, 1: cls.FAILED, 5: cls.INCONCLUSIVE, 130: cls.INTERRUPTED, 143: cls.INTERRUPTED}
        return known.get(exit_code, cls.ERROR)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a tally does not know. Times are Unix seconds, 0 for what has not happened yet.

    ``kvm`` is vmx, svm, pvm or other (None: no KVM), ``nested`` whether the host itself is a guest, ``rig_reason``
    why the rig ended the run (empty: it did not), ``extended`` whether its stop rule was changed on the way,
    ``emulated`` whether guests run on an emulated host.
    """

    run: str
    kvm: str | None
    nested: bool | None
    running: int
    started_s: float
    last_trial_s: float
    ended_s: float
    verdict: RunVerdict
    rig_reason: str = ""
    extended: bool = False
    emulated: bool = False


@dataclass(frozen=True, slots=True)
class RateCounts:
    """The counted trials of one build at one -smp, summed over machines and hammers; ``hangs`` of ``n`` is the rate.

    ``dispersion`` is the index that widens its interval where trials share processes, None where they do not.
    """

    build: str
    smp: int
    n: int
    hangs: int
    dispersion: float | None
    outcomes: Mapping[Outcome, int]
    classes: Mapping[FindingClass, int]


@dataclass(frozen=True, slots=True)
class BuildCounts:
    """What is counted per build alone. ``commands`` has (returned, errors, timeouts, lost) by command.

    ``replies``, ``boots`` and ``detections`` are cumulative, one count for each upper bound and one for all. ``storm``
    has, by kind, how many there were in how many seconds of guests in which they were counted.
    """

    build: Build
    tier: Tier
    commands: Mapping[str, tuple[int, int, int, int]]
    replies: tuple[int, ...]
    boots: tuple[int, ...]
    detections: tuple[int, ...]
    storm: Mapping[StormKind, tuple[int, float]]


@dataclass(frozen=True, slots=True)
class PairEvidence:
    """log10 of the evidence that the candidate is better than the baseline, and that it is worse, and what follows."""

    baseline: str
    candidate: str
    better_log10: float
    worse_log10: float
    winner: Decision | None


@dataclass(frozen=True, slots=True)
class GateCounts:
    """What ``gate.max_hang_rate`` looks at: the highest rate that passes, and the counts of each cell of the build as
    planned.

    ``every_look``: the run may stop by what it sees (:func:`qstress.stats.counts.above`).
    """

    build: str
    limit: float
    cells: tuple[Counts, ...]
    every_look: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment. ``evidence_needed_log10`` is what decides any comparison, None without one."""

    config: str
    accel: str
    lanes: int
    progress: Progress
    rates: tuple[RateCounts, ...]
    builds: tuple[BuildCounts, ...]
    rig_errors: Mapping[str, int]
    evidence: tuple[PairEvidence, ...]
    evidence_needed_log10: float | None
    gate: GateCounts | None


def snapshot(settings: Settings, tally: Tally, progress: Progress) -> Snapshot:
    """Return the run of *settings* as it stands."""
    groups: dict[tuple[str, int], list[CellTally]] = {}
    for cell in tally.cells:
        groups.setdefault((cell.cell.build.name, cell.cell.stratum.shape.smp), []).append(cell)
    return Snapshot(
        config=settings.name,
        accel=settings.strata[0].shape.accel.value,
        lanes=settings.lanes,
        progress=progress,
        rates=tuple(_rate_counts(*group, cells, tally) for group, cells in groups.items()),
        builds=tuple(_build_counts(build, tally.build(build.name)) for build in settings.builds),
        rig_errors=_rig_errors(tally.cells, progress.rig_reason),
        evidence=_evidence(settings, tally),
        evidence_needed_log10=_evidence_needed_log10(settings),
        gate=_gate_counts(settings, tally, every_look=settings.stop_decided or progress.extended),
    )


def _rate_counts(build: str, smp: int, cells: Sequence[CellTally], tally: Tally) -> RateCounts:
    return RateCounts(
        build=build,
        smp=smp,
        n=sum(cell.n for cell in cells),
        hangs=sum(cell.hangs for cell in cells),
        dispersion=tally.hang_dispersion(cells),
        outcomes={outcome: sum(cell.outcomes[outcome] for cell in cells) for outcome in Outcome},
        classes={found: sum(cell.classes[found] for cell in cells) for found in HANG_CLASSES},
    )


def _build_counts(build: Build, cells: Sequence[CellTally]) -> BuildCounts:
    sent = {hammer.command: (0, 0, 0, 0) for cell in cells for hammer in cell.cell.stratum.hammers}
    for cell in cells:
        for command, tally in cell.commands.items():
            returned, errors, timeouts, lost = sent.get(command, (0, 0, 0, 0))
            sent[command] = (
                returned + tally.returned, errors + tally.errors, timeouts + tally.timeouts, lost + tally.lost
            )  # fmt: skip
    replies = [sum(cell.latencies[bucket] for cell in cells) for bucket in range(len(LATENCY_BUCKETS_S) + 1)]
    return BuildCounts(
        build=build,
        tier=tier_of(cells[0].cell),
        commands=sent,
        replies=tuple(accumulate(replies)),
        boots=_cumulative(cells, lambda cell: cell.boot, BOOT_BUCKETS_S),
        detections=_cumulative(cells, lambda cell: cell.detection, DETECTION_BUCKETS_S),
        storm=_storm([cell.kicks for cell in cells if cell.kicks is not None]),
    )


def _storm(counts: Sequence[StormCount]) -> dict[StormKind, tuple[int, float]]:
    """Add up by kind; a guest of which a number is not known has no part in that kind's seconds either."""
    numbers: dict[StormKind, Callable[[StormCount], int | None]] = {
        StormKind.MOVE: lambda count: count.moves,
        StormKind.MIGRATION: lambda count: count.migrations,
        StormKind.WRITE_BACK: lambda count: count.write_backs,
        StormKind.EXIT: lambda count: count.exits,
    }
    return {
        kind: (sum(of(count) or 0 for count in counts), sum(count.seconds for count in counts if of(count) is not None))
        for kind, of in numbers.items()
    }


def _cumulative(
    cells: Iterable[CellTally], of: Callable[[CellTally], Histogram], bounds_s: Sequence[float]
) -> tuple[int, ...]:
    each = [(*of(cell).at_most(bounds_s), of(cell).count) for cell in cells]
    return tuple(map(sum, zip(*each, strict=True)))


def _rig_errors(cells: Iterable[CellTally], ended_by: str) -> dict[str, int]:
    counts = dict.fromkeys(RIG_REASONS, 0)
    for cell in cells:
        for reason, count in cell.rig_reasons.items():
            counts[reason if reason in counts else "rig"] += count
    if ended_by:
        counts[ended_by if ended_by in counts else "rig"] += 1
    return counts


def _evidence(settings: Settings, tally: Tally) -> tuple[PairEvidence, ...]:
    if settings.compare is None:
        return ()
    alpha = settings.compare.alpha
    return tuple(
        PairEvidence(*pair, *tally.evidence_log10(*pair), winner_so_far(tally, *pair, alpha)) for pair in tally.pairs
    )


def _evidence_needed_log10(settings: Settings) -> float | None:
    """Return what is enough for each candidate, also for the first of several to be decided (Holm)."""
    compare = settings.compare
    return None if compare is None else math.log10(len(compare.candidates) / compare.alpha)


def _gate_counts(settings: Settings, tally: Tally, *, every_look: bool) -> GateCounts | None:
    gate = settings.gate
    if gate is None or gate.max_hang_rate is None:
        return None
    counts = tuple(total(cells, gate.classes) for cells in tally.by_plan(gate.build))
    return GateCounts(gate.build, gate.max_hang_rate, counts, every_look)

"""Plans and results made up for the tests of statistics and reports."""

from __future__ import annotations

from collections.abc import Sequence

from qstress.model import (
    Accel,
    Build,
    Cell,
    FindingClass,
    HammerSpec,
    Host,
    Outcome,
    Rate,
    Shape,
    Stratum,
    Trial,
    TrialResult,
    Verdict,
)
from qstress.stats.tally import Tally

HAMMER = HammerSpec("info registers -a", "hmp", Rate(0.002, "every 2ms"))
OLD, NEW = Host("old", "6.1.0"), Host("new", "6.12.0")
OK = Verdict(Outcome.OK, "all vCPUs came up")
LOST = Verdict(Outcome.HANG, "AP 2 never left its reset vector", FindingClass.LOST_INIT, "lost-init:1/4")
REPLAYED = Verdict(Outcome.RESTART, "an AP ran the firmware", FindingClass.REPLAYED_INIT, "replayed-init:banner")
CRASH = Verdict(Outcome.CRASH, "QEMU died of SIGSEGV", FindingClass.CRASH, "crash:11")
RIG = Verdict(Outcome.RIG, "QEMU refused its arguments")
UNKNOWN = Verdict(Outcome.UNKNOWN, "stopped by the user")


def build(name: str, **more: object) -> Build:
    """A build of that name; what is under test never looks at its binary."""
    return Build(name, "/bin/qemu", "7.2.22", "ab" * 32, **more)  # type: ignore[arg-type]


def cells(*builds: Build, smp: Sequence[int] = (4,), accel: Accel = Accel.KVM, process_trials: int = 1) -> list[Cell]:
    """Every build at every smp, builds varying fastest, as a plan has them."""
    restart = "process" if process_trials == 1 else "reset"
    shapes = [Shape(n, "pc", accel, 32 << 20, "seabios", (), "none", restart, process_trials) for n in smp]
    return [Cell(b, Stratum(shape, (HAMMER,))) for shape in shapes for b in builds]


def result(tally: Tally, cell: int, verdict: Verdict = OK, number: int = 0, **more: object) -> TrialResult:
    """A result of cell number *cell*, in the next block of *tally*; 1 s long, begun at second *number*."""
    injected = bool(more.pop("injected", False))
    trial = Trial(number, tally.blocks, cell, tally.cells[cell].cell, 7, injected)
    return TrialResult(trial, verdict, float(number), 1.0, **more)  # type: ignore[arg-type]


def feed(tally: Tally, a: Sequence[Verdict], b: Sequence[Verdict], first_cell: int = 0, **more: object) -> None:
    """Add one block for each pair of verdicts: of cell *first_cell* and of the next one."""
    for of_a, of_b in zip(a, b, strict=True):
        number = 2 * tally.blocks
        pair = [
            result(tally, first_cell, of_a, number, **more),
            result(tally, first_cell + 1, of_b, number + 1, **more),
        ]
        tally.add_block(pair, {r.trial.number: f"evidence/{r.trial.number}" for r in pair})


def feed_runs(
    tally: Tally, a: Sequence[Sequence[Verdict]], b: Sequence[Sequence[Verdict]], first_cell: int = 0, **more: object
) -> None:
    """Add one block for each pair of process-runs: of cell *first_cell* and of the next one."""
    for of_a, of_b in zip(a, b, strict=True):
        number = 1000 * tally.blocks
        results = [result(tally, first_cell, verdict, number + i, **more) for i, verdict in enumerate(of_a)]
        results += [result(tally, first_cell + 1, verdict, number + 500 + i, **more) for i, verdict in enumerate(of_b)]
        tally.add_block(results)


def verdicts(k: int, n: int, found: Verdict = LOST) -> list[Verdict]:
    """*k* findings spread evenly over *n* trials."""
    return [found if (i + 1) * k // n > i * k // n else OK for i in range(n)]

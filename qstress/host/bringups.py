"""Bring-ups in a series on one QEMU, hammered, and how many of them lost or replayed an INIT."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from qstress.errors import RigError
from qstress.firmware.smpscan import SETTLE_S, SMPSCAN
from qstress.interposer import build as interposer
from qstress.model import Accel, Build, Cell, FindingClass, HammerSpec, Outcome, Rate, Shape, Stratum, Trial
from qstress.trial.context import Coordinator, EvidenceQuota, FinishedTrial, TrialContext
from qstress.trial.process_run import run_process

DUMPS = HammerSpec("info registers -a", "hmp", Rate(None, "max"))


@dataclass(frozen=True, slots=True)
class BringupCount:
    """*n* bring-ups that came to an end; so many of them lost, or replayed, an INIT."""

    lost: int
    replayed: int
    n: int


class _Counting(Coordinator):
    def __init__(self) -> None:
        self.classes: Counter[FindingClass | None] = Counter()
        self.valid = 0
        self.failed: RigError | None = None

    def take(self, finished: Sequence[FinishedTrial]) -> bool:
        for result in (each.result for each in finished):
            self.valid += result.verdict.outcome.counted
            self.classes[result.verdict.finding_class] += 1
            if result.verdict.outcome is Outcome.RIG:
                self.failed = RigError(result.verdict.title, reason=result.rig_reason)
        return self.failed is None


async def settled_bringups(
    build: Build, bringups: int, *, machine: str = "pc", smp: int = 2, hammer: HammerSpec | None = DUMPS, sandbox: bool
) -> BringupCount:
    """Return what becomes of *bringups* under KVM, reset in place, in which the boot CPU waits before it sends INIT, so
    that the hammer has its pace by then (docs/background/cure-and-survey.md, "What to weigh").

    :param hammer: None: nothing is sent.

    :raises RigError: not one came to an end: the guest cannot be run here.
    """
    shape = Shape(smp, machine, Accel.KVM, 32 << 20, SMPSCAN.name, restart="reset", process_trials=bringups,
                  settle_s=SETTLE_S)  # fmt: skip
    cell = Cell(build, Stratum(shape, (hammer,) if hammer else ()))
    context = TrialContext(env=interposer.environment(build), sandbox=sandbox, evidence=EvidenceQuota(0))
    counting = _Counting()
    await run_process([Trial(number, 0, 0, cell, number) for number in range(bringups)], context, counting)
    if counting.failed is not None and not counting.valid:
        raise counting.failed
    seen = counting.classes
    return BringupCount(seen[FindingClass.LOST_INIT], seen[FindingClass.REPLAYED_INIT], counting.valid)

"""Kinds with nobody's fault but QEMU's: hammered KVM guests, whose real races the interposer's window log proves.

The log sees each vCPU being read and written back, so it is a witness that looks at no console and no register dump.
It also gives a spinning boot CPU its class (``verdict.causes``), so what is compared here is the whole answer: every
race that the log proves is named, and no other is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from qstress.interposer import build as interposer
from qstress.interposer.windows import causal_line
from qstress.model import Accel, FindingClass, Outcome, TrialResult
from qstress.trial.process_run import run_process
from tests.live.rig import HAMMER, bring_up, pretending
from tools.accuracy.kind import Batch, Booking, Kind, Load
from tools.accuracy.table import HEALTHY, Truth

_BUILD = pretending()
_OUTCOMES = frozenset({Outcome.HANG, Outcome.RESTART})


def truth_by(lines: Iterable[str]) -> Truth:
    """Return what may be said of a bring-up whose log has these causal lines (``windows.causal_line``)."""
    replays = ["with latched_init=1, then" in line for line in lines]
    if not replays:
        return HEALTHY
    races = [FindingClass.REPLAYED_INIT if replay else FindingClass.LOST_INIT for replay in replays]
    return Truth(_OUTCOMES, frozenset(races))


async def _by_process(batch: Batch, *, firmware: str, placement: str) -> None:
    trial = batch.trial(Accel.KVM, 4, build=_BUILD, hammers=(HAMMER,), firmware=firmware, placement=placement)
    brought = await bring_up(trial, batch.context)
    lines: list[str | None] = []
    if brought.bringup is not None and brought.log is not None:
        zero_ns = brought.bringup.watch.zero_ns
        lines = [causal_line(brought.log, vcpu, zero_ns) for vcpu in (1, 2, 3)]
    batch.book(truth_by(filter(None, lines)), brought.verdict, brought.result.detection_s)


async def _in_place(batch: Batch) -> None:
    """Here the log is read for findings only, and what it shows is among their reasons."""
    first = batch.trial(
        Accel.KVM, 4, build=_BUILD, hammers=(HAMMER,), firmware="smpscan", restart="reset", process_trials=batch.many
    )

    def book(result: TrialResult) -> None:
        true = truth_by(reason for reason in result.verdict.because if reason.startswith("AP "))
        batch.book(true, result.verdict, result.detection_s)

    await run_process(batch.trials(first, batch.many), batch.context, Booking(book))


def _kind(what: str, trials: int, work: Callable[[Batch], Awaitable[None]], *, batch: int = 1) -> Kind:
    return Kind(
        f"raced or not, as the log proves, {what}, kvm -smp 4", trials, work, Accel.KVM, "hammered KVM", batch=batch,
        load=Load.NEVER, env=lambda: interposer.environment(_BUILD),
    )  # fmt: skip


#: Races are a share of these trials: half with the boot CPU alone, some per cent of the others.
RACED = [
    _kind("SeaBIOS", 150, partial(_by_process, firmware="seabios", placement="bsp-alone")),
    _kind("smpscan", 500, partial(_by_process, firmware="smpscan", placement="none")),
    _kind("smpscan in place", 10_000, _in_place, batch=500),
]

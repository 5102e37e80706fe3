"""Kinds with nobody's fault but QEMU's: hammered KVM guests, whose real races the interposer's window log proves.

The log sees each vCPU being read and written back, so it is a witness that looks at no console and no register dump.
It also gives a spinning boot CPU its class (``verdict.causes``), so what is compared here is the whole answer: every
race that the log proves is named, and no other is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from qstress.errors import RigError, rig_error_in
from qstress.interposer import build as interposer
from qstress.interposer.windows import causal_line
from qstress.model import Accel, Evidence, FindingClass, Outcome, TrialResult
from qstress.trial.bringup import Bringup
from qstress.trial.process_run import run_process
from qstress.trial.result import result_of
from tests.live.rig import HAMMER, pretending
from tools.accuracy.kind import Batch, Kind, Load
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
    bringup = Bringup(trial, batch.bench)
    try:
        await bringup.run()
    except* RigError as group:
        bringup.fail(rig_error_in(group))
    log = bringup.recorded
    lines = [causal_line(log, vcpu, bringup.zero_ns) for vcpu in (1, 2, 3)] if log is not None else []
    batch.book(truth_by(filter(None, lines)), bringup.verdict, result_of(bringup).detection_s)


async def _in_place(batch: Batch) -> None:
    """Here the log is read for findings only, and what it shows is among their reasons."""
    first = batch.trial(
        Accel.KVM, 4, build=_BUILD, hammers=(HAMMER,), firmware="smpscan", restart="reset", process_trials=batch.many
    )

    def deliver(results: Sequence[tuple[TrialResult, Evidence | None]]) -> bool:
        for result, _ in results:
            true = truth_by(reason for reason in result.verdict.because if reason.startswith("AP "))
            batch.book(true, result.verdict, result.detection_s)
        return True

    await run_process(batch.trials(first, batch.many), batch.bench, deliver)


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

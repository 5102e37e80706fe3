"""Kinds of OVMF, under TCG: healthy boots, and an AP lost in the first round, in a later one, late, or replayed."""

from __future__ import annotations

from functools import partial

from qstress.errors import ConfigError
from qstress.firmware import OVMF
from qstress.firmware.base import ApFault
from qstress.firmware.ovmf import LEAST_MEMORY_BYTES
from qstress.firmware.pflash import find_pflash
from qstress.model import Accel, FindingClass, Outcome
from qstress.trial.process_run import run_trial
from tests.live.rig import stock
from tools.accuracy.kind import Batch, Kind
from tools.accuracy.table import HEALTHY, LOST_INIT, Truth, truth


def _pair() -> tuple[tuple[str, str], str]:
    """This host's images, and why there are none."""
    try:
        return find_pflash(), ""
    except ConfigError as error:
        return ("", ""), str(error)


PAIR, MISSING = _pair()
_LATER = truth(Outcome.HANG, FindingClass.LOST_INIT, "later-round")
_REPLAY = truth(Outcome.RESTART, FindingClass.REPLAYED_INIT)


async def _boot(batch: Batch, *, smp: int, true: Truth, fault: ApFault | None = None) -> None:
    build = stock() if fault is None else stock(lost_ap_share=1.0, fault=fault.value)
    trial = batch.trial(
        Accel.TCG, smp, build=build, lost_ap=fault is not None, firmware=OVMF.name, pflash=PAIR, machine="q35",
        memory_bytes=LEAST_MEMORY_BYTES,
    )  # fmt: skip
    result = (await run_trial(trial, batch.context)).result
    batch.book(true, result.verdict, result.detection_s)


#: One that is woken late is healthy: nothing may be found.
BOOTED = [
    Kind(
        f"{name}, OVMF, tcg -smp {smp}", trials, partial(_boot, smp=smp, true=true, fault=fault), Accel.TCG, "OVMF",
        lanes_loaded=2, fault="" if true is HEALTHY else f"OVMF: {fault}", impossible=MISSING,
    )
    for name, smp, trials, fault, true in (
        ("healthy", 4, 500, None, HEALTHY),
        ("healthy, an AP woken late", 4, 100, ApFault.WOKEN_LATE, HEALTHY),
        ("lost AP in round 1", 4, 100, ApFault.NEVER_WOKEN, LOST_INIT),
        ("lost AP in a later round", 4, 100, ApFault.LATER_ROUND, _LATER),
        ("replayed INIT", 4, 100, ApFault.REPLAYED, _REPLAY),
    )
]  # fmt: skip

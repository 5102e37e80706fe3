"""Kinds of Linux guests under TCG: healthy, a CPU missing with and without a word of the kernel, a panic, a reset."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qstress.firmware.base import ApFault
from qstress.firmware.kernels import guest_kernel
from qstress.model import Accel, FindingClass, LinuxGuest, Outcome
from qstress.trial.process_run import run_trial
from tests.live.rig import stock, why_no_kernel
from tools.accuracy.kind import COMPUTING, Batch, Kind, Load
from tools.accuracy.table import HEALTHY, Truth, truth

_GROUP = "Linux"
_MISSING = truth(Outcome.HANG, FindingClass.MISSING_CPU)


async def _boot(
    batch: Batch, *, true: Truth, smp: int = 4, firmware: str = "seabios", append: str = "",
    fault: ApFault | None = None,
) -> None:  # fmt: skip
    kernel, release = guest_kernel("auto", Path("/"))
    trial = batch.trial(
        Accel.TCG, smp, firmware=firmware, linux=LinuxGuest(str(kernel), release, append), args=("-m", "256M"),
        lost_ap=fault is not None, build=stock(fault=(fault or ApFault.NEVER_WOKEN).value),
    )  # fmt: skip
    result = (await run_trial(trial, batch.context)).result
    batch.book(true, result.verdict, result.detection_s)


LINUX = [
    Kind(
        name, trials, partial(_boot, true=true, **more), Accel.TCG, _GROUP, lanes=COMPUTING, load=load, fault=said,
        impossible=why_no_kernel(),
    )
    for name, trials, true, said, load, more in (
        ("healthy, Linux, tcg -smp 4", 250, HEALTHY, "", Load.SHARE, {}),
        ("healthy, Linux behind qboot, tcg -smp 4", 100, HEALTHY, "", Load.SHARE, {"firmware": "qboot"}),
        ("healthy, Linux, always loaded, tcg -smp 4", 250, HEALTHY, "", Load.ALWAYS, {}),
        ("a CPU that the kernel leaves out, tcg -smp 4", 100, _MISSING, "a CPU missing", Load.SHARE,
         {"fault": ApFault.NEVER_WOKEN}),
        ("a CPU that does not come, tcg -smp 4", 100, _MISSING, "a CPU missing", Load.SHARE,
         {"fault": ApFault.LATER_ROUND}),
        ("a kernel that panics, tcg -smp 4", 100, truth(Outcome.GUEST_PANIC, FindingClass.GUEST_PANIC),
         "a kernel's panic or reset", Load.SHARE, {"append": "qstress_fault=panic"}),
        ("a kernel that resets, tcg -smp 4", 100, truth(Outcome.RESTART, FindingClass.REPLAYED_INIT),
         "a kernel's panic or reset", Load.SHARE, {"append": "qstress_fault=reset"}),
    )
]  # fmt: skip

"""Kinds that need a process each: SeaBIOS, healthy or with a lost AP, and firmware that hangs or resets by design."""

from __future__ import annotations

import os
from functools import cache, partial

from qstress.model import Accel, FindingClass, Outcome
from qstress.trial.process_run import run_trial
from tools.accuracy.kind import COMPUTING, Batch, Kind, Load, lanes
from tools.accuracy.roms import Doing, Saying, rom
from tools.accuracy.table import HEALTHY, LOST_INIT, Truth, truth


async def _boot(
    batch: Batch, *, accel: Accel, true: Truth, smp: int = 4, firmware: str = "seabios",
    rom: tuple[Saying, Doing] | None = None, lost_ap: bool = False,
) -> None:  # fmt: skip
    firmware = rom_path(*rom) if rom else firmware
    trial = batch.trial(accel, smp, firmware=firmware, lost_ap=lost_ap)
    result = (await run_trial(trial, batch.context)).result
    batch.book(true, result.verdict, result.detection_s)


@cache
def rom_path(saying: Saying, doing: Doing) -> str:
    """Return the path of a ROM; it is memory of this process, and gone with it."""
    fd = os.memfd_create("qstress-rom", os.MFD_CLOEXEC)
    os.write(fd, rom(saying, doing))
    return f"/proc/{os.getpid()}/fd/{fd}"


HEALTHY_BOOTS = [
    Kind(
        f"healthy, {firmware}, {accel} -smp {smp}", trials,
        partial(_boot, accel=accel, smp=smp, firmware=firmware.lower(), true=HEALTHY), accel, firmware, lanes=COMPUTING,
    )
    for firmware, accel, smp, trials in (
        ("SeaBIOS", Accel.TCG, 4, 7600), ("SeaBIOS", Accel.TCG, 16, 1000),
        ("SeaBIOS", Accel.KVM, 4, 1200), ("SeaBIOS", Accel.KVM, 16, 200),
        ("smpscan", Accel.TCG, 4, 500), ("smpscan", Accel.KVM, 4, 500),
    )
]  # fmt: skip

#: 200 for each accelerator.
LOST_IN_BOOT = [
    Kind(
        f"lost AP, SeaBIOS, {accel} -smp {smp}", trials,
        partial(_boot, accel=accel, smp=smp, true=LOST_INIT, lost_ap=True), accel, "SeaBIOS", **lanes(smp),
        fault="an AP lost, by process",
    )
    for accel in (Accel.TCG, Accel.KVM)
    for smp, trials in ((2, 40), (4, 100), (16, 40), (64, 20))
]  # fmt: skip

_HALTED = truth(Outcome.HANG, FindingClass.ALL_HALTED)
_LIVELOCK = truth(Outcome.HANG, FindingClass.LIVELOCK)
_LOOP = truth(Outcome.RESTART, FindingClass.RESET_LOOP)
#: A firmware that says nothing may be meant to stand still: then nothing may be claimed.
_NO_CLAIM = truth(Outcome.UNKNOWN)

#: 200 that are halted, 200 in a livelock, 1,000 reset loops for each accelerator and for each way to reset.
#: A livelock is believed after half of what a boot may take; that grows with the crowd, but not for ever
#: (``limits.SLOWEST``): 50 at once take four minutes, two at a time seven.
DESIGNED = [
    Kind(
        f"{name}, {accel} -smp 4", trials, partial(_boot, accel=accel, rom=(saying, doing), true=true), accel,
        "own ROMs", lanes=wide, load=load, fault=fault,
    )
    for accel in (Accel.TCG, Accel.KVM)
    for name, trials, fault, saying, doing, true, wide, load in (
        ("halted after its banner", 50, "halted by design", Saying.BANNER, Doing.HALT, _HALTED, COMPUTING, Load.SHARE),
        ("halted after its PCI lines", 50, "halted by design", Saying.PCI, Doing.HALT, _HALTED, COMPUTING, Load.SHARE),
        ("halted, a firmware unknown", 20, "", Saying.NOTHING, Doing.HALT, _NO_CLAIM, 20, Load.NEVER),
        ("livelock after its banner", 50, "livelock", Saying.BANNER, Doing.LOOP, _LIVELOCK, 50, Load.NEVER),
        ("livelock after its PCI lines", 50, "livelock", Saying.PCI, Doing.LOOP, _LIVELOCK, 50, Load.NEVER),
        *(
            (f"reset loop by {how}, {words}", 250, "a reset loop", saying, doing, _LOOP, COMPUTING, Load.SHARE)
            for how, doing in (("port", Doing.PORT_RESET), ("triple fault", Doing.TRIPLE_FAULT))
            for words, saying in (("with banners", Saying.BANNER), ("silent", Saying.NOTHING))
        ),
    )
]  # fmt: skip

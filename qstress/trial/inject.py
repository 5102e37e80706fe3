"""A fault that QEMU itself can be told to make: a guest whose boot CPU waits for an AP that was not woken.

The guest starts with one vCPU less than its shape has, and its CMOS is told of all of them (byte 0x5f holds the count
minus one, which SeaBIOS reads after its SIPI broadcast). Once the others have checked in, the missing vCPU is
hot-plugged: it sits at the reset vector while the boot CPU spins, which is exactly the picture of a lost INIT, on any
accelerator and without touching QEMU or SeaBIOS (docs/background/qemu.md, "Injecting a lost AP").
"""

from __future__ import annotations

from qstress.errors import GuestError, RigError
from qstress.guest.live import Guest
from qstress.model import Milestone
from qstress.trial import boot_cpu

#: How often in a row a silent guest is asked whether its boot CPU waits, and how long one look may take.
MOST_LOOKS, LOOK_TIMEOUT_S = 20, 10.0


async def expect_one_more(guest: Guest, *, timeout_s: float) -> None:
    """Tell a still paused guest's CMOS that all ``smp`` vCPUs are there.

    :raises RigError: the monitor refused or stayed silent.
    """
    try:
        await guest.control.hmp("o /b 0x70 0x5f", timeout_s=timeout_s)
        await guest.control.hmp(f"o /b 0x71 {guest.shape.smp - 1}", timeout_s=timeout_s)
    except GuestError as error:
        raise RigError(f"cannot prepare the injected fault: {error}", reason="inject") from error


async def is_due(guest: Guest, *, quiet_s: float) -> bool:
    """Whether every vCPU that was woken has checked in and the boot CPU waits for the last one.

    Its own code says that it does: then the SIPI broadcast is over, and a vCPU that is plugged in will not be woken.

    :param quiet_s: how long a silent guest is given between two looks; any output ends the asking for now.
    """
    log = guest.console.log
    if log.milestone < Milestone.PCI or log.checkins < guest.shape.smp - 2:
        return False
    for _ in range(MOST_LOOKS):
        if await guest.console.output(quiet_s):
            return False
        try:
            looked = await boot_cpu.look(guest, timeout_s=LOOK_TIMEOUT_S)
        except GuestError:
            return False  # it ended or stalled: the trial will see
        if looked.loop is not None:
            return True
    return False


async def add_the_lost_one(guest: Guest, *, timeout_s: float) -> None:
    """Hot-plug the vCPU that was left out; call it once all others have checked in.

    :raises RigError: the machine offers no place for it, or refuses it.
    """
    try:
        places = await guest.control.execute("query-hotpluggable-cpus", timeout_s=timeout_s)
        assert isinstance(places, list)
        free = [place for place in places if "qom-path" not in place]
        if not free:
            raise RigError("the machine offers no place for another vCPU", reason="inject")
        await guest.control.execute(
            "device_add", {"driver": free[0]["type"], "id": "qstress-lost-ap", **free[0]["props"]}, timeout_s=timeout_s
        )
    except GuestError as error:
        raise RigError(f"cannot inject the fault: {error}", reason="inject") from error

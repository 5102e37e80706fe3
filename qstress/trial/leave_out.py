"""Faults that QEMU's gdb stub makes: one AP that is not woken, is woken late, or enters at the reset vector.

A vCPU that the stub does not resume takes no INIT and no SIPI, so that the boot CPU waits for it for ever, with the
registers of the real thing (docs/background/guests.md, "Injecting faults without KVM"). It needs no help of the
firmware and works in any round. Under TCG alone: KVM keeps what was sent to a vCPU, and looks at it again.
"""

from __future__ import annotations

from collections.abc import Callable

from qstress.errors import GuestError, RigError
from qstress.firmware.base import ApFault
from qstress.firmware.linux_console import LinuxBoot
from qstress.guest.gdb import Gdb
from qstress.guest.live import Guest
from qstress.model import Trial, VcpuState
from qstress.registers import parse_text
from qstress.trial import boot_cpu
from qstress.trial.boot_cpu import BootCpu

#: How often in a row a silent guest is asked whether its boot CPU waits, and how long one look may take.
MOST_LOOKS, LOOK_TIMEOUT_S = 20, 10.0
#: These APs are left out from the start; in the picture of a later round it has come once.
_FROM_THE_START = (ApFault.NEVER_WOKEN, ApFault.WOKEN_LATE, ApFault.REPLAYED)


def victim_of(trial: Trial) -> int:
    """Return which AP the fault of *trial* strikes, by its seed."""
    return 1 + trial.seed % (trial.cell.stratum.shape.smp - 1)


async def let_run(guest: Guest, gdb: Gdb, trial: Trial) -> None:
    """Let a paused guest run, without the AP that its fault strikes from the start.

    :raises RigError: the stub does not do it.
    """
    left_out = [victim_of(trial)] if ApFault(trial.cell.build.fault) in _FROM_THE_START else []
    try:
        await gdb.attach()
        await gdb.resume(without=left_out)
    except GuestError as error:
        raise RigError(f"cannot inject the fault: {error}", reason="inject") from error
    guest.paused = False


async def strike(guest: Guest, gdb: Gdb, trial: Trial, *, quiet_s: float) -> bool:
    """Do the rest of the fault of *trial*, if it is time: the boot CPU waits for the AP that was left out, or, for a
    later round, all APs are parked. Return whether it was.

    :param quiet_s: how long the guest is given between two looks.
    :raises RigError: the stub does not do it.
    """
    fault, victim = ApFault(trial.cell.build.fault), victim_of(trial)
    try:
        if fault is ApFault.LATER_ROUND:
            return await _leave_parked(guest, gdb, victim, quiet_s)
        waits = await _waits(guest, quiet_s)
        if waits is None or waits.count is None:
            return False
        await gdb.stop()
        if fault is ApFault.REPLAYED:
            await gdb.set_breakpoint(waits.count.address, on=True)  # where its SIPI sends it
            await gdb.resume()
            stopped = await gdb.stopped()
            await gdb.set_breakpoint(waits.count.address, on=False)
            await gdb.move_to_reset_vector(stopped)
        await gdb.resume()
    except GuestError as error:
        raise RigError(f"cannot inject the fault: {error}", reason="inject") from error
    return True


async def _leave_parked(guest: Guest, gdb: Gdb, victim: int, quiet_s: float) -> bool:
    """Go on without the victim once all APs are parked: between rounds of the firmware, for which the guest is stopped
    again and again; or wherever the firmware left them, before a kernel wakes any."""
    log = guest.console.log
    if isinstance(log, LinuxBoot):
        begun = log.kernel.starts > 0 and not log.kernel.wakes
        return begun and await _leave_if(guest, gdb, victim, lambda ap: ap.halted)
    for _ in range(MOST_LOOKS):
        await guest.console.output(quiet_s)
        if await _leave_if(guest, gdb, victim, lambda ap: ap.halted and not ap.at_reset_vector):
            return True
    return False


async def _leave_if(guest: Guest, gdb: Gdb, victim: int, parked: Callable[[VcpuState], bool]) -> bool:
    """Stop the guest for a look and let it go on, without the victim if all APs are *parked*; return whether."""
    await gdb.stop()
    text = await guest.control.hmp("info registers -a", timeout_s=LOOK_TIMEOUT_S)
    found = all(parked(vcpu) for vcpu in parse_text(text).vcpus if vcpu.index > 0)
    await gdb.resume(without=[victim] if found else [])
    return found


async def _waits(guest: Guest, quiet_s: float) -> BootCpu | None:
    """Return a look at a boot CPU that waits in its first round; None where it did not come to that."""
    for _ in range(MOST_LOOKS):
        if await guest.console.output(quiet_s):
            return None
        looked = await boot_cpu.look(guest, timeout_s=LOOK_TIMEOUT_S)
        if looked.loop is not None and not looked.loop.later and looked.loop.found < looked.loop.expected:
            return looked
    return None

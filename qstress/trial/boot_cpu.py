"""Whether the boot CPU of a live guest waits for its APs, and how many it has: read without touching any AP.

``info registers`` and ``xp`` synchronise the boot CPU alone (facts: qemu.md section 4), which nobody sends an INIT.
"""

from __future__ import annotations

from dataclasses import dataclass

from qstress.firmware.smpscan import TABLE, TABLE_BYTES, Place, place
from qstress.guest.live import Guest
from qstress.model import VcpuState, WaitLoop
from qstress.registers import (
    WAIT_LOOP_BYTES,
    general_register,
    parse_text,
    parse_xp,
    parse_xp_word,
    wait_loop_count_address,
)

#: APIC ids are below so many times the number of CPUs: each of at most four levels of the topology within a socket is
#: rounded up to a power of two (``include/hw/i386/topology.h``).
_IDS_PER_CPU = 16


@dataclass(frozen=True, slots=True)
class BootCpu:
    """One look at the boot CPU: where it is, and its firmware's wait loop if it is in it. ``count_at`` is where SeaBIOS
    counts its CPUs (smpscan keeps a table at a fixed place)."""

    state: VcpuState | None
    loop: WaitLoop | None = None
    count_at: int | None = None


async def look(guest: Guest, *, timeout_s: float) -> BootCpu:
    """Return where the boot CPU is now. EBX holds the count it waits for, in SeaBIOS and in smpscan, which spends part
    of its wait in a subroutine, and says so itself once it has reported that some are missing.

    Source: facts, qemu.md 3.3 (the same bytes in SeaBIOS 1.16.2, 1.16.3 and 1.17.0); ``firmware/smpscan.asm``.

    :raises GuestError: the monitor does not answer within *timeout_s*, or is gone.
    """
    text = await guest.control.hmp("info registers", timeout_s=timeout_s)
    state = next((vcpu for vcpu in parse_text(text).vcpus if vcpu.index == 0), None)
    expected = general_register(text.encode(), 0, "EBX")
    if state is None or expected is None:
        return BootCpu(state)
    count_at = None
    if guest.shape.firmware != "smpscan":
        start = max(0, state.eip - WAIT_LOOP_BYTES)
        code = parse_xp(await guest.control.hmp(f"xp /{2 * WAIT_LOOP_BYTES}xb {start:#x}", timeout_s=timeout_s))
        count_at = wait_loop_count_address(code, start, state.eip)
        if count_at is None:
            return BootCpu(state)
    elif place(state) is not Place.WAITING and not guest.console.log.stuck:
        return BootCpu(state)
    found = await count(guest, count_at, timeout_s=timeout_s)
    loop = None if found is None else WaitLoop(expected & 0xFFFF, found, state.eip)
    return BootCpu(state, loop, count_at)


async def count(guest: Guest, count_at: int | None, *, timeout_s: float) -> int | None:
    """Return how many CPUs came up: SeaBIOS's count at *count_at*, or a byte each in smpscan's table; None where memory
    could not be read.

    :raises GuestError: as :func:`look`.
    """
    if count_at is not None:
        return parse_xp_word(await guest.control.hmp(f"xp /1xw {count_at:#x}", timeout_s=timeout_s))
    size = min(TABLE_BYTES, _IDS_PER_CPU * guest.shape.smp)
    table = parse_xp(await guest.control.hmp(f"xp /{size}xb {TABLE:#x}", timeout_s=timeout_s))
    return sum(byte != 0 for byte in table) if len(table) == size else None

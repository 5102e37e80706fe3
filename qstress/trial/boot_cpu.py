"""Whether the boot CPU of a live guest waits for its APs, and how many it has: read without touching any AP.

``info registers`` and ``xp`` synchronise the boot CPU alone, which nobody sends an INIT (docs/background/qemu.md,
"Which commands synchronise which vCPU").
"""

from __future__ import annotations

from dataclasses import dataclass

from qstress.firmware import firmware_of
from qstress.firmware.base import CpuCount
from qstress.guest.live import Guest
from qstress.model import VcpuState, WaitLoop
from qstress.registers import general_register, parse_text, parse_xp


@dataclass(frozen=True, slots=True)
class BootCpu:
    """One look at the boot CPU: where it is, its firmware's wait loop if it is in it, and where CPUs are counted."""

    state: VcpuState | None
    loop: WaitLoop | None = None
    count: CpuCount | None = None


async def look(guest: Guest, *, timeout_s: float) -> BootCpu:
    """Return where the boot CPU is now, and whether it waits, as far as its firmware's ``wait`` can tell.

    :raises GuestError: the monitor does not answer within *timeout_s*, or is gone.
    """
    text = await guest.control.hmp("info registers", timeout_s=timeout_s)
    state = next((vcpu for vcpu in parse_text(text).vcpus if vcpu.index == 0), None)
    wait = firmware_of(guest.shape).wait
    if state is None or wait is None:
        return BootCpu(state)
    expected = general_register(text.encode(), 0, wait.expected_in)
    if expected is None:
        return BootCpu(state)
    code = await _memory(guest, *wait.code_at(state), timeout_s=timeout_s)
    counted = wait.count(state, code, stuck=guest.console.log.stuck, smp=guest.shape.smp)
    found = await count(guest, counted, timeout_s=timeout_s)
    return BootCpu(state, None if found is None else WaitLoop(expected & 0xFFFF, found, state.eip), counted)


async def count(guest: Guest, counted: CpuCount | None, *, timeout_s: float) -> int | None:
    """Return how many CPUs came up, as the firmware has *counted* them; None where that could not be read.

    :raises GuestError: as :func:`look`.
    """
    if counted is None:
        return None
    memory = await _memory(guest, counted.address, counted.size, timeout_s=timeout_s)
    return counted.read(memory) if len(memory) == counted.size else None


async def _memory(guest: Guest, address: int, size: int, *, timeout_s: float) -> bytes:
    if not size:
        return b""
    return parse_xp(await guest.control.hmp(f"xp /{size}xb {address:#x}", timeout_s=timeout_s))

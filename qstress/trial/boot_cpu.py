"""Whether the boot CPU of a live guest waits for its APs, and how many it has: read without touching any AP.

``info registers`` and ``xp`` synchronise the boot CPU alone, which nobody sends an INIT (docs/background/qemu.md,
"Which commands synchronise which vCPU").
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

from qstress.firmware import firmware_of
from qstress.firmware.base import CpuCount, memory_at
from qstress.guest.live import Guest
from qstress.model import VcpuState, WaitLoop
from qstress.registers import parse_text

T = TypeVar("T")


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
    asking = wait.find(state, text, stuck=guest.console.log.stuck, smp=guest.shape.smp)
    counted = await _asked(guest, asking, timeout_s=timeout_s)
    found = await count(guest, counted, timeout_s=timeout_s)
    if counted is None or found is None:
        return BootCpu(state, None, counted)
    return BootCpu(state, WaitLoop(counted.expected, found, state.eip, later=counted.later), counted)


async def count(guest: Guest, counted: CpuCount | None, *, timeout_s: float) -> int | None:
    """Return how many CPUs came up, as the firmware has *counted* them; None where that could not be read.

    :raises GuestError: as :func:`look`.
    """
    memory = await _counted(guest, counted, timeout_s=timeout_s)
    return counted.read(memory) if counted is not None and memory else None


async def unwoken(guest: Guest, counted: CpuCount | None, dump: str, *, timeout_s: float) -> tuple[int, ...]:
    """Return which vCPUs have not come again, as far as that and *dump*, of all vCPUs, tell.

    :raises GuestError: as :func:`look`.
    """
    if counted is None or counted.who is None:
        return ()
    memory = await _counted(guest, counted, timeout_s=timeout_s)
    return counted.who(memory, dump) if memory else ()


async def _counted(guest: Guest, counted: CpuCount | None, *, timeout_s: float) -> bytes:
    if counted is None:
        return b""
    return await _asked(guest, memory_at(counted.address, counted.size), timeout_s=timeout_s)


async def _asked(guest: Guest, asking: Generator[str, str, T], *, timeout_s: float) -> T:
    """Return what a conversation with the monitor comes to."""
    try:
        line = next(asking)
        while True:
            line = asking.send(await guest.control.hmp(line, timeout_s=timeout_s))
    except StopIteration as end:
        told: T = end.value
        return told

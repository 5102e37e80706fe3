"""A closer look at a guest that makes no progress; nothing hammers it while this runs.

What disturbs nothing comes first (thread times), then the dumps: reading a register on KVM lets the kernel process a
pending INIT, so a dump can itself move an AP (facts: qemu.md section 2), and that is told apart from a hang.
"""

from __future__ import annotations

from dataclasses import dataclass

import anyio

from qstress.errors import GuestError
from qstress.guest.live import Guest
from qstress.model import Observation, WaitLoop
from qstress.observe import usage
from qstress.registers import (
    WAIT_LOOP_BYTES,
    general_register,
    parse_text,
    parse_xp,
    parse_xp_word,
    wait_loop_count_address,
)
from qstress.smpscan import TABLE, TABLE_BYTES, Place, place
from qstress.verdict.hang import Examination
from qstress.verdict.limits import Limits


@dataclass(frozen=True, slots=True)
class ClosedLook:
    """What :func:`examine` saw: the values for the judge, and the two dumps as printed, with their times."""

    examination: Examination
    dumps: tuple[tuple[float, str], ...]


async def examine(guest: Guest, limits: Limits, *, clock_zero_s: float) -> ClosedLook:
    """Dump all vCPUs twice, ``limits.gap_s`` apart, with thread times over the gap.

    :param clock_zero_s: monotonic time that the observations' times count from.
    :raises GuestError: the monitor does not answer within ``limits.reply_s``, or is gone.
    """
    threads = await guest.vcpu_threads(timeout_s=limits.reply_s)
    status = await guest.control.execute("query-status", timeout_s=limits.reply_s)
    assert isinstance(status, dict)
    first = usage.sample(guest.process.pid, threads)
    before_text, before = await _dump(guest, limits, clock_zero_s)
    output_s = guest.console.last_output_s
    await anyio.sleep(limits.gap_s)
    second = usage.sample(guest.process.pid, threads)
    shares = usage.between(guest.process.pid, first, second)
    after_text, after = await _dump(guest, limits, clock_zero_s)
    loop = await _wait_loop(guest, after, after_text, limits)
    guest.console.drain()
    examination = Examination(
        before=before,
        after=after,
        usage=shares,
        progressed=guest.console.last_output_s != output_s,
        running=bool(status.get("running")),
        runstate=str(status.get("status")),
        wait_loop=loop,
    )
    return ClosedLook(examination, ((before.at_s, before_text), (after.at_s, after_text)))


async def out_of_band_answers(guest: Guest, *, timeout_s: float) -> bool:
    """Whether QEMU's main loop still serves out-of-band commands when in-band ones are stuck.

    ``query-yank`` is one of the four commands that may run out of band (7.2 to 11.1, ``allow-oob`` in the schema).
    """
    try:
        await guest.control.execute("query-yank", timeout_s=timeout_s, oob=True)
    except GuestError:
        return False
    return True


async def _dump(guest: Guest, limits: Limits, clock_zero_s: float) -> tuple[str, Observation]:
    text = await guest.control.hmp("info registers -a", timeout_s=limits.reply_s)
    return text, parse_text(text, anyio.current_time() - clock_zero_s)


async def _wait_loop(guest: Guest, seen: Observation, text: str, limits: Limits) -> WaitLoop | None:
    """Tell whether the boot CPU waits for its APs; EBX holds the count it waits for, in SeaBIOS and in smpscan.

    Source: facts, qemu.md 3.3 (the same bytes in SeaBIOS 1.16.2, 1.16.3 and 1.17.0); ``firmware/smpscan.asm``.
    """
    expected = general_register(text.encode(), 0, "EBX")
    if not seen.vcpus or seen.vcpus[0].index != 0 or expected is None:
        return None
    boot_cpu = seen.vcpus[0]
    if guest.shape.firmware == "smpscan":
        found = await _smpscan_table(guest, limits) if place(boot_cpu) is Place.WAITING else None
    else:
        found = await _seabios_count(guest, boot_cpu.eip, limits)
    return None if found is None else WaitLoop(expected & 0xFFFF, found, boot_cpu.eip)


async def _seabios_count(guest: Guest, eip: int, limits: Limits) -> int | None:
    """Read how many CPUs came up, if *eip* lies in SeaBIOS's ``smp_scan`` loop."""
    start = max(0, eip - WAIT_LOOP_BYTES)
    code = parse_xp(await guest.control.hmp(f"xp /{2 * WAIT_LOOP_BYTES}xb {start:#x}", timeout_s=limits.reply_s))
    address = wait_loop_count_address(code, start, eip)
    if address is None:
        return None
    return parse_xp_word(await guest.control.hmp(f"xp /1xw {address:#x}", timeout_s=limits.reply_s))


async def _smpscan_table(guest: Guest, limits: Limits) -> int | None:
    """Count the CPUs that smpscan's table has, a byte each by APIC id."""
    table = parse_xp(await guest.control.hmp(f"xp /{TABLE_BYTES}xb {TABLE:#x}", timeout_s=limits.reply_s))
    return sum(byte != 0 for byte in table) if len(table) == TABLE_BYTES else None

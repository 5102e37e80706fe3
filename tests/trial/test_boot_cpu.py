"""A scripted monitor; real ones are in tests/live/test_examine.py."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from qstress.firmware import BY_NAME, SEABIOS
from qstress.firmware.smpscan import TABLE
from qstress.guest.live import Guest
from qstress.model import WaitLoop
from qstress.trial.boot_cpu import count, look
from tests.samples import shape

LOOP, COUNT = 0xEE2E1, 0xF5240
CODE = bytes.fromhex("3b1d40520f00741f892500520f00c70518520f0000000000f390f00fba2d18520f000072f3ebd9")


def registers(eip: int, ebx: str = "00000004") -> str:
    return (
        f"\r\nCPU#0\r\nEAX=00000000 EBX={ebx} ECX=00000000 EDX=00000000\r\n"
        f"EIP={eip:08x} EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0\r\n"
        "CS =0008 00000000 ffffffff 00cf9b00 DPL=0 CS32 [-RA]\r\n"
    )


def memory(address: int, data: bytes) -> str:
    rows = range(0, len(data), 8)
    return "".join(f"{address + i:016x}:{''.join(f' 0x{b:02x}' for b in data[i : i + 8])}\r\n" for i in rows)


class Monitor:
    """Answers from a dict; ``asked`` holds the commands."""

    def __init__(self, eip: int, *, found: int = 3, table: bytes = b"", ebx: str = "00000004") -> None:
        self.asked: list[str] = []
        self._eip, self._found, self._table, self._ebx = eip, found, table, ebx

    async def hmp(self, line: str, *, timeout_s: float) -> str:
        self.asked.append(line)
        return self.answer(line)

    def answer(self, line: str) -> str:
        if line == "info registers":
            return registers(self._eip, self._ebx)
        size, address = int(line.split("/")[1].split("xb")[0]), int(line.split()[-1], 16)
        if address == COUNT:
            return memory(address, self._found.to_bytes(4, "little"))
        if address == TABLE:
            return memory(address, self._table[:size])
        low = b"\x90" * LOOP + CODE + b"\x90" * 0x2000
        return memory(address, low[address : address + size])


def guest(monitor: Monitor, *, runs: str = "seabios", stuck: bool = False) -> Guest:
    console = SimpleNamespace(log=SimpleNamespace(stuck=stuck))
    return cast(Guest, SimpleNamespace(control=monitor, shape=replace(shape(4), firmware=runs), console=console))


@pytest.mark.parametrize("offset", [0, 6, 14, 24, 37])
async def test_seabios_waits_wherever_in_its_loop_it_is_seen(offset: int) -> None:
    seen = await look(guest(Monitor(LOOP + offset)), timeout_s=1)
    assert seen.loop == WaitLoop(4, 3, LOOP + offset)
    assert seen.count is not None
    assert (seen.count.address, seen.count.size) == (COUNT, 4)
    assert seen.state is not None
    assert seen.state.eip == LOOP + offset


async def test_elsewhere_it_does_not_wait_and_nothing_more_is_asked() -> None:
    monitor = Monitor(LOOP + 0x1000)
    seen = await look(guest(monitor), timeout_s=1)
    assert (seen.loop, seen.count) == (None, None)
    assert seen.state is not None
    assert len(monitor.asked) == 2


async def test_smpscan_waits_at_its_fixed_place_and_counts_in_its_table() -> None:
    table = bytes([1, 1, 0, 2]) + bytes(4092)
    seen = await look(guest(Monitor(0xF1020, table=table), runs="smpscan"), timeout_s=1)
    assert seen.loop == WaitLoop(4, 3, 0xF1020)
    in_a_subroutine = Monitor(0xF067D, table=table)
    assert (await look(guest(in_a_subroutine, runs="smpscan"), timeout_s=1)).loop is None
    says_so = await look(guest(in_a_subroutine, runs="smpscan", stuck=True), timeout_s=1)
    assert says_so.loop == WaitLoop(4, 3, 0xF067D)


async def test_the_count_can_be_asked_for_again() -> None:
    seabios = guest(Monitor(LOOP, found=3))
    seen = await look(seabios, timeout_s=1)
    assert await count(seabios, seen.count, timeout_s=1) == 3
    assert await count(guest(Monitor(LOOP, found=4)), seen.count, timeout_s=1) == 4
    assert await count(seabios, None, timeout_s=1) is None


async def test_memory_that_cannot_be_read_is_no_count() -> None:
    assert (await look(guest(Monitor(0xF1020, table=b""), runs="smpscan"), timeout_s=1)).loop is None


async def test_a_firmware_whose_wait_nobody_knows_is_not_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BY_NAME, "seabios", replace(SEABIOS, wait=None))
    monitor = Monitor(LOOP)
    assert (await look(guest(monitor), timeout_s=1)).loop is None
    assert monitor.asked == ["info registers"]


async def test_a_dump_without_the_register_is_no_wait() -> None:
    seen = await look(guest(Monitor(LOOP, ebx="gone")), timeout_s=1)
    assert seen.loop is None
    assert seen.state is not None

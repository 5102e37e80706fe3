"""What a firmware asks HMP, answered from a dict of guest memory."""

from __future__ import annotations

import re
from collections.abc import Mapping

from qstress.firmware.base import CpuCount, WaitFinder
from qstress.model import VcpuState


def printed(address: int, memory: bytes) -> str:
    """*memory* as HMP ``xp`` prints it."""
    rows = range(0, len(memory), 8)
    return "".join(f"{address + i:016x}:{''.join(f' {b:#04x}' for b in memory[i : i + 8])}\r\n" for i in rows)


def found(
    wait: WaitFinder | None, boot_cpu: VcpuState, registers: str, *,
    memory: Mapping[int, bytes] | None = None, lapic: str = "", stuck: bool = False, smp: int = 4,
) -> CpuCount | None:  # fmt: skip
    """Have the conversation of *wait* and return what it comes to; *memory*: pieces of it by address, zero elsewhere,
    *lapic*: what ``info lapic`` prints."""
    assert wait is not None
    asking = wait.find(boot_cpu, registers, stuck=stuck, smp=smp)
    try:
        line = next(asking)
        while True:
            line = asking.send(lapic if line == "info lapic" else _read(line, memory or {}))
    except StopIteration as end:
        counted: CpuCount | None = end.value
        return counted


def _read(line: str, memory: Mapping[int, bytes]) -> str:
    asked = re.fullmatch(r"xp /(\d+)xb (0x[0-9a-f]+)", line)
    assert asked is not None, line
    size, start = int(asked[1]), int(asked[2], 16)
    read = bytearray(size)
    for at, piece in memory.items():
        for offset, byte in enumerate(piece, at - start):
            if 0 <= offset < size:
                read[offset] = byte
    return printed(start, bytes(read))

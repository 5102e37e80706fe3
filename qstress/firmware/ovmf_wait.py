"""The two waits of OVMF's boot CPU for its APs, found by their bytes (pure).

OVMF wakes its APs again and again, by an INIT and a SIPI to all of them. In the first round they come from the reset
vector, and it waits until as many have counted themselves as fw_cfg told it, 71 minutes of guest time at most. In later
rounds they are parked, each with a word in memory that says STAP until it has taken the wake-up; the boot CPU waits for
each of these words in turn, for ever.

Measured with edk2 2022.11 (32-bit and 64-bit PEI), 2025.02 and 2026.08, each with one AP left out
(docs/background/guests.md, "How OVMF brings up APs"); edk2, ``UefiCpuPkg/Library/MpInitLib`` (``MpLib.c``:
``TimedWaitForApFinish``, ``WaitApWakeup``; ``MpFuncs.nasm``).
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass

from qstress.firmware.base import Asking, CpuCount, memory_at
from qstress.model import VcpuState
from qstress.registers import general_register, parse_text, sipi_sent

#: ``lock cmpxchg %reg,(%address)``; ``test %eax,%eax``; ``je``; ``pause``; ``jmp`` back to the loop's first byte.
_PARKED_WAIT = re.compile(rb"\xf0\x0f\xb1([\x00-\x3f])\x85\xc0\x74.\xf3\x90\xeb(.)", re.DOTALL)
#: Guest code is read so far before and after EIP; the loop has 14 to 20 bytes.
AROUND_BYTES = 32
#: What a parked AP's word says until it has taken its wake-up (``WAKEUP_AP_SIGNAL``).
SIGNAL = b"STAP"
#: How far these words are apart: a word, or a line where APs are parked by MONITOR.
_WORD, _LINE = 4, 64
_ADDRESSES = ("EAX", "ECX", "EDX", "EBX", "", "", "ESI", "EDI")
_CR0_WP = 1 << 16

#: The page at the SIPI's vector begins with this while a round waits, and with something else before and after.
_WAKE_UP_CODE = bytes.fromhex("6689c58cc88ed88ec08ed031c08ee08ee8be")
#: So much of it holds that code and what it exchanges with the boot CPU.
PAGE_BYTES = 256


@dataclass(frozen=True, slots=True)
class _Exchange:
    """Where the boot CPU and its APs keep their count: at *index* and *first* from the start of that structure, whose
    first word of *word* bytes is the page's own address. *first* is 1 in the first round alone."""

    word: int
    index: int
    first: int


#: By the distance between the structure and its second address, which the code holds: 64-bit and 32-bit until
#: edk2-stable202505, then both since. The last is derived, no image had it.
_EXCHANGES = {
    0x20: _Exchange(8, 16, 56), 0x10: _Exchange(4, 8, 28),
    0x18: _Exchange(8, -28, 48), 0x0C: _Exchange(4, -24, 24),
}  # fmt: skip


def first_round_found(page: bytes, address: int) -> int | None:
    """Return how many CPUs have come in the first round, the boot CPU included; None where no first round waits.

    :param page: guest memory at *address*, the page that the SIPI names; :data:`PAGE_BYTES` suffice.
    """
    if not page.startswith(_WAKE_UP_CODE) or len(page) < PAGE_BYTES:
        return None
    start = int.from_bytes(page[18:20], "little")
    exchange = _EXCHANGES.get(int.from_bytes(page[24:26], "little") - start)
    if exchange is None or _number(page, start, exchange.word) != address:
        return None
    if _number(page, start + exchange.first) != 1:
        return None
    return (_number(page, start + exchange.index) or 0) + 1


def parked_signal(code: bytes, address: int, eip: int, registers: str) -> int | None:
    """Return where the word is that the boot CPU waits for in a later round, if *eip* lies in that loop, else None.

    :param code: guest memory from *address* on; :data:`AROUND_BYTES` before and after *eip* suffice.
    :param registers: what ``info registers`` prints of the boot CPU.
    """
    for loop in _PARKED_WAIT.finditer(code):
        back = int.from_bytes(loop[2], "little", signed=True)
        if back < 0 and loop.end() + back <= eip - address < loop.end():
            name = _ADDRESSES[loop[1][0] & 7]
            return general_register(registers.encode(), 0, name) if name else None
    return None


class OvmfWait:
    """OVMF's waits. Its boot CPU's EIP says nothing of the first one, which runs through half a dozen functions: there
    the APIC says that a SIPI was sent, and where to. The second is a loop of its own."""

    def find(self, boot_cpu: VcpuState, registers: str, *, stuck: bool, smp: int) -> Asking:
        """See :class:`qstress.firmware.base.WaitFinder`."""
        if boot_cpu.smm or boot_cpu.halted or boot_cpu.at_reset_vector:
            return None
        start = max(0, boot_cpu.linear_address - AROUND_BYTES)
        code = yield from memory_at(start, 2 * AROUND_BYTES)
        signal = parked_signal(code, start, boot_cpu.linear_address, registers)
        if signal is not None:
            return (yield from _later_round(signal, smp))
        sent = sipi_sent((yield "info lapic"))
        page = (int(sent, 16) & 0xFF) << 12 if sent else 0
        if not page or first_round_found((yield from memory_at(page, PAGE_BYTES)), page) is None:
            return None
        return CpuCount(smp, page, PAGE_BYTES, lambda memory: _found_now(memory, page, smp))


def _found_now(memory: bytes, page: int, smp: int) -> int:
    found = first_round_found(memory, page)
    return smp if found is None else found  # else the round is over: all came


def _later_round(signal: int, smp: int) -> Generator[str, str, CpuCount | None]:
    start, offset = signal & ~0xFFF, signal & 0xFFF
    apart = _WORD if offset < _WORD * smp else _LINE
    size = _WORD + apart * (smp - 1)
    words = yield from memory_at(start, size)
    if words[offset : offset + _WORD] != SIGNAL:
        return None
    return CpuCount(
        smp, start, size, lambda memory: smp - len(_unwoken(memory, apart)), later=True,
        who=lambda memory, dump: _vcpus(_unwoken(memory, apart), dump),
    )  # fmt: skip


def _unwoken(words: bytes, apart: int) -> list[int]:
    """The numbers, as the firmware counts them, of the APs that have not taken their wake-up."""
    return [at // apart for at in range(0, len(words), apart) if words[at : at + _WORD] == SIGNAL]


def _vcpus(numbers: list[int], dump: str) -> tuple[int, ...]:
    """Which vCPUs these are; none where the dump does not hold all of them. In DXE APs are numbered as vCPUs are. In
    PEI they keep the word of the order in which they came, and their stacks lie in that order
    (docs/background/guests.md, "Register pictures of a stuck OVMF")."""
    aps = [vcpu.index for vcpu in parse_text(dump).vcpus if vcpu.index > 0]
    text = dump.encode()
    if (general_register(text, 0, "CR0") or 0) & _CR0_WP:
        return tuple(number for number in numbers if number in aps)
    stacks = sorted((general_register(text, index, "ESP") or 0, index) for index in aps)
    known = all(stack for stack, _ in stacks) and all(1 <= number <= len(stacks) for number in numbers)
    return tuple(sorted(stacks[number - 1][1] for number in numbers)) if known else ()


def _number(page: bytes, at: int, size: int = 4) -> int | None:
    return int.from_bytes(page[at : at + size], "little") if 0 <= at <= len(page) - size else None

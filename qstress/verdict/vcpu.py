"""One vCPU as one look found it: the picture that the rules of ``hang`` and of ``explain`` share (pure).

Everything that a cut or mangled text may lack is optional. Addresses and registers are as printed, 32 or 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from qstress.model import VcpuState
from qstress.registers import WAIT_LOOP_BYTES

_EFLAGS_IF = 1 << 9
_CR0_PE = 1
_CR0_PG = 1 << 31
#: So many vCPUs are named one by one.
_NAMED = 8


class VcpuRole(StrEnum):
    """vCPU 0 is the boot CPU under QEMU; a state without a number has no role."""

    BSP = "bsp"
    AP = "ap"
    UNKNOWN = "unknown"


class VcpuActivity(StrEnum):
    """What one vCPU was doing when it was looked at."""

    RESET_VECTOR = "reset-vector"  # f000:fff0 with base ffff0000
    SIPI_TAKEN = "sipi-taken"  # at the first byte of a SIPI vector, nothing run yet
    RUNNING = "running"
    IDLE = "idle"  # halted, an interrupt wakes it
    HALTED = "halted"  # halted with interrupts off, or not known whether on
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class VcpuLook:
    """One vCPU as one dump shows it.

    ``numbered``: the text says which vCPU it is. ``whole``: every line of the dump is there, in QEMU's order, so that
    nothing of it can belong to another vCPU. ``long``: printed with 64-bit names (CS is a 64-bit segment).
    ``key`` is equal for equal dumps. ``eip_text`` is EIP as printed; with ``linear`` it includes the CS base (``info
    cpus`` of old QEMU). ``prints_code``: the dump ends with ``Code=``. ``of_reset``: QEMU logged the state at a reset
    (``-d cpu_reset``).
    """

    index: int
    numbered: bool = True
    eip: int | None = None
    eip_text: str = ""
    eflags: int | None = None
    halted: bool | None = None
    smm: bool = False
    cs_selector: int | None = None
    cs_base: int | None = None
    cr0: int | None = None
    cpl: int | None = None
    eax: int | None = None
    ebx: int | None = None
    long: bool = False
    linear: bool = False
    whole: bool = False
    key: int = 0
    prints_code: bool = False
    of_reset: bool = False

    @classmethod
    def of(cls, state: VcpuState) -> VcpuLook:
        """Return *state*, read from a monitor's whole reply, as a look."""
        return cls(
            state.index,
            eip=state.eip,
            eflags=_EFLAGS_IF if state.interrupts else 2,
            halted=state.halted,
            smm=state.smm,
            cs_selector=state.cs_selector,
            cs_base=state.cs_base,
        )

    @property
    def name(self) -> str:
        """``CPU#2``, or that the text does not say which."""
        return f"CPU#{self.index}" if self.numbered else "a vCPU without a number"

    @property
    def role(self) -> VcpuRole:
        """Whether this is the boot CPU, as far as the text says."""
        if not self.numbered:
            return VcpuRole.UNKNOWN
        return VcpuRole.AP if self.index else VcpuRole.BSP

    @property
    def at_reset_vector(self) -> bool:
        """Where x86 starts, and where a lost AP stays. With no CS line in the text it takes all-clear flags to tell."""
        if self.linear:
            return self.eip == 0xFFFFFFF0
        if self.eip != 0xFFF0 or self.long:
            return False
        if self.cs_base is None:
            return self.eflags == 2 and self.cr0 in (None, 0x60000010)
        return self.cs_base & 0xFFFFFFFF == 0xFFFF0000

    @property
    def linear_address(self) -> int | None:
        """The linear address it is at (EIP itself where the text has no CS line)."""
        return None if self.eip is None else self.eip + (0 if self.linear else self.cs_base or 0)

    @property
    def interrupts(self) -> bool | None:
        """EFLAGS.IF; None where the text does not hold EFLAGS."""
        return None if self.eflags is None else bool(self.eflags & _EFLAGS_IF)

    @property
    def paging(self) -> bool | None:
        """CR0.PG; None where the text does not tell."""
        if self.long:
            return True
        return None if self.cr0 is None else bool(self.cr0 & _CR0_PG)

    @property
    def protected(self) -> bool | None:
        """CR0.PE; without CR0 only an EIP that real mode cannot have tells."""
        if self.cr0 is not None:
            return bool(self.cr0 & _CR0_PE)
        return True if self.long or (self.eip or 0) > 0xFFFF else None

    @property
    def in_firmware(self) -> bool:
        """In 32-bit code between e0000 and fffff without paging: where SeaBIOS (and smpscan) bring APs up, and wait."""
        return 0xE0000 <= self._unpaged_address <= 0xFFFFF

    @property
    def above_1m_unpaged(self) -> bool:
        """In 32-bit code above 1 MiB without paging: SeaBIOS's relocated start-up code, where no AP ever runs."""
        return self.cr0 is not None and self._unpaged_address > 0xFFFFF

    @property
    def _unpaged_address(self) -> int:
        """The linear address it is at in 32-bit code without paging; 0 where it runs anything else, or in SMM."""
        unpaged = self.protected and not (self.paging or self.linear or self.smm)
        return self.linear_address or 0 if unpaged else 0

    @property
    def activity(self) -> VcpuActivity:
        """What it was doing; HLT tells nothing of an AP at the reset vector (docs/background/qemu.md, "What HLT says").
        EFLAGS of zero, which no x86 CPU has, is a vCPU that QEMU has not reset for the first time."""
        if self.eip is None or self.eflags == 0:
            return VcpuActivity.UNKNOWN
        if self.at_reset_vector:
            return VcpuActivity.RESET_VECTOR
        if self.halted:
            return VcpuActivity.IDLE if self.interrupts else VcpuActivity.HALTED
        if self._took_sipi:
            return VcpuActivity.SIPI_TAKEN
        return VcpuActivity.UNKNOWN if self.halted is None and not self.linear else VcpuActivity.RUNNING

    @property
    def _took_sipi(self) -> bool:
        """CS base is the vector times 4096 and EIP 0, in real mode: ``EIP=00000000 CS =1000 00010000`` for SeaBIOS."""
        base = self.cs_base or 0
        at_vector = base in range(0x1000, 0xFF001, 0x1000) and self.cs_selector == base >> 4
        return at_vector and (self.eip, self.eflags, self.protected) == (0, 2, False)

    @property
    def where(self) -> str:
        """The kind of code it is in, in a few words; empty where the text does not tell."""
        if self.activity is VcpuActivity.UNKNOWN and self.eflags == 0:
            return "before its first reset"
        if self.eip is None or self.linear or self.at_reset_vector:
            return ""
        if self.smm:
            return "in SMM"
        if self.cpl:
            return "in user code"
        if self.long:
            return "in 64-bit code"
        return self._where_in_32_bit

    @property
    def _where_in_32_bit(self) -> str:
        if self.in_firmware:
            return "in 32-bit firmware code"
        if self.protected is False:
            address = self.linear_address or 0
            return "in real-mode firmware code" if 0xC0000 <= address <= 0xFFFFF else "in real mode"
        if self.paging:
            return "in 32-bit kernel code"
        return "in 32-bit code without paging" if self.cr0 is not None else ""


def shortened(names: Sequence[str], most: int = _NAMED) -> str:
    """Return *names* in one line, shortened where they are many.

    >>> shortened(["CPU#1", "CPU#2"])
    'CPU#1, CPU#2'
    >>> shortened([f"CPU#{index}" for index in range(200)], most=2)
    'CPU#0, CPU#1, … (200 in all)'
    """
    named = ", ".join(names[:most])
    return f"{named}, … ({len(names)} in all)" if len(names) > most else named


def cpu_names(indices: Iterable[int]) -> str:
    """Return ``CPU#1, CPU#2``; many are shortened."""
    return shortened([f"CPU#{index}" for index in indices])


def look_names(looks: Iterable[VcpuLook]) -> str:
    """Return the names of the vCPUs of *looks*; many are shortened."""
    return shortened([look.name for look in looks])


def within_few_bytes(looks: Sequence[VcpuLook], within: int = WAIT_LOOP_BYTES) -> bool:
    """Whether all *looks* are within the same few bytes of code (none of them at an unknown address)."""
    known = _known_addresses(looks)
    return len(known) == len(looks) > 0 and known[-1] - known[0] <= within


def distinct_places(looks: Sequence[VcpuLook], apart: int = WAIT_LOOP_BYTES) -> int:
    """Return how many clearly different addresses *looks* are at."""
    known = _known_addresses(looks)
    return bool(known) + sum(after - before > apart for before, after in pairwise(known))


def _known_addresses(looks: Sequence[VcpuLook]) -> list[int]:
    return sorted(look.linear_address for look in looks if look.linear_address is not None)

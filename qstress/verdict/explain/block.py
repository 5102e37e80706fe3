"""The registers of one state as they are found in a text, and what they say once they are all there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from qstress.verdict.vcpu import VcpuLook

#: General registers in the order QEMU prints them, up to the instruction pointer.
GENERAL = ("AX", "BX", "CX", "DX", "SI", "DI", "BP", "SP", "IP")
#: What a vCPU that runs leaves as it is; CS moves with EIP.
_STAYS = frozenset(
    f"{name}{part}" for name in ("ES", "SS", "DS", "FS", "GS", "LDT", "TR") for part in ("", " selector")
)
_ORDER = (*GENERAL, "FL", "hlt", "ES", "CS", "SS", "DS", "FS", "GS", "LDT", "TR", "cr0")


@dataclass(slots=True)
class Block:
    """One state being read; ``begin`` and ``end`` are offsets in the text, ``index`` None where it has no number.

    ``logged``: QEMU logged it (``-d``), at an exception or, ``of_reset``, at a reset. ``times`` is how often it stands
    there where the text is a digest that counts equal lines.
    """

    index: int | None
    begin: int
    end: int = 0
    logged: bool = False
    of_reset: bool = False
    times: int = 1
    registers: dict[str, int] = field(default_factory=dict)
    eip_text: str = ""
    long: bool = False
    linear: bool = False
    halted: bool | None = None
    smm: bool = False
    cpl: int | None = None
    prints_code: bool = False
    _names: dict[str, None] = field(default_factory=dict)  # in order of coming
    _again: bool = False

    def is_past(self, name: str) -> bool:
        """Whether *name*, a general register, can only belong to the next state."""
        return name in self._names or "IP" in self._names

    def saw(self, name: str, token: re.Match[str]) -> bool:
        """Note that *token* came; return whether it is the first of its *name*."""
        self.end = token.end()
        first = name not in self._names
        self._again |= not first and name in _ORDER
        self._names[name] = None
        return first

    @property
    def is_state(self) -> bool:
        """Whether it is more than a mention: an instruction pointer with what QEMU prints by it, or part of a numbered
        vCPU's registers."""
        if self.index is not None:
            return any(name in self._names for name in GENERAL)
        beside = any(name in self.registers for name in ("FL", "CS", "CR0")) or self.halted is not None
        return "IP" in self.registers and beside

    @property
    def whole(self) -> bool:
        """Whether each line that ``x86_cpu_dump_state`` prints up to CR0 came once and in its order."""
        return not self._again and tuple(name for name in self._names if name in _ORDER) == _ORDER

    def agrees(self, other: Block) -> bool:
        """Whether nothing that both show has moved, so that one can be a copy of the other, whole or in part."""
        theirs = other.registers
        equal = [
            theirs[name] == value for name, value in self.registers.items() if name in theirs and name not in _STAYS
        ]
        return bool(equal) and all(equal) and len({self.halted, other.halted} - {None}) < 2

    @property
    def key(self) -> int:
        """Equal for states that are equal in all that moves."""
        return hash((self.halted, *sorted(item for item in self.registers.items() if item[0] not in _STAYS)))

    @property
    def shown(self) -> int:
        """How much of the state is there."""
        return len(self._names)

    def look(self, index: int) -> VcpuLook:
        """Return it as vCPU *index* of its dump."""
        get = self.registers.get
        return VcpuLook(
            index=index,
            numbered=self.index is not None,
            eip=get("IP"),
            eip_text=self.eip_text,
            eflags=get("FL"),
            halted=self.halted,
            smm=self.smm,
            cs_selector=get("CS selector"),
            cs_base=get("CS"),
            cr0=get("CR0"),
            cpl=self.cpl,
            eax=get("AX"),
            ebx=get("BX"),
            long=self.long,
            linear=self.linear,
            whole=self.whole,
            key=self.key,
            prints_code=self.prints_code,
            of_reset=self.of_reset,
        )

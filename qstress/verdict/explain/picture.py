"""What a text or a live guest shows of a guest's vCPUs, and the answer to it, as frozen types.

Everything that a cut or mangled text may lack is optional. Addresses and registers are as printed, 32 or 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from qstress.model import Confidence, ThreadUsage
from qstress.registers import WAIT_LOOP_BYTES

_EFLAGS_IF = 1 << 9
_CR0_PE = 1
_CR0_PG = 1 << 31


class Answer(StrEnum):
    """What a picture can show: a closed set (interface.md)."""

    LOST_INIT = "lost-init"
    REPLAYED_INIT = "replayed-init"
    RESET_VECTOR = "reset-vector"
    SPINNING = "spinning"
    BUSY = "busy"
    IDLE = "idle"
    HALTED = "halted"
    STOPPED_BY_KVM = "stopped-by-kvm"
    QEMU_DIED = "qemu-died"
    NOT_A_DUMP = "not-a-dump"
    INCONCLUSIVE = "inconclusive"


class Role(StrEnum):
    """vCPU 0 is the boot CPU under QEMU; a state without a number has no role."""

    BSP = "bsp"
    AP = "ap"
    UNKNOWN = "unknown"


class State(StrEnum):
    """What one vCPU was doing when it was looked at."""

    RESET_VECTOR = "reset-vector"  # f000:fff0 with base ffff0000
    SIPI_TAKEN = "sipi-taken"  # at the first byte of a SIPI vector, nothing run yet
    RUNNING = "running"
    IDLE = "idle"  # halted, an interrupt wakes it
    HALTED = "halted"  # halted with interrupts off, or not known whether on
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Look:
    """One vCPU as one dump shows it.

    ``numbered``: the text says which vCPU it is. ``whole``: every line of the dump is there, in QEMU's order, so that
    nothing of it can belong to another vCPU. ``long``: printed with 64-bit names (CS is a 64-bit segment).
    ``key`` is equal for equal dumps. ``eip_text`` is EIP as printed; with ``linear`` it includes the CS base (``info
    cpus`` of old QEMU). ``prints_code``: the dump ends with ``Code=``.
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
    ebx: int | None = None
    long: bool = False
    linear: bool = False
    whole: bool = False
    key: int = 0
    prints_code: bool = False

    @property
    def name(self) -> str:
        """``CPU#2``, or that the text does not say which."""
        return f"CPU#{self.index}" if self.numbered else "a vCPU without a number"

    @property
    def role(self) -> Role:
        """Whether this is the boot CPU, as far as the text says."""
        if not self.numbered:
            return Role.UNKNOWN
        return Role.AP if self.index else Role.BSP

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
    def place(self) -> int | None:
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
        place = self.place
        if place is None or self.linear or self.smm:
            return False
        return bool(self.protected) and not self.paging and 0xE0000 <= place <= 0xFFFFF

    @property
    def above_1m_unpaged(self) -> bool:
        """In 32-bit code above 1 MiB without paging: SeaBIOS's relocated start-up code, where no AP ever runs."""
        place = self.place
        return (
            place is not None
            and not (self.linear or self.smm)
            and self.cr0 is not None
            and bool(self.protected)
            and not self.paging
            and place > 0xFFFFF
        )

    @property
    def state(self) -> State:
        """What it was doing; HLT tells nothing of an AP at the reset vector (facts: qemu.md section 2)."""
        if self.eip is None:
            return State.UNKNOWN
        if self.at_reset_vector:
            return State.RESET_VECTOR
        if self.halted:
            return State.IDLE if self.interrupts else State.HALTED
        if self._took_sipi:
            return State.SIPI_TAKEN
        return State.UNKNOWN if self.halted is None and not self.linear else State.RUNNING

    @property
    def _took_sipi(self) -> bool:
        """CS base is the vector times 4096 and EIP 0, in real mode: ``EIP=00000000 CS =1000 00010000`` for SeaBIOS."""
        base = self.cs_base
        return (
            self.eip == 0
            and base is not None
            and 0 < base <= 0xFF000
            and base & 0xFFF == 0
            and self.cs_selector == base >> 4
            and self.protected is False
            and self.eflags == 2
        )

    @property
    def where(self) -> str:
        """The kind of code it is in, in a few words; empty where the text does not tell."""
        if self.eip is None or self.linear or self.at_reset_vector:
            return ""
        if self.smm:
            return "in SMM"
        if self.cpl:
            return "in user code"
        if self.long:
            return "in 64-bit code"
        if self.in_firmware:
            return "in 32-bit firmware code"
        if self.protected is False:
            place = self.place or 0
            return "in real-mode firmware code" if 0xC0000 <= place <= 0xFFFFF else "in real mode"
        if self.paging:
            return "in 32-bit kernel code"
        return "in 32-bit code without paging" if self.cr0 is not None else ""


@dataclass(frozen=True, slots=True)
class Dump:
    """vCPUs looked at together, in the order of the text."""

    looks: tuple[Look, ...]

    def of(self, index: int) -> Look | None:
        """Return the look at vCPU *index*, if it is there."""
        return next((look for look in self.looks if look.index == index), None)


@dataclass(frozen=True, slots=True)
class Words:
    """What is said around the dumps: the telling line of a KVM failure and of QEMU's end (empty: none), QEMU's run
    state. ``with_dump``: the line has its x86 dump after it. ``emulation``: KVM failed to emulate an instruction."""

    kvm: str = ""
    died: str = ""
    with_dump: bool = False
    emulation: bool = False
    aborted: bool = False
    status: str = ""
    found_cpus: bool = False

    @property
    def paused(self) -> bool:
        """Whether QEMU says that the guest did not run."""
        return self.status not in ("", "running")


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a text is beside or instead of a QEMU x86 dump (empty: nothing known): QEMU's dump of another CPU, another
    tool's dump, or a report."""

    name: str = ""
    other_cpu: bool = False
    dump: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything there is to judge.

    ``memory``: pieces of guest memory as (address, bytes), ascending. ``remnants``: parts of an x86 dump are there, but
    no vCPU. ``logged``: the states are from QEMU's ``-d`` log, one for each reset or exception. ``cut``: lines were
    left out (``......``). ``left_out``: states that were not read. ``usage``: what each vCPU thread of a living guest
    did between the dumps.
    """

    dumps: tuple[Dump, ...] = ()
    words: Words = Words()
    foreign: Foreign = Foreign()
    memory: tuple[tuple[int, bytes], ...] = ()
    remnants: bool = False
    logged: bool = False
    cut: bool = False
    left_out: int = 0
    usage: tuple[ThreadUsage, ...] = ()

    @property
    def numbered(self) -> bool:
        """Whether the text says which vCPU each state is of."""
        return bool(self.dumps) and all(look.numbered for dump in self.dumps for look in dump.looks)

    def latest(self) -> tuple[Look, ...]:
        """Return the last look at each vCPU, in ascending index."""
        by_index = {look.index: look for dump in self.dumps for look in dump.looks}
        return tuple(by_index[index] for index in sorted(by_index))

    def history(self, index: int) -> tuple[Look, ...]:
        """Return all looks at vCPU *index*, oldest first."""
        return tuple(look for dump in self.dumps if (look := dump.of(index)))


def names(looks: Iterable[Look], most: int = 8) -> str:
    """Return the names of *looks*, shortened where they are many: ``CPU#1, CPU#2, … (200 in all)``."""
    all_names = [look.name for look in looks]
    shown = all_names if len(all_names) <= most else [*all_names[: most - 1], f"… ({len(all_names)} in all)"]
    return ", ".join(shown)


def near(looks: tuple[Look, ...], within: int = WAIT_LOOP_BYTES) -> bool:
    """Whether all *looks* are at the same few bytes (none of them unknown)."""
    places = sorted(look.place for look in looks if look.place is not None)
    return len(places) == len(looks) > 0 and places[-1] - places[0] <= within


def places(looks: tuple[Look, ...], apart: int = WAIT_LOOP_BYTES) -> int:
    """Return how many clearly different addresses *looks* are at."""
    known = sorted(look.place for look in looks if look.place is not None)
    return bool(known) + sum(after - before > apart for before, after in pairwise(known))


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer: what is shown, how sure, per vCPU, why, and what would settle what is open."""

    verdict: Answer
    confidence: Confidence
    vcpus: tuple[Look, ...] = ()
    because: tuple[str, ...] = ()
    ask_for: tuple[str, ...] = ()

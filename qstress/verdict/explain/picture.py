"""What a text or a live guest shows of a guest's vCPUs, and the answer to it, as frozen types."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum

from qstress.model import Confidence, ThreadUsage
from qstress.verdict.vcpu import VcpuLook


class DumpVerdict(StrEnum):
    """What a picture can show: a closed set (docs/reference.md, "Explanations as JSON")."""

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


@dataclass(frozen=True, slots=True)
class Dump:
    """vCPUs looked at together, in ascending index."""

    looks: tuple[VcpuLook, ...]

    def of(self, index: int) -> VcpuLook | None:
        """Return the look at vCPU *index*, if it is there."""
        at = bisect_left(self.looks, index, key=lambda look: look.index)
        return self.looks[at] if at < len(self.looks) and self.looks[at].index == index else None


@dataclass(frozen=True, slots=True)
class Words:
    """What is said around the dumps: the telling line of a KVM failure and of QEMU's end (empty: none), QEMU's run
    state. ``kvm_with_dump``, ``died_with_dump``: the line has its x86 dump after it. ``then_died``: the line of QEMU's
    end, or the shell's word for it, comes after that of KVM. ``emulation``: KVM failed to emulate an instruction.
    ``panic``: a kernel's report of its own crash. ``ran``: a sign, before the last dump, that the guest had run."""

    kvm: str = ""
    died: str = ""
    kvm_with_dump: bool = False
    died_with_dump: bool = False
    then_died: str = ""
    emulation: bool = False
    status: str = ""
    found_cpus: bool = False
    panic: str = ""
    ran: str = ""

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

    ``copies``: how many more dumps there are that show nothing new. ``unnumbered``: so many states have no number and
    may be of as many vCPUs (0: none). ``interrupted``: between the dumps another guest or boot is spoken of.
    ``memory``: pieces of guest memory as (address, bytes), ascending. ``remnants``: parts of an x86 dump are there, but
    no vCPU. ``logged``: the states are from QEMU's ``-d`` log, one for each reset or exception. ``cut``: lines were
    left out (``......``). ``left_out``: states that were not read. ``usage``: what each vCPU thread of a living guest
    did between the dumps.
    """

    dumps: tuple[Dump, ...] = ()
    words: Words = Words()
    foreign: Foreign = Foreign()
    copies: int = 0
    unnumbered: int = 0
    interrupted: bool = False
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

    def latest(self) -> tuple[VcpuLook, ...]:
        """Return the last look at each vCPU, in ascending index."""
        by_index = {look.index: look for dump in self.dumps for look in dump.looks}
        return tuple(by_index[index] for index in sorted(by_index))

    def history(self, index: int) -> tuple[VcpuLook, ...]:
        """Return all looks at vCPU *index*, oldest first."""
        return tuple(look for dump in self.dumps if (look := dump.of(index)))


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer: what is shown, how sure, per vCPU, why, and what would settle what is open."""

    verdict: DumpVerdict
    confidence: Confidence
    vcpus: tuple[VcpuLook, ...] = ()
    because: tuple[str, ...] = ()
    ask_for: tuple[str, ...] = ()

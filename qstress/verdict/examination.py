"""What was seen of a guest that stands still, and what that says of each vCPU (pure; the rules are in ``hang``).

Two kinds of witnesses. Register dumps say where a vCPU is. ``/proc`` says whether its thread slept, ran, or wanted to
and could not, and it disturbs nothing. The second is what tells a lost wake-up from a busy host: to send an INIT or a
SIPI wakes the thread of its target in the same instant (``kvm_vcpu_kick``; ``qemu_cpu_kick`` under TCG), so an AP
that has been woken and not yet run is runnable, state R. One that sleeps in KVM's or TCG's own wait, while the boot CPU
is already past its broadcast, has not been woken, however slow the host is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qstress.model import Observation, ThreadUsage, VcpuState, WaitLoop
from qstress.verdict.vcpu import VcpuLook
from qstress.verdict.wait import ApWait

#: A vCPU that waits uses no CPU beyond what a stray kick costs it (0.1 ms on a nested KVM).
SLEEPS_BELOW = 0.05
#: A vCPU that runs has used so much CPU time once it was watched for long enough. ``/proc`` counts a thread that has
#: not left its CPU in ticks of 1 to 10 ms, so less shows nothing.
SPINS_ABOVE_S = 0.002
#: A loop is this long at most, and seen so many times before it is called one.
LOOP_BYTES, LOOP_LOOKS = 256, 6


@dataclass(frozen=True, slots=True)
class Examination:
    """What was seen of a doubtful guest after hammering had stopped, in this order.

    ``running`` and ``runstate`` are QEMU's own word. ``boot_cpu`` are looks at the boot CPU alone, ``waited`` the wait
    loop found at one of them, ``quiet`` the threads' time after that and before anything touched an AP. ``before``
    and ``after`` are two dumps of all vCPUs, ``usage`` the threads' time between them, ``wait_loop`` what the wait loop
    said after them (None where it was not found). Both dumps are empty where the APs were not looked at.
    ``progressed``: the console spoke, or another AP was counted, meanwhile. ``sipi_sent`` is what the boot CPU's APIC
    says of the last interrupt it sent, where that is a SIPI. ``code`` are the bytes around the boot CPU's EIP, from an
    address that does not depend on where in a loop it was seen. ``kvm`` is the accelerator, ``known_firmware`` whether
    the shape's firmware is one whose milestones we know.
    """

    before: Observation
    after: Observation
    usage: tuple[ThreadUsage, ...]
    progressed: bool
    running: bool
    runstate: str
    wait_loop: WaitLoop | None
    quiet: tuple[ThreadUsage, ...] = ()
    boot_cpu: tuple[VcpuState, ...] = ()
    waited: WaitLoop | None = None
    sipi_sent: str = ""
    code: bytes = b""
    kvm: bool = False
    known_firmware: bool = True

    @property
    def dumped(self) -> bool:
        """Whether all vCPUs were seen twice."""
        return bool(self.before.vcpus and self.after.vcpus)

    @property
    def aps(self) -> tuple[tuple[VcpuLook, VcpuLook], ...]:
        """Each AP as the first and as the second dump has it."""
        old = {vcpu.index: VcpuLook.of(vcpu) for vcpu in self.before.vcpus}
        new = [VcpuLook.of(vcpu) for vcpu in self.after.vcpus if vcpu.index > 0 and vcpu.index in old]
        return tuple((old[look.index], look) for look in new)

    @property
    def wait_before(self) -> ApWait | None:
        """The boot CPU's wait as it was found before anything touched an AP."""
        return ApWait.of(self.waited)

    @property
    def wait(self) -> ApWait | None:
        """The boot CPU's wait after both dumps."""
        return ApWait.of(self.wait_loop)

    @property
    def lost(self) -> tuple[int, ...]:
        """APs at the reset vector in both dumps, where the boot CPU is elsewhere."""
        if not self.dumped or self.before.vcpus[0].at_reset_vector or self.after.vcpus[0].at_reset_vector:
            return ()
        return tuple(new.index for old, new in self.aps if old.at_reset_vector and new.at_reset_vector)

    @property
    def left_reset_vector(self) -> tuple[int, ...]:
        """APs at the reset vector in the first dump only."""
        return tuple(new.index for old, new in self.aps if old.at_reset_vector and not new.at_reset_vector)

    @property
    def moved(self) -> bool:
        """Whether any AP is elsewhere than before (a boot CPU that spins may show any address of its loop)."""
        return any(old.linear_address != new.linear_address for old, new in self.aps)

    @property
    def spins(self) -> bool:
        """Whether the boot CPU ran between the dumps."""
        return any(thread.index == 0 and thread.cpu_s >= SPINS_ABOVE_S for thread in self.usage)

    def asleep(self, index: int) -> bool:
        """Whether vCPU *index* slept all the time that its thread was watched, in the wait of a vCPU and no other."""
        return self._slept(index, (*self.quiet, *self.usage))

    def slept_before(self, index: int) -> bool:
        """Whether vCPU *index* slept until the first dump."""
        return self._slept(index, self.quiet)

    def starved(self, index: int) -> bool:
        """Whether vCPU *index* wanted to run and the host did not let it."""
        return any(starving(thread) for thread in (*self.quiet, *self.usage) if thread.index == index)

    @property
    def boot_cpu_span(self) -> int | None:
        """Within how many bytes of code all looks at the boot CPU, early and late, found it; None for too few."""
        looks = [vcpu.linear_address for vcpu in self.boot_cpu]
        looks += [seen.vcpus[0].linear_address for seen in (self.before, self.after) if seen.vcpus]
        return max(looks) - min(looks) if len(looks) >= LOOP_LOOKS else None

    def _slept(self, index: int, threads: Sequence[ThreadUsage]) -> bool:
        """Where the kernel does not tell the wait channel (``0``), a thread's state has to do."""
        looks = [thread for thread in threads if thread.index == index]
        return bool(looks) and all(
            thread.state == "S"
            and thread.share < SLEEPS_BELOW
            and (not self.kvm or thread.wchan in ("", "0") or "kvm_vcpu" in thread.wchan)
            for thread in looks
        )


def starving(thread: ThreadUsage) -> bool:
    """Whether a thread is runnable and has had next to no CPU time."""
    return thread.state == "R" and thread.share < SLEEPS_BELOW


def watched_enough(usage: Sequence[ThreadUsage]) -> bool:
    """Whether threads have been watched for long enough: a boot CPU that runs has had time to show it, and no other
    thread is on its way to a CPU (a stray kick, or the host's fault: a little later one can tell)."""
    return not any(
        thread.state == "R" and thread.cpu_s < SPINS_ABOVE_S if thread.index == 0 else starving(thread)
        for thread in usage
    )

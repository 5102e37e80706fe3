"""Is a guest that makes no progress hung, and how? Two dumps, thread times and code bytes decide.

A hang needs two witnesses (design.md, 4.6): the console made no progress while the vCPUs' state stayed the same in two
dumps taken after hammering stopped; and ``/proc`` says who spun and who slept in between. Where SeaBIOS's wait loop is
found by its bytes at the boot CPU's EIP, it also says how many vCPUs it waits for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qstress.model import (
    BootProgress,
    Confidence,
    FindingClass,
    Milestone,
    Observation,
    Outcome,
    ThreadUsage,
    VcpuState,
    Verdict,
    WaitLoop,
)
from qstress.verdict.signature import signature

#: An AP that waits for SIPI uses no CPU between two looks beyond what the dumps themselves cost it.
SLEEPS_BELOW = 0.05
#: A boot CPU that spins uses at least this many times the CPU of a sleeping AP, however loaded the host is.
SPINS_ABOVE_S = 0.02


@dataclass(frozen=True, slots=True)
class Examination:
    """What was seen of a doubtful guest after hammering had stopped.

    ``before`` and ``after`` are two dumps ``usage[i].wall_s`` seconds apart, ``progressed`` whether the console said
    anything between them, ``running`` QEMU's own word on the run state, ``wait_loop`` None where its bytes were not
    found at the boot CPU's EIP.
    """

    before: Observation
    after: Observation
    usage: tuple[ThreadUsage, ...]
    progressed: bool
    running: bool
    runstate: str
    wait_loop: WaitLoop | None


def diagnose(examination: Examination, log: BootProgress) -> Verdict:
    """Return the verdict on a guest whose console fell silent before all vCPUs were up."""
    before, after = examination.before.vcpus, examination.after.vcpus
    if not examination.running:
        return Verdict(Outcome.UNKNOWN, f"the guest is not running: {examination.runstate}")
    if not before or not after:
        return Verdict(Outcome.UNKNOWN, "the register dumps could not be read")
    lost = _lost(before, after)
    if examination.progressed or _moved(before, after):
        return _moving(examination, log, bool(lost or _lost(before, before)))
    if lost:
        return _lost_init(examination, log, lost)
    if examination.wait_loop is not None:
        return _bsp_spin(examination, log, examination.wait_loop)
    return Verdict(
        Outcome.HANG,
        f"no progress after {log.milestone.name.lower()}, and none of the known pictures",
        FindingClass.HANG_OTHER,
        signature(FindingClass.HANG_OTHER, after, log.milestone),
        Confidence.LIKELY,
        ("the console is silent and the vCPUs' state did not change between two dumps", _usage_line(examination.usage)),
    )


def _lost(before: Sequence[VcpuState], after: Sequence[VcpuState]) -> tuple[int, ...]:
    """Indices of APs at the reset vector in both dumps, where the boot CPU is elsewhere."""
    if not before or before[0].at_reset_vector or after[0].at_reset_vector:
        return ()
    first = {vcpu.index for vcpu in before[1:] if vcpu.at_reset_vector}
    return tuple(vcpu.index for vcpu in after[1:] if vcpu.at_reset_vector and vcpu.index in first)


def _moved(before: Sequence[VcpuState], after: Sequence[VcpuState]) -> bool:
    """Whether any AP is elsewhere than before (a boot CPU that spins may show any address of its loop)."""
    old = {vcpu.index: vcpu for vcpu in before[1:]}
    return any(
        vcpu.index in old and (vcpu.eip, vcpu.cs_base) != (old[vcpu.index].eip, old[vcpu.index].cs_base)
        for vcpu in after[1:]
    )


def _moving(examination: Examination, log: BootProgress, was_lost: bool) -> Verdict:
    if not was_lost:
        return Verdict(Outcome.UNKNOWN, "still moving", confidence=Confidence.INCONCLUSIVE)
    return Verdict(
        Outcome.UNKNOWN,
        "stuck, and moved once register dumps looked at it",
        FindingClass.CURED_BY_LOOKING,
        signature(FindingClass.CURED_BY_LOOKING, examination.before.vcpus, log.milestone),
        Confidence.LIKELY,
        ("an AP stood at the reset vector with the console silent, and went on after it was dumped: a lost wake-up",),
    )


def _lost_init(examination: Examination, log: BootProgress, lost: tuple[int, ...]) -> Verdict:
    usage = {thread.index: thread for thread in examination.usage}
    spinner = usage.get(0)
    asleep = [index for index in lost if index in usage and usage[index].share < SLEEPS_BELOW]
    spins = spinner is not None and spinner.cpu_s >= SPINS_ABOVE_S
    loop = examination.wait_loop
    counted = loop is not None and loop.found < loop.expected
    sure = spins and len(asleep) == len(lost) and counted
    names = ", ".join(f"CPU#{index}" for index in lost)
    because = [
        f"{names} at EIP=0000fff0 CS=f000 base ffff0000 in two dumps taken after hammering had stopped",
        f"the console is silent since '{log.last_line}' and never said Found",
        _usage_line(examination.usage),
    ]
    if loop is not None:
        because.append(f"CPU#0 is in its firmware's wait loop: it waits for {loop.expected} vCPUs and has {loop.found}")
    if log.milestone < Milestone.PCI and not counted:
        return Verdict(
            Outcome.HANG,
            f"no progress after {log.milestone.name.lower()}, before the APs were to be woken",
            FindingClass.HANG_OTHER,
            signature(FindingClass.HANG_OTHER, examination.after.vcpus, log.milestone),
            Confidence.LIKELY,
            tuple(because),
        )
    return Verdict(
        Outcome.HANG,
        f"lost INIT: {names} never left the reset vector while CPU#0 spins",
        FindingClass.LOST_INIT,
        signature(FindingClass.LOST_INIT, examination.after.vcpus, log.milestone),
        Confidence.CERTAIN if sure else Confidence.LIKELY,
        tuple(because),
    )


def _bsp_spin(examination: Examination, log: BootProgress, loop: WaitLoop) -> Verdict:
    return Verdict(
        Outcome.HANG,
        f"CPU#0 waits for {loop.expected} vCPUs and has {loop.found}, but none is at the reset vector",
        FindingClass.BSP_SPIN,
        signature(FindingClass.BSP_SPIN, examination.after.vcpus, log.milestone),
        Confidence.CERTAIN,
        (
            "no AP stands at the reset vector: the count is wrong, or an AP was lost later",
            _usage_line(examination.usage),
        ),
    )


def _usage_line(usage: Sequence[ThreadUsage]) -> str:
    shares = ", ".join(f"CPU#{thread.index} {100 * thread.share:.0f} %" for thread in usage[:8])
    wall_s = usage[0].wall_s if usage else 0.0
    return f"CPU time in the {wall_s:.2f} s between the dumps: {shares}{', …' if len(usage) > 8 else ''}"

"""What a picture shows, how sure that is, and what would settle it.

Three rules keep it honest. *Certain* takes a second witness: two looks apart in time at whole dumps, or QEMU's own
words. An AP at the reset vector is lost only beside a boot CPU that waits for it. What one moment cannot tell from
another (busy or spinning, idle or hung) is named as the lesser of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from qstress.model import Confidence
from qstress.verdict.explain import bringup, parked
from qstress.verdict.explain.ask import (
    ALL_VCPUS,
    DUMP,
    HOST_LOG,
    SECOND_DUMP,
    STATUS,
    THREADS,
    WHOLE_DUMP,
    beyond_copies,
    to_collect,
)
from qstress.verdict.explain.picture import DumpVerdict, Explanation, Picture
from qstress.verdict.vcpu import VcpuActivity, VcpuLook, VcpuRole, distinct_places, look_names, within_few_bytes

CERTAIN, LIKELY, INCONCLUSIVE = Confidence.CERTAIN, Confidence.LIKELY, Confidence.INCONCLUSIVE
#: What several looks can make certain; QEMU's own words need no second one.
_OF_LOOKS = frozenset(DumpVerdict) - {DumpVerdict.STOPPED_BY_KVM, DumpVerdict.QEMU_DIED, DumpVerdict.NOT_A_DUMP}


def decide(picture: Picture) -> Explanation:
    """Return the answer to *picture*: the first rule that applies gives it."""
    answer = next((told for rule in _RULES if (told := rule(picture)) is not None), None) or _by_states(picture)
    because, asked, confidence = list(answer.because), answer.ask_for, answer.confidence
    if answer.verdict in _OF_LOOKS and picture.copies and len(picture.dumps) < 2:
        because.append("the text holds this dump more than once, whole or in part: copies are one look")
        asked = beyond_copies(asked)
    if answer.verdict in _OF_LOOKS and picture.interrupted:
        because.append("between the dumps the text speaks of another guest, boot or reset: they may not be of one hang")
        confidence = LIKELY if confidence is CERTAIN else confidence
        asked = asked or to_collect(picture, SECOND_DUMP, STATUS)
    if picture.words.panic:
        because.append(_crash_report(picture.words.panic))
    if picture.left_out:
        because.append(f"{picture.left_out} further states were not read")
    return replace(answer, confidence=confidence, because=tuple(because), ask_for=asked)


def _crash_report(line: str) -> str:
    what = "a kernel's panic" if "panic" in line.lower() else "a kernel's report of a fault"
    return f"the text also holds {what}, the guest's own where this is its console: {line}"


def _no_dump(picture: Picture) -> Explanation | None:
    """Without any vCPU QEMU's words still tell that KVM stopped or QEMU died, unless they are of another CPU."""
    if picture.dumps:
        return None
    words, foreign, failed = picture.words, picture.foreign, _kvm_failed(picture)
    said = failed or (f"QEMU says: {words.died}" if words.died else "")
    if foreign.dump or (not said and not picture.remnants):
        because = [f"it is {foreign.name}" if foreign.name else "it holds no line of a QEMU register dump"]
        because += [f"beside it {said}"] if said else []
        return _told(picture, DumpVerdict.NOT_A_DUMP, CERTAIN, because, (DUMP,))
    if said:
        ended = [f"QEMU itself then ended: {words.then_died}"] if failed and words.then_died else []
        verdict = DumpVerdict.QEMU_DIED if ended or not failed else DumpVerdict.STOPPED_BY_KVM
        because = [said, *ended, "the text holds no register dump"]
        return _told(picture, verdict, LIKELY, because, (HOST_LOG,))
    because = ["parts of an x86 register dump are there, but no instruction pointer"]
    return _told(picture, DumpVerdict.INCONCLUSIVE, INCONCLUSIVE, because, (DUMP,))


def _kvm_failed(picture: Picture) -> str:
    """What shows that KVM would not go on (empty: nothing). Only then QEMU prints the code around EIP
    (``CPU_DUMP_CODE``), which tells where its words are cut off."""
    if picture.words.kvm:
        return f"QEMU says: {picture.words.kvm}"
    if picture.words.status == "internal-error":
        return "QEMU's run state is internal-error"
    if any(look.prints_code for look in picture.latest()):
        return "the dump ends with the code around EIP, which QEMU prints only when KVM failed"
    return ""


def _qemu_died(picture: Picture) -> Explanation | None:
    """``cpu_abort`` and ``hw_error`` print the registers and abort. What QEMU, the shell or libvirt say of an end after
    KVM had failed is no more than likely of the same QEMU: a log can hold two runs."""
    words, failed = picture.words, _kvm_failed(picture)
    if failed and words.then_died:
        because = [failed, f"QEMU itself then ended: {words.then_died}"]
        return _told(picture, DumpVerdict.QEMU_DIED, LIKELY, because, (HOST_LOG,))
    if not words.died or failed:
        return None
    because = [f"QEMU says: {words.died}"]
    if words.died_with_dump:
        because.append("QEMU ends with this message: the registers are its last look at the guest")
    confidence = CERTAIN if words.died_with_dump and not picture.foreign.other_cpu else LIKELY
    return _told(picture, DumpVerdict.QEMU_DIED, confidence, because, (HOST_LOG,))


def _stopped_by_kvm(picture: Picture) -> Explanation | None:
    """KVM would not go on, and QEMU stops the guest (``internal-error``); after a failed emulation only where it was of
    code in real mode or kernel mode (``kvm_arch_stop_on_emulation_error``)."""
    words, looks, failed = picture.words, picture.latest(), _kvm_failed(picture)
    if not failed:
        return None
    because = [failed]
    sure = words.kvm_with_dump and not picture.foreign.other_cpu if words.kvm else words.status == "internal-error"
    if words.emulation and looks and all(look.cpl == 3 for look in looks):
        because.append("it was an instruction of user code: QEMU then tells, and lets the guest go on")
        sure = False
    if words.died:
        because.append(f"QEMU also says, before that: {words.died}")
        sure = False
    return _told(picture, DumpVerdict.STOPPED_BY_KVM, CERTAIN if sure else LIKELY, because, (HOST_LOG,))


def _from_a_log(picture: Picture) -> Explanation | None:
    """What ``-d`` logged is no look at one moment. A log of resets (``cpu_common_reset``, hw/core/cpu-common.c) shows
    each vCPU as it was *before* a reset: one that was at the reset vector then had run nothing since the reset before.
    """
    if not picture.logged:
        return None
    looks = picture.latest()
    because = ["these are states that QEMU logged at resets or exceptions (-d), not looks at one moment"]
    if all(look.of_reset and look.at_reset_vector for look in looks) and any(look.numbered for look in looks):
        because.append("at its last reset each vCPU stood where x86 starts: nothing had run since the one before")
        because += _ran_before(picture)
        return _told(picture, DumpVerdict.RESET_VECTOR, LIKELY, because, to_collect(picture, ALL_VCPUS, STATUS))
    return _told(picture, DumpVerdict.INCONCLUSIVE, INCONCLUSIVE, because, (ALL_VCPUS, STATUS))


def _without_numbers(picture: Picture) -> Explanation | None:
    """Lines cut out of a dump say of no state which vCPU it is of, nor whether they are of one moment."""
    if not picture.unnumbered:
        return None
    reason = f"{picture.unnumbered} states without vCPU numbers: whose each is, and of which moment, is not in the text"
    asked = to_collect(picture, ALL_VCPUS, WHOLE_DUMP, STATUS)
    return _told(picture, DumpVerdict.INCONCLUSIVE, INCONCLUSIVE, [reason], asked)


def _all_at_reset_vector(picture: Picture) -> Explanation | None:
    """Nothing has run since the last reset, or only the run state can tell. An AP there alone says nothing: every AP
    starts so. Whether the guest had run before that reset is not in the registers, whatever the run state: one that is
    reset while it is paused is in ``prelaunch``, as one that was never started (``main_loop_should_exit``,
    system/runstate.c)."""
    looks = picture.latest()
    if not all(look.at_reset_vector for look in looks):
        return None
    words = picture.words
    boot_cpu = any(look.role is VcpuRole.BSP for look in looks)
    if not boot_cpu and picture.numbered:
        because = ["only APs are shown, and each AP stands there until the boot CPU wakes it: one alone is not lost"]
        return _told(picture, DumpVerdict.RESET_VECTOR, INCONCLUSIVE, because, to_collect(picture, ALL_VCPUS))
    shown = "every vCPU" if len(looks) > 1 else "the one vCPU shown"
    because = [f"{shown} stands where x86 starts, EIP=0000fff0 with CS base ffff0000: as a reset leaves it"]
    because += _ran_before(picture)
    if words.paused:
        because.append(f"QEMU says that the guest does not run: {words.status}")
    elif not words.status:
        because.append("whether it was started since its last reset (-S, paused) is not in the registers")
    stood = all(look.at_reset_vector for dump in picture.dumps for look in dump.looks)
    sure = boot_cpu and stood and all(look.whole for look in looks) and (words.paused or len(picture.dumps) > 1)
    asked = to_collect(picture, STATUS)
    return _told(picture, DumpVerdict.RESET_VECTOR, CERTAIN if sure else LIKELY, because, asked)


def _ran_before(picture: Picture) -> list[str]:
    """What shows that a guest which stands at the reset vector had run before it was reset."""
    if picture.words.ran:
        return [f"the text shows '{picture.words.ran}' before that: the guest may have run, and been reset since"]
    looks = [look for dump in picture.dumps for look in dump.looks]
    if any(look.activity not in (VcpuActivity.RESET_VECTOR, VcpuActivity.UNKNOWN) for look in looks):
        return ["an earlier look shows it elsewhere: it was reset since"]
    return []


def _by_states(picture: Picture) -> Explanation:
    """Judge by who runs and who is halted, where nothing more special is shown."""
    looks = picture.latest()
    because = list(bringup.remarks(picture))
    running = [look for look in looks if look.activity in (VcpuActivity.RUNNING, VcpuActivity.SIPI_TAKEN)]
    halted = [look for look in looks if look.activity in (VcpuActivity.IDLE, VcpuActivity.HALTED)]
    if running:
        return _running(picture, running, because)
    if halted:
        return _halted(picture, halted, because)
    if any(look.activity is VcpuActivity.UNKNOWN for look in looks):
        because.append("the text does not say of every vCPU where it is and whether it is halted (EIP, HLT)")
    asked = to_collect(picture, WHOLE_DUMP, SECOND_DUMP, STATUS)
    return _told(picture, DumpVerdict.INCONCLUSIVE, INCONCLUSIVE, because, asked)


def _running(picture: Picture, running: Sequence[VcpuLook], because: list[str]) -> Explanation:
    """One look shows that a vCPU ran; the same few bytes in several looks, that it spins.

    QEMU under TCG tells EIP only at the edges of translated blocks, so two equal addresses can be chance: three are
    certain.
    """
    histories = [] if picture.words.paused else [picture.history(look.index) for look in running]
    spinning = [
        seen
        for seen in histories
        if len(seen) > 1 and within_few_bytes(seen) and all(look.activity is VcpuActivity.RUNNING for look in seen)
    ]
    if spinning and not bringup.left_reset_vector(picture):
        because.append(f"{look_names(seen[-1] for seen in spinning)} ran, and was at the same few bytes each time")
        sure = any(_proves(seen) and len({look.key for look in seen}) > 2 for seen in spinning)
        asked = () if sure else to_collect(picture, SECOND_DUMP, THREADS)
        return _told(picture, DumpVerdict.SPINNING, CERTAIN if sure else LIKELY, because, asked)
    if moved := [seen[-1] for seen in histories if distinct_places(seen) > 1]:
        because.append(f"{look_names(moved)} ran, at other addresses each time")
    else:
        because.append(f"{look_names(running)} ran at that moment; one look shows no more")
    if picture.words.paused:
        because.append(f"the guest is paused ({picture.words.status}): nothing can move until it runs")
    sure = any(distinct_places(seen) > 2 and _proves(seen) for seen in histories)
    asked = to_collect(picture, SECOND_DUMP, STATUS, THREADS)
    return _told(picture, DumpVerdict.BUSY, CERTAIN if sure else LIKELY, because, asked)


def _halted(picture: Picture, halted: Sequence[VcpuLook], because: list[str]) -> Explanation:
    """Halted with interrupts on is what an idle guest looks like; with interrupts off only NMI, SMI or INIT wake it.

    SeaBIOS parks its APs with interrupts off, so one vCPU that can be woken makes the guest idle.
    """
    idle = [look for look in halted if look.activity is VcpuActivity.IDLE]
    if not idle and any(look.interrupts is None for look in halted):
        because.append("halted, but EFLAGS is not in the text: an interrupt may wake it or not")
        return _told(picture, DumpVerdict.INCONCLUSIVE, INCONCLUSIVE, because, to_collect(picture, WHOLE_DUMP))
    parked = "halted, interrupts off: parked by firmware, stopped for good, or for an NMI"
    wakeable = "halted, interrupts on: so is an idle guest, and one that lost an interrupt"
    because.append(f"{look_names(idle or halted)}: {wakeable if idle else parked}")
    numbers = [look.index for look in halted if look.numbered]
    everyone = numbers == list(range(len(picture.latest()))) and len(numbers) > 1  # one alone may be one of many
    histories = [picture.history(index) for index in numbers]
    same = all(len(seen) > 1 and _proves(seen) and len({look.activity for look in seen}) == 1 for seen in histories)
    sure = everyone and same and not picture.words.paused
    verdict = DumpVerdict.IDLE if idle else DumpVerdict.HALTED
    asked = to_collect(picture, SECOND_DUMP, STATUS)
    return _told(picture, verdict, CERTAIN if sure else LIKELY, because, asked)


def _told(
    picture: Picture, verdict: DumpVerdict, confidence: Confidence, because: Sequence[str], asked: tuple[str, ...]
) -> Explanation:
    return Explanation(verdict, confidence, picture.latest(), tuple(because), asked)


def _proves(seen: Sequence[VcpuLook]) -> bool:
    """Whether these looks are whole and of a vCPU known by its number, so that no mix-up explains what they show."""
    return all(look.whole and look.numbered for look in seen)


_RULES: tuple[Callable[[Picture], Explanation | None], ...] = (
    _no_dump,
    _qemu_died,
    _stopped_by_kvm,
    _from_a_log,
    _without_numbers,
    _all_at_reset_vector,
    bringup.replayed_init,
    bringup.lost_init,
    bringup.waits_for_none,
    parked.replayed_in_flash,
    parked.lost_in_first_round,
    parked.lost_in_later_round,
)

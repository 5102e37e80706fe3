"""What a picture shows, how sure that is, and what would settle it.

Three rules keep it honest. *Certain* takes a second witness: two looks apart in time at whole dumps, or QEMU's own
words. An AP at the reset vector is lost only beside a boot CPU that waits for it. What one moment cannot tell from
another (busy or spinning, idle or hung) is named as the lesser of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from qstress.model import Confidence
from qstress.verdict.explain import bringup
from qstress.verdict.explain.picture import Answer, Explanation, Look, Picture, Role, State, names, near, places
from qstress.verdict.explain.wanted import (
    ALL_VCPUS,
    DUMP,
    HOST_LOG,
    SECOND_DUMP,
    STATUS,
    THREADS,
    WHOLE_DUMP,
    to_collect,
)

CERTAIN, LIKELY, INCONCLUSIVE = Confidence.CERTAIN, Confidence.LIKELY, Confidence.INCONCLUSIVE


def decide(picture: Picture) -> Explanation:
    """Return the answer to *picture*: the first rule that applies gives it."""
    answer = next((told for rule in _RULES if (told := rule(picture)) is not None), None) or _by_states(picture)
    if picture.left_out:
        answer = replace(answer, because=(*answer.because, f"{picture.left_out} further states were not read"))
    return answer


def _no_dump(picture: Picture) -> Explanation | None:
    """Without any vCPU QEMU's words still tell that KVM stopped or QEMU died, unless they are of another CPU."""
    if picture.dumps:
        return None
    words, foreign = picture.words, picture.foreign
    stopped = words.kvm or ("run state internal-error" if words.status == "internal-error" else "")
    said = stopped or words.died
    if foreign.dump or (not said and not picture.remnants):
        because = [f"it is {foreign.name}" if foreign.name else "it holds no line of a QEMU register dump"]
        if said:
            because.append(f"the text also says: {said}")
        return Explanation(Answer.NOT_A_DUMP, CERTAIN, (), tuple(because), (DUMP,))
    if said:
        verdict = Answer.STOPPED_BY_KVM if stopped else Answer.QEMU_DIED
        return Explanation(verdict, LIKELY, (), (f"QEMU says: {said}", "the text holds no register dump"), (HOST_LOG,))
    because = ["parts of an x86 register dump are there, but no instruction pointer"]
    return Explanation(Answer.INCONCLUSIVE, INCONCLUSIVE, (), tuple(because), (DUMP,))


def _qemu_died(picture: Picture) -> Explanation | None:
    """``cpu_abort`` and ``hw_error`` print the registers and abort; a failure of KVM before it is the cause."""
    words = picture.words
    if not words.died or words.kvm:
        return None
    because = [f"QEMU says: {words.died}"]
    if words.with_dump:
        because.append("QEMU ends with this message: the registers are its last look at the guest")
    confidence = CERTAIN if _is_about_x86(picture) else LIKELY
    return Explanation(Answer.QEMU_DIED, confidence, picture.latest(), tuple(because), (HOST_LOG,))


def _stopped_by_kvm(picture: Picture) -> Explanation | None:
    """KVM would not go on, and QEMU stops the guest (``internal-error``).

    After a failed emulation QEMU stops only code in real mode or kernel mode (``kvm_arch_stop_on_emulation_error``);
    and only where KVM fails it prints the code around EIP (``CPU_DUMP_CODE``), which tells where its words are cut.
    """
    words, looks = picture.words, picture.latest()
    because = []
    confidence = CERTAIN
    if words.kvm:
        because.append(f"QEMU says: {words.kvm}")
        confidence = CERTAIN if _is_about_x86(picture) else LIKELY
    elif words.status == "internal-error":
        because.append("QEMU's run state is internal-error")
    elif any(look.prints_code for look in looks):
        because.append("the dump ends with the code around EIP, which QEMU prints only when KVM failed")
        confidence = LIKELY
    else:
        return None
    if words.emulation and looks and all(look.cpl == 3 for look in looks):
        because.append("it was an instruction of user code: QEMU then tells, and lets the guest go on")
        confidence = LIKELY
    if words.died or words.aborted:
        because.append(f"QEMU itself then ended: {words.died or 'Aborted'}")
        confidence = LIKELY
    return Explanation(Answer.STOPPED_BY_KVM, confidence, looks, tuple(because), (HOST_LOG,))


def _is_about_x86(picture: Picture) -> bool:
    """Whether QEMU's message belongs to the x86 dump: that comes after it, and no other CPU's dump is in the text."""
    return picture.words.with_dump and not picture.foreign.other_cpu


def _from_a_log(picture: Picture) -> Explanation | None:
    if not picture.logged:
        return None
    because = ("these are states that QEMU logged at resets or exceptions (-d), not looks at one moment",)
    return Explanation(Answer.INCONCLUSIVE, INCONCLUSIVE, picture.latest(), because, (ALL_VCPUS, STATUS))


def _all_at_reset_vector(picture: Picture) -> Explanation | None:
    """Nothing has run, or only the run state can tell. An AP there alone says nothing: every AP starts so."""
    looks = picture.latest()
    if not all(look.at_reset_vector for look in looks):
        return None
    words = picture.words
    boot_cpu = any(look.role is Role.BSP for look in looks)
    always = len(picture.dumps) > 1 and all(look.at_reset_vector for dump in picture.dumps for look in dump.looks)
    if not boot_cpu and picture.numbered:
        because = ["only APs are shown, and each AP stands there until the boot CPU wakes it: one alone is not lost"]
        return Explanation(Answer.RESET_VECTOR, INCONCLUSIVE, looks, tuple(because), to_collect(picture, ALL_VCPUS))
    because = ["every vCPU stands where x86 starts, EIP=0000fff0 with CS base ffff0000: no instruction has run"]
    if words.paused:
        because.append(f"QEMU says that the guest does not run: {words.status}")
    elif not words.status:
        because.append("whether it was started at all (-S, paused) is not in the registers")
    whole = boot_cpu and all(look.whole for look in looks)
    sure = whole and (words.paused or always)
    return Explanation(
        Answer.RESET_VECTOR, CERTAIN if sure else LIKELY, looks, tuple(because), to_collect(picture, STATUS)
    )


def _by_states(picture: Picture) -> Explanation:
    """Judge by who runs and who is halted, where nothing more special is shown."""
    looks = picture.latest()
    because = list(bringup.remarks(picture))
    running = [look for look in looks if look.state in (State.RUNNING, State.SIPI_TAKEN)]
    halted = [look for look in looks if look.state in (State.IDLE, State.HALTED)]
    if running:
        return _running(picture, running, because)
    if halted:
        return _halted(picture, halted, because)
    if any(look.state is State.UNKNOWN for look in looks):
        because.append("the text does not say of every vCPU where it is and whether it is halted (EIP, HLT)")
    return Explanation(
        Answer.INCONCLUSIVE, INCONCLUSIVE, looks, tuple(because), to_collect(picture, WHOLE_DUMP, SECOND_DUMP, STATUS)
    )


def _running(picture: Picture, running: Sequence[Look], because: list[str]) -> Explanation:
    """One look shows that a vCPU ran; the same few bytes in several looks, that it spins.

    QEMU under TCG tells EIP only at the edges of translated blocks, so two equal addresses can be chance: three are
    certain.
    """
    histories = [] if picture.words.paused else [picture.history(look.index) for look in running]
    spinning = [
        seen for seen in histories if len(seen) > 1 and near(seen) and all(look.state is State.RUNNING for look in seen)
    ]
    if spinning and not bringup.left_reset_vector(picture):
        because.append(f"{names(seen[-1] for seen in spinning)} ran, and was at the same few bytes each time")
        sure = any(_proves(seen) and len({look.key for look in seen}) > 2 for seen in spinning)
        asked = () if sure else to_collect(picture, SECOND_DUMP, THREADS)
        return Explanation(Answer.SPINNING, CERTAIN if sure else LIKELY, picture.latest(), tuple(because), asked)
    if moved := [seen[-1] for seen in histories if places(seen) > 1]:
        because.append(f"{names(moved)} ran, at other addresses each time")
    else:
        because.append(f"{names(running)} ran at that moment; one look shows no more")
    if picture.words.paused:
        because.append(f"the guest is paused ({picture.words.status}): nothing can move until it runs")
    sure = any(places(seen) > 2 and _proves(seen) for seen in histories)
    asked = to_collect(picture, SECOND_DUMP, STATUS, THREADS)
    return Explanation(Answer.BUSY, CERTAIN if sure else LIKELY, picture.latest(), tuple(because), asked)


def _halted(picture: Picture, halted: Sequence[Look], because: list[str]) -> Explanation:
    """Halted with interrupts on is what an idle guest looks like; with interrupts off only NMI, SMI or INIT wake it.

    SeaBIOS parks its APs with interrupts off, so one vCPU that can be woken makes the guest idle.
    """
    idle = [look for look in halted if look.state is State.IDLE]
    if not idle and any(look.interrupts is None for look in halted):
        because.append("halted, but EFLAGS is not in the text: an interrupt may wake it or not")
        return Explanation(
            Answer.INCONCLUSIVE, INCONCLUSIVE, picture.latest(), tuple(because), to_collect(picture, WHOLE_DUMP)
        )
    if idle:
        because.append(f"{names(idle)}: halted, interrupts on: so is an idle guest, and one that lost an interrupt")
    else:
        because.append(f"{names(halted)}: halted, interrupts off: parked by firmware, stopped for good, or for an NMI")
    numbers = [look.index for look in halted if look.numbered]
    everyone = numbers == list(range(len(picture.latest()))) and len(numbers) > 1  # one alone may be one of many
    histories = [picture.history(index) for index in numbers]
    same = all(len(seen) > 1 and _proves(seen) and len({look.state for look in seen}) == 1 for seen in histories)
    sure = everyone and same and not picture.words.paused
    asked = to_collect(picture, SECOND_DUMP, STATUS)
    return Explanation(
        Answer.IDLE if idle else Answer.HALTED, CERTAIN if sure else LIKELY, picture.latest(), tuple(because), asked
    )


def _proves(seen: Sequence[Look]) -> bool:
    """Whether these looks are whole and of a vCPU known by its number, so that no mix-up explains what they show."""
    return all(look.whole and look.numbered for look in seen)


_RULES: tuple[Callable[[Picture], Explanation | None], ...] = (
    _no_dump,
    _qemu_died,
    _stopped_by_kvm,
    _from_a_log,
    _all_at_reset_vector,
    bringup.replayed_init,
    bringup.lost_init,
    bringup.waits_for_nobody,
)

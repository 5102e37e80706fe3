"""Is a guest that makes no progress hung, and how? Register dumps, thread times and code bytes decide.

A hang needs two witnesses (docs/architecture.md, "Two witnesses"): the vCPUs' state stayed the same in two dumps taken
after hammering had stopped, with the console silent; and ``/proc`` says who ran and who slept meanwhile. Where the
firmware's wait loop is found by its bytes at the boot CPU's EIP, it also says how many vCPUs it waits for. The rules
below are asked in their order, and each says no more than what was seen; one that finds no fault with a slow host
returns ``unknown`` and ``inconclusive``, which ends nothing: one looks again later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from qstress.firmware.streams import BootProgress
from qstress.model import (
    Confidence,
    FindingClass,
    Milestone,
    Observation,
    Outcome,
    Verdict,
)
from qstress.verdict.examination import LOOP_BYTES, SLEEPS_BELOW, SPINS_ABOVE_S, Examination
from qstress.verdict.kernel import kernel_stands_still, missing_cpu
from qstress.verdict.signature import finding_signature
from qstress.verdict.vcpu import cpu_names
from qstress.verdict.wording import states, threads, waits

__all__ = ["SLEEPS_BELOW", "SPINS_ABOVE_S", "Examination", "diagnose"]


def diagnose(examination: Examination, log: BootProgress) -> Verdict:
    """Return the verdict on a guest that fell silent before all vCPUs were up."""
    return next(verdict for rule in _RULES if (verdict := rule(examination, log)) is not None)  # the last rule applies


def _not_running(seen: Examination, _log: BootProgress) -> Verdict | None:
    """A guest that was paused, or that QEMU stopped, stands still as it should. An internal error is KVM's: it cannot
    run what the guest does (docs/background/guests.md, "What runs where")."""
    if not seen.running and seen.runstate == "internal-error":
        return Verdict(Outcome.RIG, "this host cannot run such a guest: KVM stopped it with an internal error")
    return None if seen.running else Verdict(Outcome.UNKNOWN, f"the guest is not running: {seen.runstate}")


def _cured(seen: Examination, log: BootProgress) -> Verdict | None:
    """An AP that slept at the reset vector although the boot CPU had sent its SIPI, and went on once it was dumped.

    Nothing but the dump can have woken it: a CPU that sends a SIPI makes the thread of its target runnable at once, and
    this one slept all the time between the look that found the boot CPU waiting and the first dump. Reading the state
    of a vCPU makes KVM look again at what is pending (docs/background/qemu.md, "What HLT says"); TCG reads without
    asking KVM, so there a dump cures nothing. It is a lost wake-up, which only the dump has cured.
    """
    before, after = seen.wait_before, seen.wait
    if not seen.kvm or not seen.dumped or before is None or before.over:
        return None
    missing = [old.index for old, _ in seen.aps if old.at_reset_vector]
    counted = after is not None and after.missing < before.missing and len(missing) == before.missing
    came = seen.left_reset_vector or (missing if counted else ())
    slept = [index for index in came if seen.slept_before(index)]
    if not slept:
        return None
    who = cpu_names(slept)
    return _finding(
        f"cured by looking: {who} slept at the reset vector after its SIPI, and went on when its registers were read",
        FindingClass.CURED_BY_LOOKING,
        seen,
        log,
        Confidence.CERTAIN,
        (
            waits(before, seen.sipi_sent),
            f"{who} slept for {seen.quiet[0].wall_s:.3f} s after that, before anything touched it",
            "then all registers were read, and nothing else was done: a lost wake-up",
            threads(seen.quiet, "before the first dump"),
        ),
        pictured=seen.before,
    )


def _moving(seen: Examination, _log: BootProgress) -> Verdict | None:
    """What moves may still come up."""
    return _inconclusive("still moving") if seen.progressed or seen.moved else None


def _not_seen(seen: Examination, _log: BootProgress) -> Verdict | None:
    """Without two dumps there is no picture: the APs were left alone, or the text could not be read."""
    return None if seen.dumped else _inconclusive("the boot CPU is not known to wait; its APs were left alone")


def _unknown_firmware(seen: Examination, log: BootProgress) -> Verdict | None:
    """A firmware without milestones never says that it is up, so that it stands still may be what it is meant to do."""
    if seen.known_firmware or log.milestone > Milestone.START:
        return None
    return _inconclusive(f"no milestones are known of this firmware; {states(seen.after)}, and nothing moves")


def _starved(seen: Examination, _log: BootProgress) -> Verdict | None:
    """An AP that is not done yet, whose thread is runnable and does not get a CPU, is the host's doing."""
    starved = [new.index for _, new in seen.aps if (new.at_reset_vector or not new.halted) and seen.starved(new.index)]
    return _inconclusive(f"the host gives {cpu_names(starved)} no CPU time") if starved else None


def _all_halted(seen: Examination, log: BootProgress) -> Verdict | None:
    """Every vCPU is halted (an AP may still wait for its SIPI), and their threads slept.

    With interrupts off in all of them only an NMI, an SMI, an INIT or a reset can wake one, and no CPU is left to
    send it. With interrupts on a device may still wake one, so that it is only likely.
    """
    boot_cpu = seen.after.vcpus[0]
    halted = [new for _, new in seen.aps if new.halted or new.at_reset_vector]
    if not boot_cpu.halted or not seen.before.vcpus[0].halted or len(halted) < len(seen.aps) or seen.spins:
        return None
    dead = not any(vcpu.interrupts for vcpu in seen.after.vcpus)
    slept = all(seen.asleep(vcpu.index) for vcpu in seen.after.vcpus)
    return _finding(
        f"every vCPU is halted{' with interrupts off' if dead else ', and nothing wakes one'}",
        FindingClass.ALL_HALTED,
        seen,
        log,
        Confidence.CERTAIN if dead and slept else Confidence.LIKELY,
        (f"{states(seen.after)}, in two dumps", threads(seen.usage, "between the dumps")),
    )


def _lost_init(seen: Examination, log: BootProgress) -> Verdict | None:
    """An AP that never left its reset vector while the boot CPU waits for it.

    Certain with all witnesses: the AP's thread slept from the moment the boot CPU was seen waiting, the boot CPU ran,
    and its own count says that one is missing. Without the count an AP at the reset vector is no news until there is
    another sign that it was to be woken: a SIPI is the last that the boot CPU's APIC sent, or another AP has come.
    """
    loop = seen.wait
    short = loop is not None and loop.missing > 0
    woken = short or bool(seen.sipi_sent) or log.milestone >= Milestone.CHECKIN
    if not seen.lost or not woken:
        return None
    who = cpu_names(seen.lost)
    sure = short and seen.spins and all(seen.asleep(index) for index in seen.lost)
    return _finding(
        f"lost INIT: {who} never left the reset vector while CPU#0 {'spins' if seen.spins else 'waits'}",
        FindingClass.LOST_INIT,
        seen,
        log,
        Confidence.CERTAIN if sure else Confidence.LIKELY,
        (
            f"{who} at EIP=0000fff0 CS=f000 base ffff0000 in two dumps taken after hammering had stopped",
            f"the console is silent since '{log.last_line}' and never said Found",
            *([waits(loop, seen.sipi_sent)] if loop is not None else []),
            threads(seen.usage, "between the dumps"),
        ),
    )


def _lost_in_a_later_round(seen: Examination, log: BootProgress) -> Verdict | None:
    """A firmware that parks its APs (OVMF) wakes them again by INIT and SIPI, and one did not wake: the boot CPU waits
    for its word, for ever. Whatever loses an INIT or a SIPI leaves this picture, SMM in the AP among it (edk2, issue
    10293): which it was, a log of the windows or another arm has to tell."""
    loop = seen.wait
    if loop is None or not loop.later or not loop.missing or seen.lost:
        return None
    aps = tuple(new.index for _, new in seen.aps)
    if not all(seen.asleep(index) for index in loop.unwoken or aps) or not seen.spins:
        return _inconclusive("parked APs have not taken their wake-up yet; not all their threads slept")
    who = f"by its numbering {cpu_names(loop.unwoken)}" if loop.unwoken else f"{loop.missing} of {cpu_names(aps)}"
    because = (
        f"all APs had come before and were parked by the firmware, none is at the reset vector; lost: {who}",
        waits(loop, seen.sipi_sent),
        "the picture does not tell why: an INIT or a SIPI lost by QEMU, by KVM or to SMM all leave it",
        threads(seen.usage, "between the dumps"),
    )
    title = "lost INIT in a later round: an AP that the firmware had parked was to be woken and was not"
    return _finding(title, FindingClass.LOST_INIT, seen, log, Confidence.CERTAIN, because, extra=("later-round",))


def _ap_lost_later(seen: Examination, log: BootProgress) -> Verdict | None:
    """An AP that took its SIPI and stopped before it reported: away from the reset vector, not halted as one that is
    done, the same in both dumps, and the boot CPU's count is short. An AP that spins on a lock held by a lost one looks
    so too, therefore it is certain only of one that sleeps in a place where no CPU waits."""
    loop = seen.wait
    if loop is None or loop.over or loop.expected - loop.missing > len(seen.aps):
        return None
    stopped = [new.index for _, new in seen.aps if not new.at_reset_vector and not new.halted]
    if not stopped:
        return None
    asleep = [index for index in stopped if seen.asleep(index)]
    who = cpu_names(asleep or stopped)
    return _finding(
        f"AP lost later: {who} took its SIPI and never reported",
        FindingClass.AP_LOST_LATER,
        seen,
        log,
        Confidence.CERTAIN if asleep and seen.spins else Confidence.LIKELY,
        (
            f"{who} left the reset vector, and stands at the same address, not halted, in two dumps",
            waits(loop, seen.sipi_sent),
            threads(seen.usage, "between the dumps"),
        ),
    )


def _bsp_spin(seen: Examination, log: BootProgress) -> Verdict | None:
    """The boot CPU waits for more vCPUs than have come, and no AP stands at the reset vector: the count is wrong, or it
    was read wrong. With all of them counted it will go on as soon as it runs, and its thread's CPU time does not show
    that it has (to be kicked by us costs some, too)."""
    loop = seen.wait
    if loop is None or seen.lost:
        return None
    if loop.found == loop.expected or not seen.spins:
        return _inconclusive(f"CPU#0 waits for {loop.expected} vCPUs and has {loop.found}; it has hardly run")
    return _finding(
        f"CPU#0 waits for {loop.expected} vCPUs and has {loop.found}, but none is at the reset vector",
        FindingClass.BSP_SPIN,
        seen,
        log,
        Confidence.CERTAIN,
        (
            "no AP stands at the reset vector: the count is wrong, not an INIT lost",
            waits(loop, seen.sipi_sent),
            threads(seen.usage, "between the dumps"),
        ),
    )


def _livelock(seen: Examination, log: BootProgress) -> Verdict | None:
    """vCPUs run, and the boot CPU is at the same few addresses in every look, early and late. Firmware that waits for a
    device does that too, so it is never certain."""
    span = seen.boot_cpu_span
    if not seen.spins or span is None or span > LOOP_BYTES:
        return None
    return _finding(
        f"livelock after {log.milestone.name.lower()}: CPU#0 runs the same few addresses",
        FindingClass.LIVELOCK,
        seen,
        log,
        Confidence.LIKELY,
        (
            f"{len(seen.boot_cpu) + 2} looks at CPU#0 found it within {span} bytes of code",
            f"the console is silent since '{log.last_line}'",
            threads(seen.usage, "between the dumps"),
        ),
    )


def _other(seen: Examination, log: BootProgress) -> Verdict:
    """Nothing moves, and none of the pictures above."""
    return _finding(
        f"no progress after {log.milestone.name.lower()}, and none of the known pictures",
        FindingClass.HANG_OTHER,
        seen,
        log,
        Confidence.LIKELY,
        (
            "the console is silent and the APs' state did not change between two dumps",
            states(seen.after),
            threads(seen.usage, "between the dumps"),
        ),
    )


_Rule = Callable[[Examination, BootProgress], Verdict | None]
_RULES: tuple[_Rule, ...] = (
    _not_running, missing_cpu, kernel_stands_still, _cured, _moving, _not_seen, _unknown_firmware, _starved,
    _all_halted, _lost_init, _lost_in_a_later_round, _ap_lost_later, _bsp_spin, _livelock, _other,
)  # fmt: skip


def _finding(
    title: str, kind: FindingClass, seen: Examination, log: BootProgress, confidence: Confidence,
    because: tuple[str, ...], *, pictured: Observation | None = None, extra: tuple[str, ...] = (),
) -> Verdict:  # fmt: skip
    mark = finding_signature(kind, (pictured or seen.after).vcpus, log.milestone, *_code_word(seen), *extra)
    return Verdict(Outcome.HANG, title, kind, mark, confidence, because)


def _inconclusive(title: str) -> Verdict:
    return Verdict(Outcome.UNKNOWN, title, confidence=Confidence.INCONCLUSIVE)


def _code_word(seen: Examination) -> tuple[str, ...]:
    """What tells two loops apart without addresses. The known wait loop needs no word, and code that was seen here and
    there has none: two equal findings would differ in it."""
    span = seen.boot_cpu_span
    loops = seen.wait_loop is None and span is not None and span <= LOOP_BYTES
    return (f"code={hashlib.sha256(seen.code).hexdigest()[:8]}",) if seen.code and loops else ()

"""What the facts of a running trial amount to at one moment: go on, doubt, or a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from qstress.model import BootProgress, Confidence, FindingClass, Outcome, Verdict
from qstress.verdict import crash
from qstress.verdict.limits import Limits
from qstress.verdict.signature import signature


class Doubt(StrEnum):
    """Why a trial should stop hammering and look closer."""

    NO_PROGRESS = "no-progress"
    SILENT_MONITOR = "silent-monitor"


@dataclass(frozen=True, slots=True)
class Situation:
    """A trial at one moment; times in monotonic seconds.

    ``expected`` is how many vCPUs have to come up, ``resets`` counts RESET events nobody asked for,
    ``silent_since_s`` is when the oldest unanswered hammer command was sent (None: nothing is out), ``panicked``
    whether QEMU reported a guest panic.
    """

    now_s: float
    started_s: float
    expected: int
    last_output_s: float
    returncode: int | None
    stderr: str
    resets: int
    panicked: bool
    silent_since_s: float | None


def assess(situation: Situation, log: BootProgress, limits: Limits) -> Verdict | Doubt | None:
    """Return the verdict if the facts suffice, a doubt if they have to be looked at, None to go on.

    The worst wins: a QEMU that ended, a guest that panicked or restarted are told before a boot that came through.
    """
    where = log.milestone.name.lower()
    if situation.returncode is not None:
        return crash.ended(situation.returncode, situation.stderr, milestone=where)
    if situation.panicked:
        title = f"the guest panicked at {where}"
        return Verdict(Outcome.GUEST_PANIC, title, FindingClass.GUEST_PANIC, f"guest-panic/{where}")
    if log.restart_signs or situation.resets:
        return _restart(situation, log)
    if log.found is not None:
        return _came_up(situation.expected, log)
    if situation.now_s >= situation.started_s + limits.boot_s:
        waited_s = situation.now_s - situation.started_s
        return Verdict(
            Outcome.UNKNOWN, f"still moving after {waited_s:.0f} s at {where}", confidence=Confidence.INCONCLUSIVE
        )
    if situation.silent_since_s is not None and situation.now_s >= situation.silent_since_s + limits.reply_s:
        return Doubt.SILENT_MONITOR
    if log.stuck or situation.now_s >= situation.last_output_s + limits.quiet_s:
        return Doubt.NO_PROGRESS
    return None


def next_look_s(situation: Situation, limits: Limits) -> float:
    """Return when (monotonic) the facts have to be looked at again if nothing happens before."""
    looks = [situation.last_output_s + limits.quiet_s, situation.started_s + limits.boot_s]
    if situation.silent_since_s is not None:
        looks.append(situation.silent_since_s + limits.reply_s)
    return min(looks)


def stalled(process_state: str, *, oob_answers: bool, waited_s: float, log: BootProgress) -> Verdict:
    """Return the verdict on a living QEMU whose monitor does not answer.

    Told apart: the process is stopped (state T), the main loop is blocked (not even out-of-band commands are
    answered), or only in-band commands are stuck, as when a vCPU thread does not answer its kick (facts: qemu.md 4).
    """
    if process_state in ("T", "t"):
        kind, why = "stopped", "the process is stopped (state T)"
    elif oob_answers:
        kind, why = "in-band", "out-of-band commands are answered, in-band ones are not: a vCPU does not answer"
    else:
        kind, why = "main-loop", "not even out-of-band commands are answered"
    return Verdict(
        Outcome.MONITOR_STALL,
        f"monitor silent: {why}",
        FindingClass.MONITOR_STALL,
        f"monitor-stall/{kind}/{log.milestone.name.lower()}",
        Confidence.CERTAIN if kind == "stopped" else Confidence.LIKELY,
        (f"a command was unanswered for {waited_s:.1f} s while QEMU was alive", why),
    )


def _came_up(expected: int, log: BootProgress) -> Verdict:
    """``ok`` needs one clean bring-up and every vCPU; anything else that says it is up is not understood."""
    if log.clean and log.found == expected:
        return Verdict(Outcome.OK, f"Found {log.found} cpu(s)")
    return Verdict(
        Outcome.UNKNOWN,
        f"Found {log.found} cpu(s) of {expected}, {'' if log.clean else 'not '}after one clean start",
        confidence=Confidence.INCONCLUSIVE,
    )


def _restart(situation: Situation, log: BootProgress) -> Verdict:
    """A second banner, ``In resume`` or an unasked reset inside one bring-up: an AP ran the firmware from the reset
    vector as if it were the boot CPU (facts: race.md, "The second race")."""
    seen = list(log.restart_signs)
    if situation.resets:
        seen.append(f"{situation.resets} RESET event(s) that nobody asked for")
    return Verdict(
        Outcome.RESTART,
        "replayed INIT: the firmware ran again from the reset vector inside one bring-up",
        FindingClass.REPLAYED_INIT,
        signature(FindingClass.REPLAYED_INIT, (), log.milestone),
        Confidence.CERTAIN if log.restart_signs else Confidence.LIKELY,
        tuple(seen),
    )

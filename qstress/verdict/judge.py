"""What the facts of a running trial amount to at one moment: go on, doubt, or a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from qstress.firmware.streams import BootProgress
from qstress.model import Confidence, FindingClass, Milestone, Outcome, ThreadUsage, Verdict
from qstress.verdict import crash
from qstress.verdict.kernel import firmware_resets, told_by_kernel
from qstress.verdict.limits import LIKELY_FACTOR, Limits
from qstress.verdict.signature import finding_signature

#: One reboot of SeaBIOS gives one or two RESET events (docs/background/qemu.md, "Resets in one process"); so many are
#: no longer one restart.
LOOP_RESETS = 6
#: A thread that is runnable for seconds and gets less CPU time than this is starved. A fair scheduler gives each of 64
#: busy threads on two cores 3 %.
STARVED_BELOW = 0.005


class Doubt(StrEnum):
    """Why a trial should stop hammering and look closer."""

    NO_PROGRESS = "no-progress"
    SILENT_MONITOR = "silent-monitor"


@dataclass(frozen=True, slots=True)
class Situation:
    """A trial at one moment; times in monotonic seconds.

    ``expected`` is how many vCPUs have to come up, ``resets`` counts the guest's own RESET events,
    ``silent_since_s`` is when the oldest unanswered hammer command was sent (None: nothing is out), ``panicked``
    whether QEMU reported a guest panic. ``looked_s`` is when the last closer look ended that was not believed (None:
    there was none), ``seen`` its title. ``load`` says how busy the host is, in words; ``known_firmware`` whether the
    shape's firmware is one whose milestones we know; ``goes_on`` whether the guest can be watched further, so that what
    a restart comes to may be awaited. ``waits``: since its last output the boot CPU was seen waiting for APs that have
    not come.
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
    looked_s: float | None = None
    seen: str = ""
    load: str = ""
    known_firmware: bool = True
    goes_on: bool = False
    waits: bool = False


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
    if (told := told_by_kernel(log)) is not None:
        return told
    if log.restart_signs or situation.resets:
        verdict = _restarted(situation, log, limits)
        if verdict is not None or _counts_as_restart(situation, log):
            return verdict
    if log.found is not None:
        return _came_up(situation, log, limits)
    if situation.now_s >= situation.started_s + limits.boot_s:
        return _given_up(situation, where)
    if situation.silent_since_s is not None and situation.now_s >= situation.silent_since_s + limits.reply_s:
        return Doubt.SILENT_MONITOR
    first_look = situation.looked_s is None or situation.looked_s < situation.last_output_s
    if ((log.stuck or situation.waits) and first_look) or situation.now_s >= _doubtful_from_s(situation, limits):
        return Doubt.NO_PROGRESS
    return None


def next_look_s(situation: Situation, limits: Limits) -> float:
    """Return when (monotonic) the facts have to be looked at again if nothing happens before."""
    looks = [
        _doubtful_from_s(situation, limits),
        _settled_from_s(situation, limits),
        situation.last_output_s + limits.ask_s,
        situation.started_s + limits.boot_s,
    ]
    if situation.silent_since_s is not None:
        looks.append(situation.silent_since_s + limits.reply_s)
    return min((look for look in looks if look > situation.now_s), default=situation.now_s + limits.quiet_s)


def stalled(
    process_state: str,
    *,
    oob_answers: bool,
    waited_s: float,
    log: BootProgress,
    threads: Sequence[ThreadUsage] = (),
) -> Verdict:
    """Return the verdict on a living QEMU whose monitor does not answer.

    Told apart: the process is stopped (state T); the host does not let it run (``rig``, no fault of QEMU's); the main
    loop is blocked, be it because a vCPU does not answer its kick (docs/background/qemu.md, "A monitor that is stuck")
    or because a thread keeps the big lock: in-band commands are stuck then, while the monitors' own thread answers
    out-of-band ones (QEMU 7.2, monitor/qmp.c); or that thread is blocked, too. In which call which thread waits is told
    with it.

    :param threads: what QEMU's threads did in the time in which the out-of-band command was tried, all of them.
    """
    starved = [thread for thread in threads if thread.state == "R" and thread.share < STARVED_BELOW]
    if process_state in ("T", "t"):
        kind, why = "stopped", "the process is stopped (state T)"
    elif starved:
        return Verdict(
            Outcome.RIG,
            f"the host starves QEMU: {len(starved)} of its {len(threads)} threads are runnable and get no CPU time",
            because=(f"a command was unanswered for {waited_s:.1f} s while QEMU was alive",),
        )
    elif oob_answers:
        kind, why = "main-loop", "the main loop is blocked: only out-of-band commands are answered"
    else:
        kind, why = "monitors", "main loop and monitors' thread are blocked: not even out-of-band commands are answered"
    return Verdict(
        Outcome.MONITOR_STALL,
        f"monitor silent: {why}",
        FindingClass.MONITOR_STALL,
        f"monitor-stall/{kind}/{log.milestone.name.lower()}",
        Confidence.CERTAIN if kind == "stopped" else Confidence.LIKELY,
        (f"a command was unanswered for {waited_s:.1f} s while QEMU was alive", why, *_waits(threads)),
    )


def _waits(threads: Sequence[ThreadUsage]) -> tuple[str, ...]:
    """In which calls of the kernel QEMU's threads wait, the least usual last."""
    places = Counter("running" if thread.state == "R" else f"in {thread.wchan or 'unknown'}" for thread in threads)
    told = ", ".join(f"{many} {place}" for place, many in places.most_common())
    return (f"its threads: {told}",) if threads else ()


def _doubtful_from_s(situation: Situation, limits: Limits) -> float:
    """When silence is doubtful: after ``quiet_s``, and after a look that was not believed once it has grown by half, so
    that a guest which is merely slow is looked at ever less often."""
    looked_s, heard_s = situation.looked_s, situation.last_output_s
    if looked_s is None or looked_s < heard_s:
        return heard_s + limits.quiet_s
    return looked_s + 0.5 * (looked_s - heard_s)


def _settled_from_s(situation: Situation, limits: Limits) -> float:
    """When a guest that was reset and has not come up since is taken to stand still."""
    return situation.last_output_s + LIKELY_FACTOR * limits.quiet_s


def _given_up(situation: Situation, where: str) -> Verdict:
    waited_s = situation.now_s - situation.started_s
    saw = f": {situation.seen}" if situation.seen else ""
    return Verdict(
        Outcome.UNKNOWN, f"given up after {waited_s:.0f} s at {where}{saw}", confidence=Confidence.INCONCLUSIVE
    )


def _came_up(situation: Situation, log: BootProgress, limits: Limits) -> Verdict:
    """``ok`` needs one clean bring-up and every vCPU; anything else that says it is up is not understood.

    One that came later than this host's healthy boots is ``slow``: ok all the same, and its title says so beside the
    load that may explain it.
    """
    if not log.clean or log.found != situation.expected:
        return Verdict(
            Outcome.UNKNOWN,
            f"Found {log.found} cpu(s) of {situation.expected}, {'' if log.clean else 'not '}after one clean start",
            confidence=Confidence.INCONCLUSIVE,
        )
    took_s = situation.now_s - situation.started_s
    if limits.slow_s is None or took_s < limits.slow_s:
        return Verdict(Outcome.OK, f"Found {log.found} cpu(s)")
    title = f"slow: Found {log.found} cpu(s) after {took_s:.1f} s, healthy boots here take up to {limits.slow_s:.1f} s"
    return Verdict(Outcome.OK, title, because=(situation.load,) if situation.load else ())


def _counts_as_restart(situation: Situation, log: BootProgress) -> bool:
    """Whether a reset inside a bring-up is out of order at all: firmware that we do not know may reset itself."""
    return bool(log.restart_signs) or situation.known_firmware or log.milestone > Milestone.START


def _restarted(situation: Situation, log: BootProgress, limits: Limits) -> Verdict | None:
    """Tell a replayed INIT from a guest that restarts again and again; None while more has to be seen.

    ``In resume``, or an entry without the BSP flag, *without any reset before* is an AP that runs the firmware from the
    reset vector as if it were the boot CPU (docs/background/race.md, "The replayed INIT"), and needs no waiting:
    SeaBIOS resets the machine only after that. Where a reset may have been there first, the signs are no more than its
    consequence, and the next boot shows which it is: a triple fault or a port reset comes again, while the mark of a
    replay, whatever it made the AP do, is one restart and then a boot that comes through or stands still.
    """
    resets = (f"{situation.resets} RESET event(s) that nobody asked for",) if situation.resets else ()
    if situation.resets >= LOOP_RESETS * firmware_resets(log):
        return Verdict(
            Outcome.RESTART,
            "reset loop: the guest resets again and again, and never came up",
            FindingClass.RESET_LOOP,
            finding_signature(FindingClass.RESET_LOOP, (), log.milestone),
            Confidence.CERTAIN,
            resets + log.restart_signs,
        )
    if not _counts_as_restart(situation, log):
        return None
    direct = bool(log.restart_signs) and log.clean and not situation.resets
    settled = log.found is not None or situation.now_s >= min(
        _settled_from_s(situation, limits), situation.started_s + limits.boot_s
    )
    if situation.goes_on and not direct and not settled:
        return None
    return Verdict(
        Outcome.RESTART,
        "replayed INIT: the firmware ran again from the reset vector inside one bring-up",
        FindingClass.REPLAYED_INIT,
        finding_signature(
            FindingClass.REPLAYED_INIT, (), min(log.milestone, Milestone.FOUND)
        ),  # the bring-up ends there
        Confidence.CERTAIN if direct else Confidence.LIKELY,
        log.restart_signs + resets,
    )

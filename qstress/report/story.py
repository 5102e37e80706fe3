"""``story.txt``: one finding on one screen: what happened, how we know, what it is not, how to see it again.

For a sceptic who has a minute. It says nothing that the evidence beside it does not hold, and where a witness is
missing it says so.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from qstress.model import Evidence, FindingClass, Outcome, Smm, Trial, TrialResult
from qstress.report.wording import printable

_WIDTH = 100
#: How much of a finding's reasons is told; finding.json has them whole.
_MOST_APS, _MOST_CHARACTERS = 4, 400
#: Findings that are about vCPUs standing still; the others are told by QEMU or by the guest itself.
_STANDS_STILL = frozenset(
    {FindingClass.LOST_INIT, FindingClass.BSP_SPIN, FindingClass.CURED_BY_LOOKING, FindingClass.AP_LOST_LATER,
     FindingClass.MISSING_CPU, FindingClass.ALL_HALTED, FindingClass.LIVELOCK, FindingClass.HANG_OTHER}
)  # fmt: skip

_AGAIN = (
    "Again: ./repro.sh, or qstress repro with this folder. The picture: timeline.svg. Everything in detail: "
    "finding.json, dumps.txt, console.log, commands.jsonl, threads.json."
)


def finding_story(result: TrialResult, evidence: Evidence) -> str:
    """Return the text for a finding."""
    trial, verdict = result.trial, result.verdict
    build, shape = trial.cell.build, trial.cell.stratum.shape
    where = (
        f"QEMU {build.version or '(version unknown)'} as build {build.name}, {shape.accel}, {shape.machine}, "
        f"{shape.smp} vCPUs, firmware {shape.firmware}; monitor commands: {trial.cell.stratum.hammer_label}."
    )
    paragraphs = [
        [f"{verdict.finding_class or verdict.outcome} ({verdict.confidence}): {verdict.title}"],
        [where, *conditions(trial)],
        ["What happened", *_events(result, evidence)],
        ["How we know", *(f"- {reason}" for reason in told(verdict.because))],
        ["What it is not", *(f"- {line}" for line in is_not(result, evidence))],
        [_AGAIN],
    ]
    return "\n\n".join("\n".join(_folded(lines)) for lines in paragraphs) + "\n"


def told(reasons: Iterable[str]) -> Iterable[str]:
    """Yield *reasons* as far as they fit on a screen; the window log has a line for each AP of a guest, be it 127."""
    reasons = tuple(reasons)
    by_ap = [reason for reason in reasons if reason.startswith("AP ")]
    for reason in reasons:
        if reason not in by_ap[_MOST_APS:]:
            yield reason if len(reason) <= _MOST_CHARACTERS else f"{reason[:_MOST_CHARACTERS]} …"
    if (more := len(by_ap) - _MOST_APS) > 0:
        yield f"… and {more} more APs likewise, each in finding.json"


def conditions(trial: Trial) -> Iterable[str]:
    """Yield what was done to QEMU or the guest that production does not do."""
    build = trial.cell.build
    if trial.inject_lost_ap:
        yield "The fault was INJECTED by qstress: this shows the picture of a lost AP, not the race."
    if build.smm is Smm.PRETENDED:
        yield "SMM was PRETENDED: an LD_PRELOAD library told QEMU that this host's KVM has it."
    if build.fix_imitated:
        yield "The fix was IMITATED by the same library."
    if build.held:
        yield "vCPUs were HELD between the reading and the writing back of their state."


def _events(result: TrialResult, evidence: Evidence) -> Iterable[str]:
    """What happened when, in seconds after the guest was told to run."""
    notes: Mapping[str, Any] = evidence.notes
    happened = [(0.0, "the guest is told to run")]
    happened += [(at_s, f"console: {name}") for name, at_s in notes.get("milestones_s", {}).items()]
    init = notes.get("init")
    if init:
        since = "" if init["lower_s"] is None else f" (and not before {init['lower_s']:.6f} s)"
        happened.append((init["upper_s"], f"INIT has been sent{since}"))
    looks = notes.get("looks_s", [])
    for number, at_s in enumerate(looks, 1):
        happened.append((at_s, f"dump {number} of {len(looks)} of the closer look, with nothing hammering"))
    if (end_s := notes.get("end_s")) is not None:
        after = "" if result.detection_s is None else f", {result.detection_s:.3f} s after the last sign of progress"
        happened.append((end_s, f"verdict{after}"))
    return [f"{at_s:10.3f} s  {what}" for at_s, what in sorted(happened, key=lambda event: event[0])]


def is_not(result: TrialResult, evidence: Evidence) -> Iterable[str]:
    """Yield what a finding is not, each with how that is known."""
    notes: Mapping[str, Any] = evidence.notes
    if result.verdict.finding_class in _STANDS_STILL:
        yield _slow_host(result, evidence)
        if runstate := notes.get("runstate"):
            yield f"not a paused guest: QEMU said '{runstate}' when it was looked at"
        if looks := notes.get("looks_s"):
            yield f"not a stuck monitor: it answered {len(looks)} full dumps and what else was asked"
    if (loop := evidence.wait_loop) is not None and loop.found < loop.expected:
        yield (
            f"not a boot that has yet to come so far: CPU#0's code is its firmware's wait loop (at {loop.address:#x}), "
            f"which ends when {loop.expected} vCPUs have reported, and {loop.found} have"
        )
    if result.verdict.outcome is Outcome.HANG and not any(map(_is_an_end, evidence.events)):
        yield "not a reset or a panic: QEMU reported none"
    if result.verdict.outcome is not Outcome.CRASH:
        yield "not a crash: QEMU was alive"


def _is_an_end(event: Mapping[str, Any]) -> bool:
    data = event.get("data")
    by_guest = isinstance(data, dict) and bool(data.get("guest"))
    return event.get("event") == "GUEST_PANICKED" or (event.get("event") == "RESET" and by_guest)


def _slow_host(result: TrialResult, evidence: Evidence) -> str:
    """Whether the host can be to blame, from who wanted a CPU and did not get one."""
    quiet: list[dict[str, Any]] = evidence.notes.get("quiet", [])  # type: ignore[assignment]
    aps = [thread for thread in quiet if thread["index"]]
    load = evidence.notes.get("host")
    average = (
        f"; load average {str(load['loadavg']).split()[0]}" if isinstance(load, dict) and load.get("loadavg") else ""
    )
    if isinstance(load, dict) and (beneath := load.get("beneath")):
        average += (
            f"; the machine beneath had no CPU for this host in {beneath['starved_s']:.1f} of {beneath['of_s']:.1f} s"
        )
    if not aps:
        return f"a slow host cannot be excluded: the threads' times are not known{average}"
    waiting = [thread for thread in aps if thread["state"] == "R" and thread["cpu_s"] == 0]
    if waiting:
        return f"a slow host cannot be excluded: {len(waiting)} AP threads wanted to run and could not{average}"
    boot_cpu = next((thread for thread in quiet if not thread["index"]), aps[0])
    where = sorted({str(thread["wchan"]) for thread in aps if len(str(thread["wchan"])) > 1})
    return (
        f"not a slow host: in {aps[0]['wall_s']:.3f} s without any disturbance no AP's thread waited for a CPU "
        f"({', '.join(where) or 'asleep'}), while CPU#0's used {1000 * boot_cpu['cpu_s']:.0f} ms of one{average}"
    )


def _folded(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        indent = " " * (2 if line.startswith("- ") else 14 if line.startswith("   ") else 0)
        yield from textwrap.wrap(
            printable(line), _WIDTH, subsequent_indent=indent, drop_whitespace=True, break_on_hyphens=False
        )

"""What a QEMU that ended says about why."""

from __future__ import annotations

import re
import signal

from qstress.model import Confidence, FindingClass, Outcome, Verdict

_PROGRAM = re.compile(r"^(?:\S*/)?qemu-system-\S+: ")
_SOURCE = re.compile(r"(?:\.\./)*(?:[\w.+-]+/)*([\w.+-]+\.[ch]):\d+:? ?")
_NUMBER = re.compile(r"0x[0-9a-f]+|\b\d{3,}\b|\b[0-9a-f]{8,}\b")
_TELLING = ("assert", "error", "fatal", "abort", "bug", "unhandled", "failed", "sanitizer", "corrupt")


def crash_title(stderr: str) -> str:
    """Return the telling line of QEMU's last words, freed of what differs between two equal crashes.

    Paths, line numbers, addresses and long numbers are dropped, so that equal assertions have equal titles. Empty
    when nothing telling was said.
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and "warning:" not in line]
    telling = [line for line in lines if any(word in line.lower() for word in _TELLING)] or lines[-1:]
    if not telling:
        return ""
    return told_alike(_PROGRAM.sub("", telling[0]))


def told_alike(line: str) -> str:
    """Return *line* freed of paths, line numbers, addresses and long numbers, cut to what a signature may hold."""
    return _NUMBER.sub("N", _SOURCE.sub(r"\1: ", line))[:160]


def ended(returncode: int, stderr: str, *, milestone: str) -> Verdict:
    """Return the verdict on a QEMU that ended by itself.

    :param returncode: exit status, negative for a signal, as ``subprocess`` has it.

    A SIGSYS is the sandbox speaking, not a crash: QEMU 7.2 is killed by its own seccomp filter where 10.0 gets EPERM
    (docs/background/qemu.md, "QEMU's own sandbox", qemu-seccomp.c).
    """
    title = crash_title(stderr)
    if returncode == -signal.SIGSYS:
        return Verdict(
            Outcome.RIG, "QEMU's own sandbox killed it (SIGSYS)", because=(f"it ended at {milestone}: {title}",)
        )
    if returncode < 0:
        how = f"killed by {signal.Signals(-returncode).name}"
        hint = " (not by qstress: the kernel's out-of-memory killer, or somebody else)" if returncode == -9 else ""
    else:
        how, hint = f"exit status {returncode}", ""
    because = (f"QEMU ended by itself at {milestone}: {how}{hint}",)
    return Verdict(
        Outcome.CRASH,
        f"QEMU crash: {how}" + (f": {title}" if title else ""),
        FindingClass.CRASH,
        f"crash/{how}/{title}",
        Confidence.CERTAIN,
        because + ((f"last words: {title}",) if title else ()),
    )

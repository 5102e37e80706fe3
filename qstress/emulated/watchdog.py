"""Whether an emulated host that is silent is dead, or only slow because the machine beneath is busy. Pure.

Its agent says once a second that it lives. What counts is the time in which its QEMU could have run: not that in which
its threads were ready and had no CPU, which the kernel counts (``/proc/PID/task/TID/schedstat``, second field;
Documentation/scheduler/sched-stats).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: A host that could have run for so long and said nothing is dead.
SILENCE_S = 30.0
#: Until its first word it has the kernel to boot.
BOOT_S = 120.0
_TELLING = re.compile(
    r"panic|Oops|BUG|Call Trace|watchdog|blocked for more|stall|qstress-init|Out of memory", re.IGNORECASE
)
_TELLING_FIRST = re.compile(r"Kernel panic|Oops|BUG:|qstress-init:|Out of memory", re.IGNORECASE)
_STAMP = re.compile(r"^\[ *\d+\.\d+\] *")
#: How much of a console's end is kept.
LAST_LINES = 60


def starved_s(before: Mapping[int, float], now: Mapping[int, float]) -> float:
    """Return for how long the thread that waited most was ready to run and did not, in seconds.

    :param before: seconds of waiting by thread at an earlier look, and *now*.
    """
    return max((waited - before.get(tid, 0.0) for tid, waited in now.items()), default=0.0)


def is_dead(silent_s: float, starved: float, *, booting: bool) -> bool:
    """Return whether a host that has said nothing for *silent_s* seconds, *starved* of them without a CPU, is dead."""
    return silent_s - starved > (BOOT_S if booting else SILENCE_S)


def last_words(console: str) -> list[str]:
    """Return the end of what a host's console showed: its last lines, without empty ones."""
    lines = [line.rstrip() for line in console.replace("\r", "\n").split("\n")]
    return [line for line in lines if line][-LAST_LINES:]


def telling_line(lines: list[str]) -> str:
    """Return the one line of *lines* that says most: of the last words of a kernel that died, what it died of.

    >>> telling_line(["[  1.0] Kernel panic - not syncing: x", "[  1.1] ---[ end Kernel panic ]---"])
    'Kernel panic - not syncing: x'
    """
    for pattern in (_TELLING_FIRST, _TELLING):
        if found := next((line for line in lines if pattern.search(line)), None):
            return _STAMP.sub("", found)
    return _STAMP.sub("", lines[-1]) if lines else "(nothing)"

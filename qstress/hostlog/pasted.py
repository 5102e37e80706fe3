"""A kernel's log as people paste it: ``dmesg``, ``journalctl``, syslog, a serial console, ``/dev/kmsg`` (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from qstress.hostlog.records import KmsgReader, LogLine

_UNKNOWN_LEVEL = -1
_LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_QUOTE = re.compile(r"^(?:[>|] ?)+")
_ISO = r"\d{4}-\d\d-\d\d[T ][\d:.,]{5,18} ?(?:[+-]\d\d:?\d\d|Z|UTC)?"
_SHORT = r"\w{3} +\d{1,2} [\d:.]{5,15}"
_DATE = rf"(?:{_SHORT}|\w{{3}} {_SHORT}(?: \w+)?(?: \d{{4}})?(?: \w+)?|{_ISO})"
#: journalctl, syslog: time, host, who speaks; behind a time that ``dmesg`` may have written, only if it is clear who.
_JOURNAL = re.compile(
    rf"(?:<\d+>)?(?:(?:{_ISO}|\[ *\d+\.\d+\])(?= [\w.-]+ (?:kernel|[\w./@-]+\[\d+\]): )|{_SHORT}) "
    r"[\w.-]+ (?P<who>[\w./@-]+)(?:\[\d+\])?: ?"
)
_FACILITY = re.compile(r"(?:kern|user|daemon|syslog) *:(?P<level>\w+) *: ?")
_LEVEL = re.compile(r"<(\d{1,3})>")
_STAMP = re.compile(rf"\[(?: *(?P<s>\d{{1,7}}\.\d{{3,9}})|[ +]*<? *\d+\.\d+>?|{_DATE})\] ?|(?P<iso>{_ISO}) ")
#: A prompt of the console before a line.
_PROMPT = re.compile(r"[^\[]{1,40}(?=\[ *\d{1,7}\.\d{6}\])")
_CALLER = re.compile(r"\[ *(?P<caller>[TC]\d+)\] ?")
_KMSG = re.compile(rb"^\d{1,6},\d+,\d+,[^;\n]*;", re.MULTILINE)


def log_lines(text: bytes) -> Iterator[tuple[LogLine, bool]]:
    """Yield the kernel's own lines in *text*, each with whether something before it shows that it is a log's.

    ``level`` is -1 and ``at_us`` that of the line before where the log does not tell them. What other programs say in a
    journal is left out.
    """
    if len(_KMSG.findall(text)) > 1:
        yield from ((line, True) for line in KmsgReader().feed(text + b"\n"))
        return
    at_us = 0
    for raw in text.decode(errors="replace").replace("\r", "\n").split("\n"):
        line = _QUOTE.sub("", _ANSI.sub("", raw)) if raw[:1] in ">|" else _ANSI.sub("", raw)
        level, marked = _UNKNOWN_LEVEL, False
        if line.startswith("{") and '"MESSAGE"' in line:
            line, level, foreign = _journal_json(line)
            if foreign:
                continue
            marked = True
        if match := _JOURNAL.match(line):
            if match["who"] != "kernel":
                continue
            line, marked = line[match.end() :], True
        line = line.removeprefix("kernel:")
        if match := _FACILITY.match(line):
            level = _LEVELS.index(match["level"]) if match["level"] in _LEVELS else level
            line, marked = line[match.end() :], True
        if match := _LEVEL.match(line):
            level, line, marked = int(match[1]) & 7, line[match.end() :], True
        line = line[match.end() :] if (match := _PROMPT.match(line)) else line
        caller = ""
        if match := _STAMP.match(line):
            at_us = round(float(match["s"]) * 1e6) if match["s"] else at_us
            line, marked = line[match.end() :], marked or match["iso"] is None
        if match := _CALLER.match(line):
            caller, line, marked = match["caller"], line[match.end() :], True
        yield LogLine(level, at_us, caller, line.rstrip()), marked


def _journal_json(line: str) -> tuple[str, int, bool]:
    """Return a line of ``journalctl -o json``: what it says, its level, whether another program says it."""
    try:
        entry = json.loads(line)
        foreign = entry.get("_TRANSPORT", "kernel") != "kernel"
        return str(entry["MESSAGE"]), int(entry.get("PRIORITY", _UNKNOWN_LEVEL)), foreign
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", _UNKNOWN_LEVEL, True

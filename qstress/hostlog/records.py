"""The bytes of ``/dev/kmsg`` folded into records (pure).

A record (Documentation/ABI/testing/dev-kmsg; ``msg_add_ext_text`` in kernel/printk/printk.c)::

    6,1234,5678901,-,caller=T42;text
     SUBSYSTEM=pci                        a line that begins with a space belongs to the record before it

The first number is facility * 8 + level, then come a sequence number and the time in microseconds of the kernel's own
clock; further fields may follow before the semicolon. What is not printable is written ``\\xHH``, line breaks too.

Only facility 0 is the kernel's. Who writes to ``/dev/kmsg`` gets another one (1 by default), never 0, so nobody can
plant a report.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_RECORD = re.compile(rb"(\d{1,6}),(\d{1,20}),(\d{1,20}),([^;]*);(.*)", re.DOTALL)
_CALLER = re.compile(rb"(?:^|,)caller=([TC]\d+)")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
#: No record is longer: the kernel's own limit is 2048 bytes with prefix and fields (PRINTK_MESSAGE_MAX), escapes
#: may take it to four times that.
_MOST_BYTES = 16 * 1024


class LogLine(NamedTuple):
    """One line of the kernel's own. ``level`` is from 0 (emergency) to 7 (debug); ``at_us`` is the kernel's own clock;
    ``caller`` is ``T`` and a thread id or ``C`` and a CPU, empty where the kernel does not tell (CONFIG_PRINTK_CALLER).
    """

    level: int
    at_us: int
    caller: str
    text: str


class KmsgReader:
    """A reader of the byte stream, cut anywhere.

    ``read`` counts records of all facilities, ``lost`` those that the kernel overwrote before they were read (gaps in
    the sequence numbers), ``torn`` whatever was not a record.
    """

    def __init__(self) -> None:
        self.read = self.lost = self.torn = 0
        self._rest = b""
        self._expected: int | None = None

    def feed(self, data: bytes) -> list[LogLine]:
        """Take in the next bytes; return the kernel's lines that are complete now. Never raises."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MOST_BYTES:
            whole, self._rest = [*whole, self._rest], b""
        lines: list[LogLine] = []
        for each in whole:
            if each and not each.startswith(b" "):
                lines += self._lines(each)
        return lines

    def _lines(self, record: bytes) -> list[LogLine]:
        match = _RECORD.fullmatch(record)
        if match is None:
            self.torn += 1
            return []
        priority, sequence, at_us = int(match[1]), int(match[2]), int(match[3])
        self.read += 1
        if self._expected is not None:
            self.lost += max(0, sequence - self._expected)
        self._expected = sequence + 1
        if priority >> 3:
            return []
        caller = _CALLER.search(match[4])
        text = match[5].decode(errors="replace")
        if "\\x" in text:
            text = _ESCAPE.sub(_unescaped, text)
        who = caller[1].decode() if caller else ""
        return [LogLine(priority & 7, at_us, who, part) for part in text.split("\n")]


def _unescaped(escaped: re.Match[str]) -> str:
    """Nothing but text may reach a terminal: control characters stay as the kernel writes them."""
    char = chr(int(escaped[1], 16))
    return char if char in "\n\t" or char.isprintable() else escaped[0]

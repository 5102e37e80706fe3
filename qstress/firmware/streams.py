"""On what a guest prints, and what reads it as it comes (pure: bytes in, facts out)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from qstress.model import Milestone

#: A longer line is read as far as this.
LINE_BYTES = 4096

_ESCAPE = re.compile(rb"\x1b\[[0-9;=?]*[A-Za-z]")


class Stream(StrEnum):
    """On what a guest prints, or QEMU tells of it."""

    DEBUG = "debug"  # isa-debugcon at port 0x402: SeaBIOS, smpscan, and OVMF where it was built to
    SERIAL = "serial"  # the first serial port (COM1): OVMF's boot menu, a kernel
    TRACE = "trace"  # QEMU's own trace of what the firmware asks fw_cfg for


class BootProgress(Protocol):
    """What a firmware's console has said of one bring-up.

    ``checkins`` counts the APs that reported, ``found`` is how many vCPUs the boot CPU says are up (None before that),
    ``clean`` whether what was said fits one undisturbed bring-up, ``restart_signs`` why it looks as if a CPU ran the
    firmware again (empty: it does not), ``stuck`` whether the firmware itself says that APs are missing.
    """

    @property
    def milestone(self) -> Milestone: ...
    @property
    def checkins(self) -> int: ...
    @property
    def found(self) -> int | None: ...
    @property
    def clean(self) -> bool: ...
    @property
    def restart_signs(self) -> tuple[str, ...]: ...
    @property
    def stuck(self) -> bool: ...
    @property
    def last_line(self) -> str: ...


class BootReader(BootProgress, Protocol):
    """What reads what one guest prints, as it comes."""

    def feed(self, data: bytes, stream: Stream = Stream.DEBUG) -> bool:
        """Take in the next bytes of *stream*; return whether the boot came further, got stuck or restarted."""


@dataclass(slots=True)
class SerialLines:
    """The lines of one serial port so far: :meth:`feed` returns each once, when it ends.

    A boot menu and a kernel write one byte at a time, colour their words and move the cursor; a guest can also write
    bytes without end and never a line. What a line says does not depend on how it was cut into reads.
    """

    _rest: bytes = field(default=b"", repr=False)

    def feed(self, data: bytes) -> list[str]:
        """Take in the next bytes, cut anywhere; return the lines that have ended, without escape sequences and line
        ends. Never raises; a byte that is no ASCII is a character of its own (Latin-1), an empty line is left out.

        >>> SerialLines().feed(b"\\x1b[2J\\x1b[01;01HBdsDxe: loading\\r\\nBdsDxe: sta")
        ['BdsDxe: loading']
        """
        *whole, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:LINE_BYTES]
        lines = (_ESCAPE.sub(b"", line[:LINE_BYTES]).strip(b"\r").decode("latin-1") for line in whole)
        return [line for line in lines if line]

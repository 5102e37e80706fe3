"""smpscan's console protocol, folded into bring-ups (pure: bytes in, facts out).

The ROM (``firmware/smpscan.asm``) prints on port 0x402, as little as it can::

    console   = { byte | line | replay }          in any order; a replay may fall inside a line
    byte      = "("                               a bring-up begins: INIT and SIPI follow
              | ")"                               the bring-up is over, every AP is accounted for
              | "."                               so is one more round (all woken again without a reset)
              | "+"                               so is the bring-up or round whose missing APs had been reported
    line      = "smpscan 1 cpus=4 ids=4 khz=2600000 rounds=0" LF          once a process, before the first "("
              | "missing 2: 1 3" LF               no check-in for the deadline: how many, and which APIC ids (hex)
    replay    = [ 11hhhhhh ] 10llllll             an AP entered at the reset vector: APIC id hhhhhhllllll (default 0)

Only replayed APs print bytes from 0x80 on, one AP at a time, so they can be told from the boot CPU's at any place.
``ids`` is QEMU's APIC id limit. Where it is above ``cpus`` there are ids without a CPU, and a ``missing`` line then
names these too: the count before the colon is exact, the list holds the missing APs and the ids that do not exist.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar

from qstress.firmware.streams import BootProgress, Stream
from qstress.model import Milestone

_ABOUT = re.compile(rb"smpscan 1 cpus=(\d{1,5}) ids=(\d{1,5}) khz=(\d{1,10}) rounds=(\d{1,10})$")
_HEALTHY = re.compile(rb"\)?(?:\(\))*\(?")
_MISSING = re.compile(rb"missing (\d{1,5}):((?: [0-9a-f]{1,4})*)$")
#: The longest line: "missing" with every id that the ROM's table holds, 4096 times five bytes.
_LINE_BYTES = 32 * 1024


class RoundEnd(StrEnum):
    """How far a bring-up or round has come."""

    UNDERWAY = "underway"
    ALL_IN = "all-in"  # every AP checked in or was reported as replayed
    MISSING = "missing"  # some have not been seen
    CUT = "cut"  # the next bring-up began before it was over: the guest was reset


@dataclass(frozen=True, slots=True)
class ScanRound:
    """What is known of one bring-up, or of one round after it.

    ``number`` counts the bring-ups of the process from 1. ``round`` is 0 for the bring-up itself, a trial; from 1 on it
    is a round without a reset, never a trial. ``lost`` is how many APs are missing, ``missing`` their APIC ids (see
    the module for ids without a CPU), ``replayed`` the APIC ids of those that entered at the reset vector, in the order
    in which they said so. ``late``: all came in, but only after some had been reported as missing.
    """

    number: int
    round: int = 0
    end: RoundEnd = RoundEnd.UNDERWAY
    lost: int = 0
    missing: tuple[int, ...] = ()
    replayed: tuple[int, ...] = ()
    late: bool = False

    @property
    def ok(self) -> bool:
        """All in, in time, and none of them at the reset vector."""
        return self.end is RoundEnd.ALL_IN and not self.replayed and not self.late


@dataclass(slots=True)
class SmpscanLog:
    """What the console of one QEMU process has said so far.

    ``cpus``, ``ids`` and ``tsc_khz`` come from the line at the start (None before it); ``started`` counts the bring-ups
    that began, ``current`` is the latest bring-up or round, under way or over.
    """

    cpus: int | None = None
    ids: int | None = None
    tsc_khz: int | None = None
    rounds_a_bringup: int = 0
    started: int = 0
    current: ScanRound | None = None
    _line: bytearray | None = field(default=None, repr=False)
    _id_high: int = field(default=0, repr=False)

    @property
    def underway(self) -> bool:
        """Whether a bring-up or round has begun and is not over (not even by a report of missing APs)."""
        return self.current is not None and self.current.end is RoundEnd.UNDERWAY

    def skim(self, data: bytes) -> int | None:
        """Take in *data* if it speaks of nothing but healthy bring-ups, and return how many of them ended in it; None
        where it holds anything else, or what came before does: then :meth:`feed` it.

        At up to 5,000 bring-ups a second it matters that :meth:`feed` costs 3.6 us each and this 0.1 to 0.7.
        """
        now = self.current
        if now is None or self._line is not None or self.rounds_a_bringup or not _HEALTHY.fullmatch(data):
            return None
        underway = now.end is RoundEnd.UNDERWAY and not now.replayed
        if not (underway or now.ok) or data.startswith(b")") is not underway:
            return None
        self.started += data.count(b"(")
        self.current = ScanRound(self.started, end=RoundEnd.ALL_IN if data.endswith(b")") else RoundEnd.UNDERWAY)
        return data.count(b")")

    def feed(self, data: bytes) -> list[ScanRound]:
        """Take in the next bytes, cut anywhere; return what is over now, in order.

        The same ``(number, round)`` again takes the place of what was returned before: missing APs came in late, or
        an AP entered at the reset vector after the end. Never raises; bytes that mean nothing are passed over.
        """
        over: list[ScanRound] = []
        for byte in data:
            if byte >= 0xC0:
                self._id_high = byte & 0x3F
            elif byte >= 0x80:
                self._replayed(self._id_high << 6 | byte & 0x3F, over)
                self._id_high = 0
            elif byte == 0x28:  # "(", also inside a line: a reset cut that short
                self._begin(over)
            elif self._line is not None:
                self._in_line(byte, over)
            elif 0x61 <= byte <= 0x7A:  # a small letter begins a line
                self._line = bytearray((byte,))
            elif byte in b").+":
                self._all_in(byte, over)
        return over

    def _begin(self, over: list[ScanRound]) -> None:
        if self.current is not None and self.current.end is RoundEnd.UNDERWAY:
            over.append(replace(self.current, end=RoundEnd.CUT))
        self._line = None
        self.started += 1
        self.current = ScanRound(self.started)

    def _all_in(self, byte: int, over: list[ScanRound]) -> None:
        now = self.current
        if now is None:
            return
        expected = {RoundEnd.MISSING: "+", RoundEnd.UNDERWAY: "." if now.round else ")"}.get(now.end)
        if chr(byte) != expected:
            return
        over.append(replace(now, end=RoundEnd.ALL_IN, lost=0, missing=(), late=expected == "+"))
        more = now.round < self.rounds_a_bringup
        self.current = ScanRound(now.number, now.round + 1) if more else over[-1]

    def _replayed(self, apic_id: int, over: list[ScanRound]) -> None:
        if self.current is None:
            return
        self.current = replace(self.current, replayed=tuple(dict.fromkeys((*self.current.replayed, apic_id))))
        if self.current.end is not RoundEnd.UNDERWAY:
            over.append(self.current)

    def _in_line(self, byte: int, over: list[ScanRound]) -> None:
        assert self._line is not None
        if byte != 0x0A:
            if len(self._line) < _LINE_BYTES:
                self._line.append(byte)
            return
        line, self._line = bytes(self._line), None
        if about := _ABOUT.search(line):
            self.cpus, self.ids, self.tsc_khz, self.rounds_a_bringup = map(int, about.groups())
        elif (report := _MISSING.search(line)) and self.underway and self.current is not None:
            missing = tuple(int(word, 16) for word in report[2].split())
            self.current = replace(self.current, end=RoundEnd.MISSING, lost=int(report[1]), missing=missing)
            over.append(self.current)


@dataclass(slots=True)
class SmpscanBoot:
    """One bring-up, seen as a boot (``model.BootProgress``): ``now`` is what is known of it, ``begun`` how many began
    where one was expected.

    Once an AP has said that it entered at the reset vector, the bring-up is judged by that alone, and the same whether
    or not the rest of it has been read.
    """

    checkins: ClassVar[int] = 0  # no AP ever announces itself
    cpus: int | None = None
    now: ScanRound | None = None
    begun: int = 0

    @property
    def milestone(self) -> Milestone:
        """How far it has come; APs do not announce themselves, and one that was replayed is not up."""
        if self.now is not None:
            all_up = self.now.end is RoundEnd.ALL_IN and not self.now.replayed
            return Milestone.FOUND if all_up else Milestone.PCI
        return Milestone.START if self.cpus is None else Milestone.BANNER

    @property
    def found(self) -> int | None:
        """All CPUs, once every AP has come in."""
        return self.cpus if self.milestone is Milestone.FOUND else None

    @property
    def clean(self) -> bool:
        """Whether one bring-up began, and nothing was cut short."""
        return self.begun == 1

    @property
    def restart_signs(self) -> tuple[str, ...]:
        """The first AP that entered the ROM at the reset vector, and bring-ups that nobody asked for."""
        replayed = self.now.replayed[:1] if self.now is not None else ()
        entered = (f"an AP entered at the reset vector without the BSP flag, APIC id {each:x}" for each in replayed)
        return (*entered, *((f"{self.begun} bring-ups began",) if self.begun > 1 else ()))

    @property
    def stuck(self) -> bool:
        """Whether APs have been reported missing and have not come since."""
        return self.now is not None and self.now.end is RoundEnd.MISSING

    @property
    def last_line(self) -> str:
        """The last that was said, in words."""
        if self.now is None:
            return "" if self.cpus is None else f"smpscan 1 cpus={self.cpus}"
        if self.now.end is RoundEnd.MISSING:
            return f"missing {self.now.lost}: {' '.join(f'{apic_id:x}' for apic_id in self.now.missing)}"
        return f"bring-up {self.now.end}"


@dataclass(slots=True)
class SmpscanProgress(SmpscanBoot):
    """The first bring-up of a process; what is said after it came through or showed a restart is no part of it."""

    _log: SmpscanLog = field(default_factory=SmpscanLog, repr=False)

    def feed(self, data: bytes, stream: Stream = Stream.DEBUG) -> bool:
        """Take in the next bytes of the console; return whether the boot came further, got stuck or restarted."""
        before = (self.cpus, self.now, self.begun)
        for byte in data:
            if self.found is not None or self.restart_signs:
                break
            self._log.feed(bytes((byte,)))
            self.cpus, self.now, self.begun = self._log.cpus, self._log.current, self._log.started
        return before != (self.cpus, self.now, self.begun)


@dataclass(slots=True)
class SmpscanSeries(SmpscanBoot):
    """Bring-up after bring-up of a process that resets itself (``base.SeriesReader``).

    A bring-up is over when the next one begins: until then an AP may still be reported as replayed, and one in which
    that has happened is shown. One that ends with APs missing is never over, unless one of them was replayed: it is
    looked at, or reset from outside.
    """

    over: deque[int | BootProgress] = field(default_factory=deque)
    _log: SmpscanLog = field(default_factory=SmpscanLog, repr=False)
    _last: ScanRound | None = field(default=None, repr=False)  # ended, and may still change

    def feed(self, data: bytes, stream: Stream = Stream.DEBUG) -> bool:
        """Take in the next bytes of the console; return whether a bring-up is over or got stuck."""
        before = len(self.over), self.stuck
        ended = self._log.skim(data)
        if ended is None:
            self._fold(self._log.feed(data))
        elif data:
            self._count(ended + (self._last is not None) - data.endswith(b")"))
            self._last = self._log.current if data.endswith(b")") else None
        self.cpus, self.begun = self._log.cpus, 1
        now = self._log.current
        self.now = now if now is None or now.replayed or now.end is not RoundEnd.ALL_IN else None
        return before != (len(self.over), self.stuck) or ended != 0

    def again(self) -> SmpscanSeries:
        """Return what reads on after a reset from outside: the first line comes once a process only."""
        log = SmpscanLog(self._log.cpus, self._log.ids, self._log.tsc_khz, self._log.rounds_a_bringup)
        return SmpscanSeries(self.cpus, _log=log)

    def _fold(self, ended: list[ScanRound]) -> None:
        for seen in ended:
            if seen.end is RoundEnd.MISSING and not seen.replayed:
                continue
            if self._last is not None and self._last.number != seen.number:
                self._settle(self._last)
            self._last = seen
        if self._last is not None and self._last.number < self._log.started:
            self._settle(self._last)
            self._last = None

    def _settle(self, seen: ScanRound) -> None:
        if seen.ok:
            self._count(1)
        else:
            cut = seen.end is RoundEnd.CUT and not seen.replayed
            self.over.append(SmpscanBoot(self._log.cpus, seen, 2 if cut else 1))

    def _count(self, healthy: int) -> None:
        last = self.over[-1] if self.over else None
        if healthy and isinstance(last, int):
            self.over[-1] = last + healthy
        elif healthy:
            self.over.append(healthy)

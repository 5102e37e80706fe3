"""A console of lines, folded into how far the boot has come (pure: bytes in, facts out).

The patterns are a firmware's own (``LinePatterns``); ``repro.sh`` is given the same. Bytes can come one at a time, and
lines half written: what has been said is a matter of the lines alone, never of how they were cut into reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from qstress.firmware.streams import Stream
from qstress.model import Milestone

#: A longer line is read as far as this.
_LINE_BYTES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class LinePatterns:
    """What a firmware called ``name`` prints, as regular expressions that are searched for in each line.

    ``milestones``: the lines by which a milestone is reached. ``BANNER`` is printed once a boot, ``CHECKIN`` once an
    AP; the first group of ``FOUND`` holds how many CPUs are up. ``restart``: a line that says that a CPU runs the
    firmware once more, which ``restart_sign`` says in words. ``restarts_from``: after a reset from outside the firmware
    may restart by itself until it has reached this milestone.
    """

    name: str
    milestones: Mapping[Milestone, str]
    restart: str = ""
    restart_sign: str = ""
    restarts_from: Milestone = Milestone.START

    def reached(self, milestone: Milestone) -> str:
        """Return the pattern by which a console shows that *milestone* has been reached, or the next one that is
        printed; it is found in any text for ``START``, and in none after the last."""
        if milestone is Milestone.START:
            return ""
        return next((self.milestones[later] for later in Milestone if milestone <= later in self.milestones), "(?!)")


@dataclass(slots=True)
class LineBoot:
    """What a console of lines has said so far in one bring-up (``streams.BootReader``).

    ``checkins`` counts the APs that said so, ``found`` is how many CPUs are up as the boot CPU says, ``banners`` counts
    the starts of the firmware before that, ``resumed`` whether a restart was announced. ``after_reset``: the boot began
    with a reset from outside, and restarts do not count before ``patterns.restarts_from``.

    The bring-up is over once all CPUs are found: what is printed later is no part of it but that it went on to boot. A
    restart inside it that was announced after one clean start is certain, so that no more is counted after that but
    whether the CPUs are found: the facts are those of the moment at which a judge who reads line by line has decided.
    """

    stuck: ClassVar[bool] = False  # such a firmware never says that APs are missing
    milestone: Milestone = Milestone.START
    banners: int = 0
    checkins: int = 0
    found: int | None = None
    resumed: bool = False
    last_line: str = ""
    after_reset: bool = False
    _rest: bytes = field(default=b"", repr=False)
    patterns: LinePatterns = field(kw_only=True, repr=False)

    def feed(self, data: bytes, stream: Stream = Stream.DEBUG) -> bool:
        """Take in the next bytes of the console; return whether the boot came further or a restart showed. Other
        streams are passed over."""
        if stream is not Stream.DEBUG:
            return False
        before = self._facts()
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:_LINE_BYTES]
        for line in lines:
            self._line(line[:_LINE_BYTES].decode("latin-1").rstrip("\r"))
        return before != self._facts()

    @property
    def clean(self) -> bool:
        """Whether exactly one banner came, as in an undisturbed boot."""
        return self.banners == 1

    @property
    def restart_signs(self) -> tuple[str, ...]:
        """What shows that the firmware ran from its start a second time inside this bring-up."""
        banners = (f"{self.banners} {self.patterns.name} banners before Found",) if self.banners > 1 else ()
        return banners + ((self.patterns.restart_sign,) if self.resumed else ())

    def _facts(self) -> tuple[object, ...]:
        return self.milestone, self.banners, self.checkins, self.found, self.resumed

    def _line(self, line: str) -> None:
        if line:
            self.last_line = "".join(char if char.isascii() else "\ufffd" for char in line[:200])
        milestones = self.patterns.milestones.items()
        said, match = next(((each, m) for each, text in milestones if (m := re.search(text, line))), (None, None))
        restarted = self.resumed and self.clean
        if self.found is not None:
            if said is Milestone.BOOT and not restarted:
                self.milestone = Milestone.BOOT
        elif said is Milestone.FOUND and match is not None:
            self.found = int(match[1] or 0)
            self._reached(Milestone.FOUND if not restarted else self.milestone)
        elif not restarted:
            self._before_found(said, line)

    def _before_found(self, said: Milestone | None, line: str) -> None:
        starting = self.after_reset and self.milestone < self.patterns.restarts_from
        if said is not None:
            self.checkins += said is Milestone.CHECKIN
            if said is Milestone.BANNER:
                self.banners = 1 if starting else self.banners + 1
            self._reached(said)
        elif self.patterns.restart and re.search(self.patterns.restart, line):
            self.resumed = self.resumed or not starting

    def _reached(self, milestone: Milestone) -> None:
        self.milestone = max(self.milestone, milestone)

"""What each oracle says of its kind of fault, and what a fault is (pure).

Add one by a module in this package with a subclass, and its name in :data:`qstress.fuzz.judge.ORACLES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import ClassVar, Literal

from qstress.fuzz.exchange import Exchange, ExchangeOutcome
from qstress.fuzz.ops import Op
from qstress.fuzz.protocol import Answered, Fate, Reader
from qstress.fuzz.recording import Recording


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. Equal faults have equal titles; ``suspect`` is the command that is blamed.

    ``kind`` is that of its oracle. ``telling`` is a part of what a monitor said that shows it, where that does not
    change from run to run. ``is_note``: no finding; the sandbox or a limit of ours spoke.
    """

    kind: str
    title: str
    suspect: str
    because: tuple[str, ...] = ()
    telling: str = ""
    is_note: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """An exchange, what came of it, and its commands with their answers, judged by ``reader``.

    ``host_bytes`` is this host's memory: an allocation beyond it fails with and without our limits.
    """

    exchange: Exchange
    outcome: ExchangeOutcome
    answers: Sequence[Answered]
    reader: Reader
    host_bytes: int

    @property
    def unanswered(self) -> str:
        """What QEMU was at: the first command without an answer, or the last one of all."""
        lost = [each.send for each in self.answers if each.digest.fate is Fate.LOST]
        sends = lost[:1] or [each.send for each in self.answers][-1:]
        return sends[0].label if sends else "corrupt bytes"


class Oracle(ABC):
    """One kind of fault. An object of it judges the exchanges of one guest, in order; all else holds for the kind."""

    #: As it is written in ``finding.json`` and ``repro.jsonl``.
    kind: ClassVar[str]
    #: How much less often its suspect is drawn, so that a session does not stay at one spot.
    blame: ClassVar[int] = 0
    #: A fault counts only once most replays have shown it: jobs and guests change things by themselves.
    must_repeat: ClassVar[bool] = False
    #: What was begun may show the fault some time after the last exchange, so QEMU is watched on.
    comes_late: ClassVar[bool] = False
    #: The last exchange of a recording is judged as a whole: it must not be cut into single commands.
    last_exchange_whole: ClassVar[bool] = False
    #: What a replay sends after the recording, to see the fault.
    coda: ClassVar[tuple[Op, ...]] = ()

    @abstractmethod
    def judge(self, seen: Observed) -> list[Fault]:
        """Return what is wrong with what came of the exchange."""

    def signature(self, title: str) -> str:
        """Return what of a title tells two faults apart while the commands around them are still being taken away."""
        return title

    def blames_among_others(self, title: str, other: str) -> bool:
        """Whether a fault called *other* blames, among others, what one called *title* blames alone."""
        return False

    def before_reduction(self, recording: Recording) -> Recording:
        """Return *recording* with what its reduction needs: the steps added are kept with the last one."""
        return recording

    def placebo(self, recording: Recording) -> Recording | None:
        """Return *recording* without the commands that are blamed: no fault of theirs if that shows too."""
        return None

    #: When the stacks of QEMU's threads tell something: as it ends, once it is silent, or never.
    stacks_at: ClassVar[Literal["end", "silence", ""]] = ""
    #: What is right, for a bug report.
    expected: ClassVar[str]

    # how repro.sh sees it

    #: Why a shell cannot show it, where :meth:`shell_verdict` has no lines.
    shell_refusal: ClassVar[str] = "What shows it takes more than a shell to see."
    #: What the script prints, and does, when it shows.
    shell_shows: ClassVar[str] = ""

    def shell_replaces(self, step: Exchange) -> bool:
        """Whether :meth:`shell_verdict` does *step* in its own way."""
        return False

    def shell_verdict(self, recording: Recording) -> Iterator[str]:
        """Yield the lines that decide whether it showed; the last one's exit status is 0 when it did."""
        yield from ()


def printf_b(data: bytes) -> str:
    """Return *data* as an argument of ``printf %b``: octal for what is no plain character (POSIX: printf, "%b")."""
    text = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else "\\n" if byte == 0x0A else f"\\0{byte:03o}"
        for byte in data
    )
    return quote(text)

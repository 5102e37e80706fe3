"""What each oracle says of its kind of fault, and what a fault is (pure).

Add one by a module in this package with a subclass, and its name in :data:`qstress.fuzz.judge.ORACLES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from qstress.fuzz.commands import command_label
from qstress.fuzz.exchange import Exchange, ExchangeOutcome
from qstress.fuzz.ops import Op
from qstress.fuzz.protocol import Answered, Fate, Reader
from qstress.fuzz.recording import Recording


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. Equal faults have equal titles; ``suspect`` is the command that gets the blame.

    ``kind`` is that of its oracle. ``telling`` is a part of what a monitor said that shows it, where that does not
    change from run to run. ``is_note``: no finding; the sandbox or a limit of ours spoke.
    """

    kind: str
    title: str
    suspect: str
    because: tuple[str, ...] = ()
    telling: str = ""
    is_note: bool = False


class Oracle:
    """One kind of fault. The class describes the kind; an object of it judges the exchanges of one guest, in order.

    :param reader: judges stray lines.
    :param host_bytes: this host's memory: an allocation beyond it fails with and without our limits.
    """

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

    def __init__(self, reader: Reader, *, host_bytes: int) -> None:
        self._reader = reader
        self._host_bytes = host_bytes

    def judge(self, exchange: Exchange, outcome: ExchangeOutcome, answers: Sequence[Answered]) -> list[Fault]:
        """Return what is wrong with what came of *exchange*; *answers* are its commands with their answers, judged."""
        raise NotImplementedError

    @classmethod
    def signature(cls, title: str) -> str:
        """Return what of a title tells two faults apart while the commands around them are still being taken away."""
        return title

    @classmethod
    def blames_among_others(cls, title: str, other: str) -> bool:
        """Whether a fault called *other* blames, among others, what one called *title* blames alone."""
        return False

    @classmethod
    def before_reduction(cls, recording: Recording) -> Recording:
        """Return *recording* with what its reduction needs: the steps added are kept with the last one."""
        return recording

    @classmethod
    def placebo(cls, recording: Recording) -> Recording | None:
        """Return *recording* without the commands that are blamed: no fault of theirs if that shows too."""
        return None

    # how repro.sh sees it

    #: Why a shell cannot show it, where :meth:`shell_verdict` has no lines.
    shell_refusal: ClassVar[str] = "What shows it takes more than a shell to see."

    @classmethod
    def shell_replaces(cls, step: Exchange) -> bool:
        """Whether :meth:`shell_verdict` does *step* in its own way."""
        return False

    @classmethod
    def shell_verdict(cls, recording: Recording) -> Iterator[str]:
        """Yield the lines that decide whether it showed; the last one's exit status is 0 when it did."""
        yield from ()


def unanswered_label(answers: Sequence[Answered]) -> str:
    """Return what QEMU was at: the first command without an answer, or the last one of all."""
    lost = [each.send for each in answers if each.digest.fate is Fate.LOST]
    sends = lost[:1] or [each.send for each in answers][-1:]
    return command_label(sends[0]) if sends else "corrupt bytes"

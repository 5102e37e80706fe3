"""What a survey says of each command (pure): from what its sendings made QEMU do to one of five answers.

Whatever KVM changes while a vCPU stands between reading and writing back is overwritten: an INIT that comes in between
is lost where the write-back carries the SMM part, and replayed where the read has seen it (docs/background/race.md,
"The lost INIT", "The replayed INIT").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from math import ceil
from typing import Any

from qstress.survey.observed import GuestKind, Sending


class Answer(StrEnum):
    """What a command does to the vCPUs."""

    SAFE = "safe"  # touches none
    ONE = "one"  # one is read and written back at run time
    ALL = "all"  # several are
    RESETS = "resets"  # some are written at reset level: nothing that comes in between is to survive that
    NOT_TRIED = "not-tried"


#: What hurts a guest that boots most comes last.
_WORST = (Answer.NOT_TRIED, Answer.SAFE, Answer.RESETS, Answer.ONE, Answer.ALL)
_RUNNING = (GuestKind.WAITING, GuestKind.BOOTED)
_WORDS = {
    Answer.SAFE: "no vCPU", Answer.ONE: "one vCPU", Answer.ALL: "every vCPU", Answer.RESETS: "written at reset level",
    Answer.NOT_TRIED: "refused",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RaceCount:
    """*k* of *n* bring-ups."""

    k: int
    n: int


@dataclass(frozen=True, slots=True)
class Races:
    """How often the command made a bring-up lose or replay an INIT: as it is, and with APs held (``held``)."""

    lost: RaceCount
    replayed: RaceCount
    held_lost: RaceCount
    held_replayed: RaceCount

    def document(self) -> dict[str, dict[str, int]]:
        """Return it as ``survey --format json`` shows it."""
        return {f"{name}_init": counts for name, counts in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a survey.

    ``by_state``: the answer of each kind of guest. ``read`` and ``written``: each vCPU's calls a sending. ``window_s``:
    median and 99th percentile of the time between them, in guests that run. ``races`` is None where it was not tried,
    and ``untried`` then says why.
    """

    command: str
    via: str
    answer: Answer
    why: str
    by_state: Mapping[GuestKind, Answer] = field(default_factory=dict)
    sendings: int = 0
    read: Mapping[int, float] = field(default_factory=dict)
    written: Mapping[int, float] = field(default_factory=dict)
    smm: bool = False
    window_s: tuple[float, float] | None = None
    races: Races | None = None
    untried: str = ""

    def document(self) -> dict[str, Any]:
        """Return the row as ``survey --format json`` shows it."""
        races = self.races.document() if self.races else dict.fromkeys(f"{each.name}_init" for each in fields(Races))
        return {
            "command": self.command, "via": self.via, "answer": self.answer.value, "why": self.why,
            "states": {state.value: answer.value for state, answer in self.by_state.items()},
            "sendings": self.sendings, "read": dict(self.read), "written": dict(self.written), "smm": self.smm,
            "window_s": {"p50": self.window_s[0], "p99": self.window_s[1]} if self.window_s else None,
            **races, "untried": self.untried,
        }  # fmt: skip


def row(command: str, via: str, sendings: Sequence[Sending], lost: Mapping[GuestKind, str]) -> Row:
    """Return what *sendings* of a command say of it.

    :param lost: why QEMU was not there any more after it, by kind of guest.
    """
    taken = [each for each in sendings if each.accepted]
    by_state = {state: _worst(each for each in taken if each.state is state) for state in GuestKind}
    windows = sorted(span for each in taken for span in each.window_s)
    return Row(
        command, via, _worst(taken), _why(by_state, taken, lost), by_state, len(taken),
        read=_share(taken, [each.read for each in taken]), written=_share(taken, [each.written for each in taken]),
        smm=any(each.smm for each in taken),
        window_s=(_percentile(windows, 50), _percentile(windows, 99)) if windows else None,
    )  # fmt: skip


def not_tried(command: str, via: str, why: str) -> Row:
    """Return the row of a command that QEMU was not asked to carry out, or would not."""
    return Row(command, via, Answer.NOT_TRIED, why)


def _worst(sendings: Iterable[Sending]) -> Answer:
    return max(map(_answer, sendings), key=_WORST.index, default=Answer.NOT_TRIED)


def _answer(one: Sending) -> Answer:
    if one.reset:
        return Answer.RESETS
    return (Answer.SAFE, Answer.ONE, Answer.ALL)[min(2, len(one.read.keys() | one.written.keys()))]


def _why(by_state: Mapping[GuestKind, Answer], taken: Sequence[Sending], lost: Mapping[GuestKind, str]) -> str:
    """Say what was seen where, states that agree together."""
    groups: dict[str, list[str]] = {}
    for state, answer in by_state.items():
        if answer is Answer.NOT_TRIED:
            continue
        own = [each for each in taken if each.state is state]
        at_cont = state in _RUNNING and any(each.at_cont for each in own)  # of one that stands still that is no news
        which = _WORDS[answer]
        if answer is Answer.ONE and len({each.cpu for each in own}) > 1 and all(map(_follows, own)):
            which = "the monitor's own vCPU (cpu-index)"
        groups.setdefault(f"{which}{', at cont' if at_cont else ''}", []).append(state.value)
    said = [f"{words} ({', '.join(states)})" if len(groups) > 1 else words for words, states in groups.items()]
    said += [f"{state.value}: {text}" for state, text in lost.items()]
    return "; ".join(said)


def _follows(one: Sending) -> bool:
    """Whether nothing but the vCPU that the monitor was at was read."""
    return one.read.keys() <= {one.cpu or 0}


def _share(taken: Sequence[Sending], counts: Sequence[Counter[int]]) -> dict[int, float]:
    total = sum(counts, Counter[int]())
    return {vcpu: round(total[vcpu] / len(taken), 2) for vcpu in sorted(total)}


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return round(ordered[ceil(len(ordered) * percent / 100) - 1], 6)

"""A recording made smaller while it still shows its fault: the sequence, then arguments, then the guest.

Delta debugging (Zeller & Hildebrandt, "Simplifying and isolating failure-inducing input", IEEE TSE 28(2), 2002) over
exchanges and then over single commands; each question "does it still show?" is asked by playing a candidate. A fault
that shows each time needs one play a question. A racy one, that showed k of n times, is played until it shows once, or
so often that a candidate that still has it is given up with a chance of at most :data:`ERROR`.

By hand on purpose: libraries of delta debugging ask a question once and believe the answer.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from qstress.fuzz.exchange import LOOK, PROBE_AGAIN, Exchange
from qstress.fuzz.judge import oracle_of
from qstress.fuzz.ops import Await, MeasureFootprint, Op, Send, To, only_reads
from qstress.fuzz.recording import Recording
from qstress.fuzz.replay import Replayed

T = TypeVar("T")
#: Plays before anything is taken away, and of the result at the end.
BASELINE, CONFIRM = 3, 5
#: How many of the last exchanges are played alone before the whole recording is.
TAILS = (1, 3, 10, 30)
#: How long a QEMU that a crash needs time to reach is watched; less, where it was seen to need less: so many times that
#: long and a little more.
LINGER_S = 5.0
LINGER_TIMES, LINGER_LEAST_S = 4, 0.5
#: The accepted chance that a question about a racy fault is answered wrongly with "it does not show".
ERROR = 0.05
#: Plays of one question at most, however racy the fault is.
MAX_PLAYS = 30


@dataclass(frozen=True, slots=True)
class Reduced:
    """A recording made smaller, how often it showed again, and the words for how sure that is."""

    recording: Recording
    shown: int
    tried: int
    because: tuple[str, ...] = ()
    note: str = ""


class Reducer:
    """Asks questions by *play*, until *budget_s* are used up or it is *over*.

    :param play: plays a recording once; returns what that showed.
    """

    def __init__(
        self, play: Callable[[Recording], Replayed], *, budget_s: float, over: Callable[[], bool] = lambda: False
    ) -> None:
        self._play = play
        self._over = over
        self._deadline_s = time.monotonic() + budget_s
        self._plays = 1
        self._shown = Replayed(None)  # the last play that showed it

    def reduce(self, recording: Recording) -> Reduced:
        """Return *recording* made smaller; as it is where no replay shows its fault."""
        oracle = oracle_of(recording.kind)
        recording = self._tail(recording)
        shown, tried = self._baseline(recording)
        first = recording
        if not shown and oracle.comes_late:  # what was begun may need time to end it
            patient = replace(recording, linger_s=LINGER_S)
            if self._shows_once(patient):
                first = recording = patient
                shown = tried = 1
        if not shown:
            return Reduced(recording, 0, tried, note="no replay showed it again")
        self._plays = plays_needed(shown, tried)
        small = self._no_longer(recording)
        for smaller in (
            self._awaited, self._only_changing, self._shorter, self._flat, self._simpler_arguments, self._simpler_guest
        ):  # fmt: skip
            small = self._sure(smaller, small)
        if not (confirmed := sum(self._shows_once(small) for _ in range(CONFIRM))):
            lost = "racy: the last steps of making it smaller lost it, so this is what showed before"
            return Reduced(first, shown, tried, note=lost)
        fault = self._shown.fault
        assert fault is not None
        if (placebo := oracle.placebo(small)) is not None and self._shows(placebo):
            return Reduced(recording, 0, CONFIRM, note="it changes by itself too")
        small = replace(small, title=fault.title, telling=fault.telling)
        racy = f"racy: a command that matters was dropped with a chance of at most {ERROR:.0%}"
        sure = "" if confirmed == CONFIRM else racy
        return Reduced(small, confirmed, CONFIRM, fault.because, sure)

    def _tail(self, recording: Recording) -> Recording:
        """Return the last few exchanges if they alone show it at once, which most faults do: the whole life is long."""
        before, recording = len(recording.steps), oracle_of(recording.kind).before_reduction(recording)
        added = len(recording.steps) - before
        for kept in TAILS:
            tail = replace(recording, steps=(*recording.steps[:1], *recording.steps[1:][-kept - added :]))
            if len(tail.steps) < len(recording.steps) and self._shows_once(tail):
                return tail
        return recording

    def _baseline(self, recording: Recording) -> tuple[int, int]:
        """Return how often it shows, and of how many plays: :data:`BASELINE`, or until a racy one has shown once.

        What changes by itself now and then, and counts only when most plays show it, is not waited for.
        """
        shown = sum(self._shows_once(recording) for _ in range(BASELINE))
        tried, until_s = BASELINE, (time.monotonic() * 3 + self._deadline_s) / 4
        patient = not oracle_of(recording.kind).must_repeat
        while patient and not shown and tried < MAX_PLAYS and time.monotonic() < until_s and not self._over():
            shown, tried = int(self._shows_once(recording)), tried + 1
        return shown, tried

    def _sure(self, smaller: Callable[[Recording], Recording], recording: Recording) -> Recording:
        """Return what *smaller* makes of *recording*; where that does not show again, once more and more carefully.

        One that shows by chance is soon mistaken for one that shows each time: many questions about it are asked.
        """
        for _ in range(2):
            small = smaller(recording)
            if small == recording:
                return small
            if any(self._shows_once(small) for _ in range(max(CONFIRM, self._plays) if self._in_time else CONFIRM)):
                return self._no_longer(small)
            self._plays = min(MAX_PLAYS, 2 * self._plays + 1)
        return recording

    def _no_longer(self, recording: Recording) -> Recording:
        """Return *recording*, which has just shown, watched for no longer than that was seen to need."""
        needed_s = LINGER_LEAST_S + LINGER_TIMES * self._shown.lingered_s
        return replace(recording, linger_s=min(recording.linger_s, needed_s)) if self._shown.lingered_s else recording

    def _awaited(self, recording: Recording) -> Recording:
        """Wait for a crash, in the place of commands that only gave it time: it is later than what brings it about."""
        dropped = 1
        while oracle_of(recording.kind).comes_late and dropped < len(recording.steps) - 1:
            early = replace(recording, steps=recording.steps[:-dropped], linger_s=LINGER_S)
            if not self._shows(early):
                break
            recording, dropped = early, 2 * dropped
        return recording

    def _only_changing(self, recording: Recording) -> Recording:
        """Drop at once all that was refused or only reads, or else all that only reads, if it shows without."""
        changing = self._shown.changing
        for needless in (lambda send: send.ident not in changing, lambda send: only_reads(send.command)):
            small = _without(recording, needless)
            if small == recording or self._shows(small):
                return small
        return recording

    def _shorter(self, recording: Recording) -> Recording:
        """Drop exchanges: everything but the last few at first, then by delta debugging. The first one connects."""
        head, body = recording.steps[:1], list(recording.steps[1:])

        def with_body(steps: Sequence[Exchange]) -> Recording:
            return replace(recording, steps=(*head, *steps))

        kept = 1
        while kept < len(body):
            if self._shows(with_body(body[-kept:])):
                body = body[-kept:]
                break
            kept *= 2
        return with_body(ddmin(body, lambda steps: self._shows(with_body(steps))))

    def _flat(self, recording: Recording) -> Recording:
        """One command an exchange, where it shows like that too; then drop single commands."""
        flat, last = list(recording.steps[:1]), recording.steps[-1]
        for step in recording.steps[1:]:
            whole = _is_whole(step) or (step is last and oracle_of(recording.kind).last_exchange_whole)
            flat += [step] if whole else [Exchange(step.kind, (op,)) for op in step.ops]
        candidate = replace(recording, steps=tuple(flat))
        if len(flat) > len(recording.steps) and self._shows(candidate):
            recording = self._shorter(candidate)
        for index, step in enumerate(recording.steps):
            if index and step.kind not in (PROBE_AGAIN, LOOK):
                recording = self._fewer_ops(recording, index)
        return recording

    def _fewer_ops(self, recording: Recording, index: int) -> Recording:
        ops = list(recording.steps[index].ops)
        return _with_ops(recording, index, ddmin(ops, lambda kept: self._shows(_with_ops(recording, index, kept))))

    def _simpler_arguments(self, recording: Recording) -> Recording:
        for index, step in enumerate(recording.steps):
            for at, op in enumerate(step.ops):
                if index and step.kind != PROBE_AGAIN and isinstance(op, Send) and op.wait is Await.REPLY:
                    recording = self._simpler_send(recording, index, at)
        return recording

    def _simpler_send(self, recording: Recording, index: int, at: int) -> Recording:
        """Take members out of one command's arguments, one after another, from the outside in."""
        while small := next(filter(self._shows, _with_simpler_send(recording, index, at)), None):
            recording = small
        return recording

    def _simpler_guest(self, recording: Recording) -> Recording:
        options = grouped(recording.arguments)

        def with_options(kept: Sequence[tuple[str, ...]]) -> Recording:
            return replace(recording, arguments=tuple(word for group in kept for word in group))

        return with_options(ddmin(options, lambda kept: self._shows(with_options(kept))))

    def _shows(self, recording: Recording) -> bool:
        return any(self._shows_once(recording) for _ in range(self._plays) if self._in_time)

    @property
    def _in_time(self) -> bool:
        return time.monotonic() < self._deadline_s and not self._over()

    def _shows_once(self, recording: Recording) -> bool:
        replayed = self._play(recording)
        if replayed.fault is not None:
            self._shown = replayed
        return replayed.fault is not None


def plays_needed(shown: int, tried: int) -> int:
    """Return how often a candidate is played before it is taken not to show, for a fault that showed *shown* of *tried*
    times: the chance that one which shows as often is missed is at most :data:`ERROR`."""
    if shown >= tried:
        return 1
    return min(MAX_PLAYS, math.ceil(math.log(ERROR) / math.log(1 - shown / tried)))


def ddmin(items: list[T], shows: Callable[[list[T]], bool]) -> list[T]:
    """Return a shorter list that still *shows*, from which no single item can be taken away; *items* itself shows.

    A round takes away each part of equal size that need not be there, and the next round halves the parts. It does not
    begin anew after each part as the first description of delta debugging does: of a thousand items of which three
    matter, that asks 54 questions in the place of 85.
    """
    size = math.ceil(len(items) / 2)
    while len(items) >= 2:
        at, before = 0, len(items)
        while at < len(items):
            rest = items[:at] + items[at + size :]
            if rest and shows(rest):
                items = rest
            else:
                at += size
        if size == 1 and len(items) == before:
            break
        size = max(1, min(size // 2, len(items) // 2))
    return [] if len(items) == 1 and shows([]) else items


def simpler(data: bytes) -> Iterator[bytes]:
    """Yield a QMP message with one member of its arguments left out, or with a value made plain."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(message, dict) or "arguments" not in message:
        return
    for arguments in _simpler_value(message["arguments"]):
        yield json.dumps({**message, "arguments": arguments}).encode() + b"\n"


def _simpler_value(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key in value:
            yield {name: item for name, item in value.items() if name != key}
        for key, item in value.items():
            for simple in _simpler_value(item):
                yield {**value, key: simple}
    elif isinstance(value, list):
        for index in range(len(value)):
            yield value[:index] + value[index + 1 :]
        for index, item in enumerate(value):
            for simple in _simpler_value(item):
                yield [*value[:index], simple, *value[index + 1 :]]
    elif isinstance(value, str) and len(value) > 8:
        yield value[: len(value) // 2]


def grouped(arguments: Sequence[str]) -> list[tuple[str, ...]]:
    """Return a QEMU command line's options, each with its value."""
    groups: list[tuple[str, ...]] = []
    for word in arguments:
        if word.startswith("-") or not groups:
            groups.append(())
        groups[-1] += (word,)
    return groups


def _with_ops(recording: Recording, index: int, ops: Sequence[Op]) -> Recording:
    step = replace(recording.steps[index], ops=tuple(ops))
    return replace(recording, steps=(*recording.steps[:index], step, *recording.steps[index + 1 :]))


def _with_simpler_send(recording: Recording, index: int, at: int) -> Iterator[Recording]:
    ops = recording.steps[index].ops
    send = ops[at]
    assert isinstance(send, Send)
    for data in simpler(send.data):
        yield _with_ops(recording, index, (*ops[:at], replace(send, data=data), *ops[at + 1 :]))


def _without(recording: Recording, needless: Callable[[Send], bool]) -> Recording:
    """Return *recording* without *needless* commands; the first and the last exchange and looks are kept whole."""
    steps = list(recording.steps)
    for index, step in enumerate(steps[1:-1], 1):
        if step.kind != LOOK:
            kept = (op for op in step.ops if not (isinstance(op, Send) and op.wait is Await.REPLY and needless(op)))
            steps[index] = replace(step, ops=tuple(kept))
    return replace(recording, steps=tuple(step for step in steps if step.ops))


def _is_whole(step: Exchange) -> bool:
    """Whether a step is more than messages of their own: pieces, corrupt bytes, looks at the footprint."""
    return step.kind in (PROBE_AGAIN, LOOK) or any(
        isinstance(op, MeasureFootprint) or (isinstance(op, Send) and op.to is To.QMP and op.wait is Await.NOTHING)
        for op in step.ops
    )

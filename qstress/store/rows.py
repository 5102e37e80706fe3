"""How a trial's result becomes a row of ``trials.db`` and comes back (pure).

A million healthy trials have to stay under 60 MB (measured: 51 bytes a trial), so an ok trial is one row of
integers: it keeps no words, and times are whole microseconds. Command counts and the latency histogram, mostly
small numbers and zeros, are packed into one BLOB: LEB128 integers, each zero followed by how many more zeros
follow it. :func:`as_stored` is what a result looks like once it was written and read back: fold that, and a
summary made while the run goes on equals the one rebuilt from its file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TypeAlias

from qstress.model import CommandCount, Confidence, FindingClass, Outcome, Trial, TrialResult, Verdict

#: The columns of ``trial``: number, block, verdict id, started_us, duration_us, boot_us, detection_us, duty_ppm,
#: tallies.
TrialRow: TypeAlias = tuple[int, int, int | None, int, int, int | None, int | None, int | None, bytes]
#: The words in ``verdict``: outcome, class, signature, title, confidence, because, rig_reason.
Words: TypeAlias = tuple[str, str | None, str, str, str, str, str]

#: What every ok trial reads back as.
HEALTHY = Verdict(Outcome.OK, "ok")


def pack(numbers: Sequence[int]) -> bytes:
    """Return *numbers* (each >= 0) as bytes, short for small numbers and for runs of zeros.

    >>> pack([300, 0, 0, 0, 5]).hex()
    'ac02000205'
    """
    out = bytearray()
    position = 0
    while position < len(numbers):
        number = numbers[position]
        position += 1
        out += _leb128(number)
        if number == 0:
            first = position
            while position < len(numbers) and numbers[position] == 0:
                position += 1
            out += _leb128(position - first)
    return bytes(out)


def unpack(data: bytes) -> list[int]:
    """Return what :func:`pack` was given.

    :raises ValueError: *data* ends inside a number.

    >>> unpack(bytes.fromhex("ac02000205"))
    [300, 0, 0, 0, 5]
    """
    out: list[int] = []
    value = shift = 0
    zeros_follow = False
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte & 0x80:
            continue
        if zeros_follow:
            out.extend([0] * value)
            zeros_follow = False
        else:
            out.append(value)
            zeros_follow = value == 0
        value = shift = 0
    if shift or zeros_follow:
        raise ValueError("packed numbers are cut off")
    return out


def trial_row(result: TrialResult, verdict_id: int | None, command_id: Callable[[str], int]) -> TrialRow:
    """Return the row of *result*; *command_id* gives the id under which a command's text is known."""
    numbers = [len(result.commands)]
    for count in result.commands:
        numbers += [command_id(count.command), count.returned, count.errors, count.timeouts, count.lost]
        numbers += [_us(count.hammered_s), count.due]
    return (
        result.trial.number,
        result.trial.block,
        verdict_id,
        _us(result.started_s),
        _us(result.duration_s),
        None if result.boot_s is None else _us(result.boot_s),
        None if result.detection_s is None else _us(result.detection_s),
        None if result.duty_cycle is None else _us(result.duty_cycle),
        pack([*numbers, *result.latencies]),
    )


def trial_result(row: TrialRow, words: Words | None, trial: Trial, command_text: Callable[[int], str]) -> TrialResult:
    """Rebuild the result of *trial* from its *row* and, unless it was ok, the *words* of its verdict.

    :raises ValueError: the row's tallies are damaged.
    """
    _number, _block, _verdict, started_us, duration_us, boot_us, detection_us, duty_ppm, tallies = row
    n_commands, *numbers = unpack(tallies)
    if len(numbers) < 7 * n_commands:
        raise ValueError("packed numbers are cut off")
    commands = tuple(
        CommandCount(command_text(text), returned, errors, timeouts, lost, hammered_us / 1e6, due)
        for text, returned, errors, timeouts, lost, hammered_us, due in (
            numbers[at : at + 7] for at in range(0, 7 * n_commands, 7)
        )
    )
    return TrialResult(
        trial=trial,
        verdict=HEALTHY if words is None else verdict(words),
        started_s=started_us / 1e6,
        duration_s=duration_us / 1e6,
        boot_s=None if boot_us is None else boot_us / 1e6,
        detection_s=None if detection_us is None else detection_us / 1e6,
        commands=commands,
        latencies=tuple(numbers[7 * n_commands :]),
        rig_reason="" if words is None else words[6],
        duty_cycle=None if duty_ppm is None else duty_ppm / 1e6,
    )


def verdict_words(said: Verdict, rig_reason: str) -> Words:
    """Return the columns that hold *said* and why the rig failed."""
    kind = (said.outcome, said.finding_class, said.signature)
    return (*kind, said.title, said.confidence, json.dumps(said.because), rig_reason)


def verdict(words: Words) -> Verdict:
    """Rebuild a verdict from its columns.

    :raises ValueError: a column holds a word that this version does not know.
    """
    outcome, finding_class, signature, title, confidence, because, _rig_reason = words
    return Verdict(
        outcome=Outcome(outcome),
        title=title,
        finding_class=None if finding_class is None else FindingClass(finding_class),
        signature=signature,
        confidence=Confidence(confidence),
        because=tuple(json.loads(because)),
    )


def as_stored(result: TrialResult) -> TrialResult:
    """Return *result* as it will read back: microseconds, and no words for an ok trial."""
    texts = [count.command for count in result.commands]
    ok = result.verdict.outcome is Outcome.OK
    words = None if ok else verdict_words(result.verdict, result.rig_reason)
    return trial_result(trial_row(result, None, texts.index), words, result.trial, texts.__getitem__)


def _us(seconds: float) -> int:
    """Whole microseconds; a clock that was set back must not make a number that cannot be packed."""
    return max(0, round(seconds * 1e6))


def _leb128(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)

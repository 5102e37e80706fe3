"""How the results of a block become one row of ``trials.db`` and come back (pure).

A million healthy trials have to stay under 60 MB and be written at thousands a second, so a block is one BLOB of packed
integers: a column for each field over all its trials, most of them held as the difference from what the trial before
leads to expect, so that healthy trials leave zeros. An ok trial keeps no words, and times are whole microseconds.
:func:`as_stored` is what a result looks like once it was written and read back: fold that, and a summary made while the
run goes on equals the one rebuilt from its file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice

from qstress.model import CommandCount, Host, Outcome, Trial, TrialResult, Verdict
from qstress.store.packing import fold, pack, unfold, unpack

#: What every ok trial reads back as.
HEALTHY = Verdict(Outcome.OK, "ok")

Said = tuple[Verdict, str]  # a verdict, and why the rig failed


def pack_block(results: Sequence[TrialResult], command_id: Callable[[str], int]) -> bytes:
    """Return the results of one block as bytes; *command_id* gives the id under which a command's text is known.

    :param results: in ascending order of their trials' numbers.
    """
    trials: list[tuple[int, ...]] = []
    loads: list[int] = []
    number = ended_us = usual_us = 0
    for result in results:
        started_us, duration_us = _us(result.started_s), _us(result.duration_s)
        trials.append((
            result.trial.number - number,
            fold(started_us - ended_us),
            fold(duration_us - usual_us),
            _NEVER if result.boot_s is None else _but_never(fold(_us(result.boot_s) - duration_us)),
            0 if result.detection_s is None else 1 + _us(result.detection_s),
            0 if result.duty_cycle is None else 1 + _us(result.duty_cycle),
            len(result.commands),
            len(result.latencies),
        ))  # fmt: skip
        number, ended_us, usual_us = result.trial.number + 1, started_us + duration_us, duration_us
        for count in result.commands:
            loads += [command_id(count.command), count.returned, count.errors, count.timeouts, count.lost]
            loads += [_us(count.hammered_s), count.due]
        loads += result.latencies
    return pack([len(results), *chain.from_iterable(zip(*trials, strict=True)), *loads])


def unpack_block(
    data: bytes, trials: Mapping[int, Trial], said: Mapping[int, Said], command_text: Callable[[int], str],
    host: Host | None = None,
) -> list[TrialResult]:  # fmt: skip
    """Rebuild the results of one block.

    :param trials: the block's trials by number, as planned.
    :param said: what was said of those that were not ok, by number.
    :param host: where the block ran.
    :raises ValueError: *data* is damaged, or belongs to another plan.
    """
    packed = iter(unpack(data))
    n = next(packed, 0)
    columns = [list(islice(packed, n)) for _ in range(8)]
    loads = list(packed)
    if len(columns[-1]) < n or len(loads) != 7 * sum(columns[6]) + sum(columns[7]):
        raise ValueError("packed numbers are cut off")
    results = []
    number = ended_us = duration_us = at = 0
    for ahead, start, duration, boot, detection, duty, n_commands, n_latencies in zip(*columns, strict=True):
        number += ahead
        if number not in trials:
            raise ValueError(f"trial {number} is not of this block in this plan")
        started_us = ended_us + unfold(start)
        duration_us += unfold(duration)
        commands_end = at + 7 * n_commands
        verdict, rig_reason = said.get(number, _OK)
        results.append(
            TrialResult(
                trials[number],
                verdict,
                started_us / 1e6,
                duration_us / 1e6,
                None if boot == _NEVER else (duration_us + unfold(boot - (boot > _NEVER))) / 1e6,
                None if detection == 0 else (detection - 1) / 1e6,
                tuple([_count(loads[i : i + 7], command_text) for i in range(at, commands_end, 7)]),
                tuple(loads[commands_end : commands_end + n_latencies]),
                rig_reason,
                None if duty == 0 else (duty - 1) / 1e6,
                host,
            )
        )
        number, ended_us, at = number + 1, started_us + duration_us, commands_end + n_latencies
    return results


def as_stored(result: TrialResult, host: Host | None = None) -> TrialResult:
    """Return *result*, of a block on *host*, as it will read back: microseconds, and no words for an ok trial."""
    ok = result.verdict.outcome is Outcome.OK
    return TrialResult(
        result.trial,
        HEALTHY if ok else result.verdict,
        _us(result.started_s) / 1e6,
        _us(result.duration_s) / 1e6,
        None if result.boot_s is None else _us(result.boot_s) / 1e6,
        None if result.detection_s is None else _us(result.detection_s) / 1e6,
        tuple([replace(count, hammered_s=_us(count.hammered_s) / 1e6) for count in result.commands]),
        result.latencies,
        "" if ok else result.rig_reason,
        None if result.duty_cycle is None else _us(result.duty_cycle) / 1e6,
        host,
    )


_OK: Said = (HEALTHY, "")
_NEVER = 1  # in the column of boots: not all vCPUs came up


def _but_never(number: int) -> int:
    """Make room for ``_NEVER``: 0 stays 0, which is what a healthy trial of a guest that resets itself has."""
    return number + 1 if number else 0


def _count(numbers: list[int], command_text: Callable[[int], str]) -> CommandCount:
    text, returned, errors, timeouts, lost, hammered_us, due = numbers
    return CommandCount(command_text(text), returned, errors, timeouts, lost, hammered_us / 1e6, due)


def _us(seconds: float) -> int:
    """Whole microseconds; a clock that was set back must not make a number that cannot be packed."""
    return max(0, round(seconds * 1e6))

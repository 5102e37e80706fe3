from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.model import CommandCount, Outcome, TrialResult, Verdict
from qstress.store import rows
from qstress.store.packing import pack, unpack
from tests.store.samples import LOST_INIT, NO_QEMU, result, trials_of

seconds = st.floats(0, 1e6)
maybe_seconds = st.none() | seconds
counts = st.builds(
    CommandCount, st.sampled_from(["info registers -a", "info cpus"]), *[st.integers(0, 1 << 40)] * 4, seconds,
    st.integers(0, 1 << 40),
)  # fmt: skip
results = st.builds(
    replace,
    st.sampled_from([result(0), result(0, LOST_INIT), result(0, NO_QEMU, rig_reason="qemu-refused")]),
    started_s=seconds,
    duration_s=seconds,
    boot_s=maybe_seconds,
    detection_s=maybe_seconds,
    duty_cycle=maybe_seconds,
    commands=st.lists(counts, max_size=3).map(tuple),
    latencies=st.lists(st.integers(0, 1 << 40), max_size=15).map(tuple),
)


def stored(block: list[TrialResult]) -> list[TrialResult]:
    """Pack a block of the sample plan and unpack it."""
    texts: list[str] = []

    def command_id(text: str) -> int:
        if text not in texts:
            texts.append(text)
        return texts.index(text)

    packed = rows.pack_block(block, command_id)
    said = {r.trial.number: (r.verdict, r.rig_reason) for r in block if r.verdict.outcome is not Outcome.OK}
    trials = {trial.number: trial for trial in trials_of(block[0].trial.block)}
    return rows.unpack_block(packed, trials, said, texts.__getitem__)


@given(results, results)
def test_what_is_written_reads_back_as_stored(a: TrialResult, b: TrialResult) -> None:
    block = [replace(one, trial=trial) for one, trial in zip((a, b), trials_of(0), strict=True)]
    assert stored(block) == [rows.as_stored(one) for one in block]
    assert stored(stored(block)) == stored(block)


def test_a_finding_reads_back_with_its_words_to_the_microsecond() -> None:
    before = replace(result(7, LOST_INIT), started_s=0.12345678)
    assert rows.as_stored(before) == replace(before, started_s=0.123457)


def test_an_ok_trial_keeps_its_numbers_and_no_words() -> None:
    read = rows.as_stored(result(7))
    assert read.verdict == Verdict(Outcome.OK, "ok")
    assert (read.boot_s, read.commands, read.latencies) == (0.451235, result(7).commands, result(7).latencies)


def test_a_clock_that_was_set_back_is_no_time_at_all() -> None:
    (read,) = stored([replace(result(0), started_s=-1.0, duration_s=-0.5)])
    assert (read.started_s, read.duration_s) == (0.0, 0.0)


def test_trials_that_are_alike_leave_zeros() -> None:
    """As a firmware that resets itself makes them: one after another, each as long as the one before."""
    block = [TrialResult(trial, rows.HEALTHY, i * 0.5, 0.5, 0.5) for i, trial in enumerate(trials_of(0))] * 50
    packed = rows.pack_block(
        [replace(one, trial=replace(one.trial, number=i), started_s=i * 0.5) for i, one in enumerate(block)],
        lambda _: 0,
    )
    assert len(packed) < 30


@pytest.mark.parametrize("numbers", [[], [3], [1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0, 0, 0, 0, 5]])
def test_a_block_with_too_few_or_too_many_numbers_is_damaged(numbers: list[int]) -> None:
    trials = {trial.number: trial for trial in trials_of(0)}
    if not numbers:
        assert rows.unpack_block(pack(numbers), trials, {}, str) == []
        return
    with pytest.raises(ValueError, match="cut off"):
        rows.unpack_block(pack(numbers), trials, {}, str)


def test_a_trial_of_another_plan_is_refused() -> None:
    packed = rows.pack_block([result(3)], lambda _: 0)
    assert unpack(packed)[:2] == [1, 3]
    with pytest.raises(ValueError, match="trial 3 is not of this block"):
        rows.unpack_block(packed, {trial.number: trial for trial in trials_of(0)}, {}, str)

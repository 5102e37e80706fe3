from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.model import CommandCount, Outcome, Verdict
from qstress.store import rows
from tests.store.samples import LOST_INIT, NO_QEMU, result

naturals = st.one_of(st.just(0), st.integers(0, 300), st.integers(0, 1 << 62))


@given(st.lists(naturals))
def test_pack_and_unpack_are_inverse(numbers: list[int]) -> None:
    assert rows.unpack(rows.pack(numbers)) == numbers


def test_packed_zeros_are_short() -> None:
    assert len(rows.pack([0] * 15)) == 2


@pytest.mark.parametrize("data", ["80", "00", "050080"])
def test_packed_numbers_that_are_cut_off_are_refused(data: str) -> None:
    with pytest.raises(ValueError, match="cut off"):
        rows.unpack(bytes.fromhex(data))


def test_a_finding_reads_back_with_its_words_to_the_microsecond() -> None:
    before = replace(result(7, LOST_INIT), started_s=0.12345678)
    assert rows.as_stored(before) == replace(before, started_s=0.123457)


def test_an_ok_trial_keeps_its_numbers_and_no_words() -> None:
    stored = rows.as_stored(result(7))
    assert stored.verdict == Verdict(Outcome.OK, "ok")
    assert (stored.boot_s, stored.commands, stored.latencies) == (0.451235, result(7).commands, result(7).latencies)


def test_storing_twice_changes_nothing_more() -> None:
    once = rows.as_stored(result(9))
    assert rows.as_stored(once) == once


def test_why_the_rig_failed_is_kept() -> None:
    assert rows.as_stored(result(1, NO_QEMU, rig_reason="qemu-refused")).rig_reason == "qemu-refused"


def test_several_hammers_and_no_latencies_come_back_apart() -> None:
    commands = (CommandCount("a", 1, 2, 3, 4, 0.5, 6), CommandCount("b"), CommandCount("a", errors=9))
    before = replace(result(1), commands=commands, latencies=())
    assert (rows.as_stored(before).commands, rows.as_stored(before).latencies) == (commands, ())


def test_a_row_with_too_few_numbers_is_damaged() -> None:
    row = (*rows.trial_row(result(1), None, lambda _: 1)[:8], rows.pack([3, 1]))
    with pytest.raises(ValueError, match="cut off"):
        rows.trial_result(row, None, result(1).trial, str)

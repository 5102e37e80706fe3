from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qstress.errors import ConfigError
from qstress.model import Host
from qstress.store.read import open_run
from qstress.store.record import RunRecord
from qstress.store.rows import as_stored
from qstress.store.write import RunStore
from tests.store.samples import LOST_INIT, NO_QEMU, evidence, result, trials_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with RunStore.create(tmp_path, "t", {}, now=datetime.now(UTC), token="t") as store:
        yield store


@pytest.fixture
def record(store: RunStore) -> Iterator[RunRecord]:
    with open_run(store.path) as record:
        yield record


def test_results_come_back_as_stored_block_by_block(store: RunStore, record: RunRecord) -> None:
    results = [result(0), result(1, LOST_INIT), result(2, NO_QEMU, rig_reason="qemu-refused"), result(3), result(4)]
    for one in reversed(results):  # they end in any order
        store.record(one, None)
    store.finish_block(0)
    store.finish_block(1)
    first, second = record.results(trials_of)
    assert first == [as_stored(one) for one in results[:2]]
    assert second == [as_stored(one) for one in results[2:4]]
    assert list(record.results(trials_of, 1)) == [second]


def test_the_next_block_is_the_first_that_is_not_finished(store: RunStore, record: RunRecord) -> None:
    seen = [record.next_block()]
    for number in (0, 2, 4):
        store.record(result(number), None)
        store.finish_block(number // 2)
        seen.append(record.next_block())
    assert seen == [0, 1, 2, 3]


def test_what_counts_is_counted_without_unpacking_it(store: RunStore, record: RunRecord) -> None:
    for number, verdict in enumerate((LOST_INIT, None, NO_QEMU, LOST_INIT, LOST_INIT)):
        store.record(result(number, verdict), None)
    for block in (0, 1):
        store.finish_block(block)
    assert record.counted() == (4, 2)


def test_sums_are_for_the_code_that_made_them(store: RunStore, record: RunRecord) -> None:
    assert record.sums("ab") is None
    store.keep_sums(3, "ab", b"sums")
    assert (record.sums("ab"), record.sums("cd")) == ((3, b"sums"), None)


def test_findings_are_told_session_by_session_those_that_count_first(store: RunStore) -> None:
    for number in (3, 1, 0):  # 3 is of a block that is not finished before the kill
        store.record(result(number, LOST_INIT), None)
    store.finish_block(0)
    store.close()
    with RunStore.reopen(store.path) as again:
        for number in (2, 3):
            again.record(result(number, LOST_INIT), None)
        again.finish_block(1)
    with open_run(store.path) as record:
        assert [(f.number, f.counted) for f in record.findings()] == [
            (0, True), (1, True), (3, False), (2, True), (3, True),
        ]  # fmt: skip


def test_a_new_run_has_no_duration_worth_naming_and_no_end(record: RunRecord) -> None:
    assert record.duration_s() < 60
    assert record.ended_because() is None
    assert record.findings() == []


def test_a_row_of_another_plan_is_refused(store: RunStore, record: RunRecord) -> None:
    store.record(result(0), None)
    store.finish_block(0)
    with pytest.raises(ConfigError, match="block 0 is damaged: trial 0 is not of this block in this plan"):
        list(record.results(lambda block: trials_of(block + 1)))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE block SET results = x'80'", "block 0 is damaged: packed numbers are cut off"),
        ("UPDATE block SET results = x'01'", "block 0 is damaged: packed numbers are cut off"),
        ("UPDATE verdict SET counted = 0", "block 0 is damaged: 0 verdicts of 1"),
        ("UPDATE verdict SET block = 7", "block 0 is damaged: 0 verdicts of 1"),
        ("UPDATE kind SET outcome = 'odd'", "damaged"),
        ("UPDATE verdict SET because = x'ff'", "damaged: its reasons cannot be unpacked"),
        ("UPDATE verdict SET because = substr(because, 1, length(because) - 1)", "damaged: its reasons are cut off"),
        ("DELETE FROM command", "block 0 is damaged"),
        ("DROP TABLE command", "no such table"),
    ],
)
def test_damage_is_one_clear_line(store: RunStore, record: RunRecord, damage: str, told: str) -> None:
    store.record(result(0), None)
    store.record(result(1, LOST_INIT), None)
    store.finish_block(0)
    db = sqlite3.connect(store.path / "trials.db")
    db.execute(damage)
    db.commit()
    db.close()
    with pytest.raises(ConfigError, match=told) as caught:
        (list(record.results(trials_of)), record.findings())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("block_trials", "most_bytes"), [(2, 50), (200, 35)])
def test_a_million_healthy_trials_fit_in_60_mb(store: RunStore, block_trials: int, most_bytes: int) -> None:
    """Measured on the last 20,000 of a million, whose numbers and times take the most bytes."""
    first = 1_000_000 - 20_000
    store._next = first // block_trials
    with store._ledger.commit():  # one commit instead of thousands
        for number in range(first, 1_000_000, block_trials):
            block = [(result(number + i), None) for i in range(block_trials)]
            store._ledger.add_block(number // block_trials, block)
    store.close()
    assert sorted(os.listdir(store.path)) == ["evidence", "run.json", "trials.db"]
    assert (store.path / "trials.db").stat().st_size / 20_000 < most_bytes


def test_the_host_is_kept_of_a_block_and_of_a_finding_whose_block_may_run_elsewhere(
    store: RunStore, record: RunRecord
) -> None:
    old, new = Host("old", "6.1"), Host("new", "6.12")
    done = [as_stored(result(number, said), old) for number, said in ((0, LOST_INIT), (1, None))]
    for each in (*done, as_stored(result(2, LOST_INIT), new)):
        store.record(each, evidence())
    store.finish_block(0)
    assert list(record.results(trials_of)) == [done]
    assert [(found.number, found.host) for found in record.findings()] == [(0, old), (2, new)]
    store.record(as_stored(result(2), None), None)
    store.record(as_stored(result(3), None), None)
    store.finish_block(1)
    assert [each.host for block in record.results(trials_of) for each in block] == [old, old, None, None]


def test_evidence_that_was_not_committed_is_taken_in_with_its_host(store: RunStore) -> None:
    old = Host("old", "6.1")
    place = store.record(as_stored(result(0, LOST_INIT), old), evidence())
    store._ledger._db.executescript("DELETE FROM found_on; DELETE FROM verdict")
    store.close()
    RunStore.reopen(store.path).close()
    with open_run(store.path) as record:
        assert [(found.evidence, found.host) for found in record.findings()] == [(place, old)]

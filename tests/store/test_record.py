from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qstress.errors import ConfigError
from qstress.model import Cell, Trial
from qstress.store.read import open_run
from qstress.store.record import RunRecord
from qstress.store.rows import as_stored
from qstress.store.write import RunStore
from tests.store.samples import BUILDS, LOST_INIT, NO_QEMU, STRATUM, result, trial_of


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
    store.finish_block(1)
    store.finish_block(0)
    first, second = record.results(trial_of)
    assert first == [as_stored(one) for one in results[:2]]
    assert second == [as_stored(one) for one in results[2:4]]


def test_the_next_block_is_the_first_that_is_not_finished(store: RunStore, record: RunRecord) -> None:
    seen = [record.next_block()]
    for number in (0, 4, 2):
        store.record(result(number), None)
        store.finish_block(number // 2)
        seen.append(record.next_block())
    assert seen == [0, 1, 1, 3]


def test_a_new_run_has_no_duration_worth_naming_and_no_end(record: RunRecord) -> None:
    assert record.duration_s() < 60
    assert record.ended_because() is None
    assert record.findings() == []


def test_a_row_of_another_plan_is_refused(store: RunStore, record: RunRecord) -> None:
    store.record(result(3), None)
    store.finish_block(1)

    def other_plan(number: int) -> Trial:
        return Trial(number, 0, 0, Cell(BUILDS[0], STRATUM), 0)

    with pytest.raises(ConfigError, match="trial 3 is of block 1, of 0 in this plan"):
        list(record.results(other_plan))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE trial SET tallies = x'80'", "trial 1 is damaged"),
        ("UPDATE trial SET tallies = x'010900010101010001'", "trial 1 is damaged"),
        ("UPDATE verdict SET outcome = 'odd'", "damaged"),
        ("UPDATE verdict SET because = '{'", "damaged"),
        ("DROP TABLE command", "no such table"),
    ],
)
def test_damage_is_one_clear_line(store: RunStore, record: RunRecord, damage: str, told: str) -> None:
    store.record(result(1, LOST_INIT), None)
    store.finish_block(0)
    db = sqlite3.connect(store.path / "trials.db")
    db.execute(damage)
    db.commit()
    db.close()
    with pytest.raises(ConfigError, match=told):
        (list(record.results(trial_of)), record.findings())


def test_a_million_healthy_trials_fit_in_60_mb(store: RunStore) -> None:
    """Measured on the last 20,000 of a million, whose numbers and times take the most bytes."""
    for number in range(980_000, 1_000_000):
        trial = replace(trial_of(number), block=490_000)  # one commit instead of 10,000
        store.record(replace(result(number), trial=trial), None)
    store.finish_block(490_000)
    store.close()
    assert sorted(os.listdir(store.path)) == ["evidence", "run.json", "trials.db"]
    assert (store.path / "trials.db").stat().st_size / 20_000 < 60

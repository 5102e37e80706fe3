from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qstress.errors import RigError
from qstress.store import database
from qstress.store.ledger import Ledger
from tests.store.samples import LOST_INIT, NO_QEMU, result, trial_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(database.create(tmp_path), tmp_path, now=NOW)
    yield ledger
    ledger.close()


def rows_of(folder: Path, sql: str) -> list[tuple[object, ...]]:
    db = database.open_for_reading(folder)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def test_a_session_begins_at_once_and_ends_with_its_reason(ledger: Ledger, tmp_path: Path) -> None:
    session = "SELECT started_ms, reason FROM session"
    assert rows_of(tmp_path, session) == [(1767323045000, None)]
    with ledger.commit():
        ledger.set_reason("decided")
    assert rows_of(tmp_path, session) == [(1767323045000, "decided")]


COUNTS = "SELECT (SELECT count(*) FROM block), (SELECT count(*) FROM verdict), (SELECT count(*) FROM kind)"


def test_a_block_is_added_once_and_a_failed_commit_changes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    results = [(result(0), None), (result(1, NO_QEMU), None)]

    def twice() -> None:
        with ledger.commit():
            ledger.add_block(0, results)
            ledger.add_block(0, results)

    with pytest.raises(sqlite3.IntegrityError):
        twice()
    assert rows_of(tmp_path, COUNTS) == [(0, 0, 0)]
    with ledger.commit():
        ledger.add_block(0, results)
    assert rows_of(tmp_path, COUNTS) == [(1, 1, 1)]


def test_verdicts_that_differ_in_their_reasons_share_a_kind(ledger: Ledger, tmp_path: Path) -> None:
    with ledger.commit():
        for number in range(3):
            ledger.add_verdict(trial_of(number), replace(LOST_INIT, because=(str(number),)), "", None)
        ledger.add_verdict(trial_of(4), replace(LOST_INIT, title="another"), "", None)
    assert rows_of(tmp_path, COUNTS) == [(0, 4, 2)]
    assert rows_of(tmp_path, "SELECT kind FROM verdict ORDER BY number") == [(1,), (1,), (1,), (2,)]


def test_a_block_makes_its_verdicts_count(ledger: Ledger, tmp_path: Path) -> None:
    with ledger.commit():
        ids = [ledger.add_verdict(trial_of(number), LOST_INIT, "", None) for number in (0, 0)]  # the second try counts
        ledger.add_block(0, [(result(0, LOST_INIT), ids[1]), (result(1, NO_QEMU), None)])
    assert rows_of(tmp_path, "SELECT number, counted FROM verdict ORDER BY id") == [(0, 0), (0, 1), (1, 1)]


def test_sums_take_the_place_of_earlier_ones(ledger: Ledger, tmp_path: Path) -> None:
    for blocks in (5, 9):
        with ledger.commit():
            ledger.keep_sums(blocks, "ab", b"x")
    assert rows_of(tmp_path, "SELECT blocks, code, content FROM sums") == [(9, "ab", b"x")]


def test_evidence_is_counted_by_cell_and_signature(ledger: Ledger) -> None:
    with ledger.commit():
        for number, folder in ((0, "evidence/0"), (1, "evidence/1"), (2, "evidence/2"), (4, None)):
            ledger.add_verdict(trial_of(number), LOST_INIT, "", folder)
    assert ledger.evidence_kinds() == {(0, "lost-init", "lost-init:1/4"): 2, (1, "lost-init", "lost-init:1/4"): 1}
    assert ledger.evidence_folders() == {"evidence/0", "evidence/1", "evidence/2"}


def test_a_lock_held_by_another_process_is_a_rig_error(ledger: Ledger, tmp_path: Path) -> None:
    ledger._db.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / "trials.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RigError, match="database is locked") as caught, ledger.commit():
        pass
    other.close()
    assert caught.value.reason == "store"


def test_close_never_raises(tmp_path: Path) -> None:
    ledger = Ledger(database.create(tmp_path), tmp_path, now=NOW)
    ledger.close()
    ledger.close()

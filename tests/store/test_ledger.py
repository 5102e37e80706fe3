from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qstress.errors import RigError
from qstress.model import TrialResult
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


def test_a_failed_commit_changes_nothing_and_can_be_repeated(ledger: Ledger, tmp_path: Path) -> None:
    def interrupted() -> Iterator[tuple[TrialResult, int | None]]:
        yield (result(0), None)
        yield (result(1, NO_QEMU), None)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ledger.commit():
        ledger.add_trials(interrupted())
    counts = "SELECT (SELECT count(*) FROM trial), (SELECT count(*) FROM verdict), (SELECT count(*) FROM command)"
    assert rows_of(tmp_path, counts) == [(0, 0, 0)]
    with ledger.commit():
        ledger.add_trials([(result(0), None), (result(1, NO_QEMU), None)])
    assert rows_of(tmp_path, counts) == [(2, 1, 1)]


def test_a_trial_that_is_run_again_replaces_its_row(ledger: Ledger, tmp_path: Path) -> None:
    for duration_s in (1.0, 2.0):
        with ledger.commit():
            ledger.add_trials([(replace(result(0), duration_s=duration_s), None)])
    assert rows_of(tmp_path, "SELECT number, duration_us FROM trial") == [(0, 2_000_000)]


def test_a_trial_must_point_at_a_verdict(ledger: Ledger) -> None:
    with pytest.raises(sqlite3.IntegrityError), ledger.commit():
        ledger.add_trials([(result(0), 99)])


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

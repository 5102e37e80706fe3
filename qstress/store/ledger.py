"""The writing side of ``trials.db``: sessions, verdicts and trials, each change one durable commit."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from qstress.errors import RigError
from qstress.model import Outcome, Trial, TrialResult, Verdict
from qstress.store import database, rows
from qstress.store.files import store_errors

_VERDICT = """
    INSERT INTO verdict (session, number, block, cell, evidence,
                         outcome, class, signature, title, confidence, because, rig_reason)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


class Ledger:
    """An open ``trials.db`` and the session that writes it; all changes go inside :meth:`commit`."""

    def __init__(self, db: sqlite3.Connection, folder: Path, *, now: datetime) -> None:
        """Begin a session at *now* on the database *db* of the run in *folder*.

        :raises RigError: the host refuses.
        """
        self._db = db
        self._path = folder / database.NAME
        self._commands: dict[str, int] = {}
        self._began_s = time.monotonic()
        self._session = 0
        with self.commit():
            insert = "INSERT INTO session (started_ms, elapsed_us) VALUES (?, 0)"
            self._session = db.execute(insert, (int(now.timestamp() * 1000),)).lastrowid or 0

    @contextmanager
    def commit(self) -> Iterator[None]:
        """One transaction, all or nothing, which also brings the session's duration up to date.

        :raises RigError: the host refuses; nothing has changed.
        """
        with store_errors(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                elapsed_us = int((time.monotonic() - self._began_s) * 1e6)
                update = "UPDATE session SET elapsed_us = ? WHERE id = ?"
                self._db.execute(update, (elapsed_us, self._session))
                self._db.execute("COMMIT")
            except BaseException:
                self._commands.clear()  # may hold ids that are now undone
                with suppress(sqlite3.DatabaseError):
                    self._db.execute("ROLLBACK")
                raise

    def add_verdict(self, trial: Trial, verdict: Verdict, rig_reason: str, evidence: str | None) -> int | None:
        """Add what was said of *trial* and return its id; *evidence* is the folder relative to the run."""
        head = (self._session, trial.number, trial.block, trial.cell_index, evidence)
        return self._db.execute(_VERDICT, (*head, *rows.verdict_words(verdict, rig_reason))).lastrowid

    def add_trials(self, results: Iterable[tuple[TrialResult, int | None]]) -> None:
        """Add trials, each with the id of its verdict, or None if none was added yet; a known number is replaced."""
        trial_rows = [self._trial_row(result, verdict_id) for result, verdict_id in results]
        self._db.executemany("INSERT OR REPLACE INTO trial VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", trial_rows)

    def set_reason(self, reason: str) -> None:
        """Note why the session ends."""
        self._db.execute("UPDATE session SET reason = ? WHERE id = ?", (reason, self._session))

    def evidence_kinds(self) -> Counter[tuple[int, str | None, str]]:
        """Return how many evidence folders there are of each (cell, class, signature)."""
        return Counter(self._db.execute("SELECT cell, class, signature FROM verdict WHERE evidence IS NOT NULL"))

    def evidence_folders(self) -> set[str]:
        """Return the names of all evidence folders, relative to the run."""
        found = self._db.execute("SELECT evidence FROM verdict WHERE evidence IS NOT NULL")
        return {name for (name,) in found}

    def close(self) -> None:
        """End the session. Never raises: what was committed is safe, and there is nothing else to lose."""
        with suppress(RigError, sqlite3.ProgrammingError), self.commit():
            pass  # the commit itself brings the session's duration up to date
        with suppress(sqlite3.DatabaseError):
            self._db.close()

    def _trial_row(self, result: TrialResult, verdict_id: int | None) -> rows.TrialRow:
        if verdict_id is None and result.verdict.outcome is not Outcome.OK:
            verdict_id = self.add_verdict(result.trial, result.verdict, result.rig_reason, None)
        return rows.trial_row(result, verdict_id, self._command_id)

    def _command_id(self, text: str) -> int:
        if text not in self._commands:
            self._db.execute("INSERT INTO command (text) VALUES (?) ON CONFLICT DO NOTHING", (text,))
            ((self._commands[text],),) = self._db.execute("SELECT id FROM command WHERE text = ?", (text,))
        return self._commands[text]

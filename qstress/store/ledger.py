"""The writing side of ``trials.db``: sessions, verdicts and blocks, each change one durable commit."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from qstress.errors import RigError
from qstress.model import Host, Outcome, Trial, TrialResult, Verdict
from qstress.store import database, rows, words
from qstress.store.files import store_errors

_VERDICT = """
    INSERT INTO verdict (session, number, block, cell, kind, because, counted, evidence) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""


class Ledger:
    """An open ``trials.db`` and the session that writes it; all changes go inside :meth:`commit`."""

    def __init__(self, db: sqlite3.Connection, folder: Path, *, now: datetime) -> None:
        """Begin a session at *now* on the database *db* of the run in *folder*.

        :raises RigError: the host refuses.
        """
        self._db = db
        self._path = folder / database.NAME
        self._ids: dict[tuple[str, ...], int] = {}
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
                self._ids.clear()  # may hold ids that are now undone
                with suppress(sqlite3.DatabaseError):
                    self._db.execute("ROLLBACK")
                raise

    def add_verdict(
        self, trial: Trial, verdict: Verdict, rig_reason: str, evidence: str | None, *, counted: bool = False,
        host: Host | None = None,
    ) -> int | None:  # fmt: skip
        """Add what was said of *trial*, which ran on *host*, and return its id; *evidence* is the folder relative to
        the run."""
        kind = self._kind_id(words.kind_of(verdict, rig_reason))
        row = (
            self._session, trial.number, trial.block, trial.cell_index, kind,
            words.pack_reasons(verdict.because), counted, evidence,
        )  # fmt: skip
        verdict_id = self._db.execute(_VERDICT, row).lastrowid
        if host is not None:
            self._db.execute("INSERT INTO found_on VALUES (?, ?)", (verdict_id, self._host_id(host)))
        return verdict_id

    def add_block(self, block: int, results: Sequence[tuple[TrialResult, int | None]]) -> None:
        """Add a finished block: its results by trial number, each with the id of its verdict, None if none was added;
        all of them ran on one host.

        With it the verdicts of its trials count.
        """
        for result, verdict_id in results:
            if verdict_id is not None:
                self._db.execute("UPDATE verdict SET counted = 1 WHERE id = ?", (verdict_id,))
            elif result.verdict.outcome is not Outcome.OK:
                self.add_verdict(result.trial, result.verdict, result.rig_reason, None, counted=True)
        packed = rows.pack_block([result for result, _ in results], self._command_id)
        ill = sum(result.verdict.outcome is not Outcome.OK for result, _ in results)
        self._db.execute("INSERT INTO block VALUES (?, ?, ?, ?)", (block, len(results), ill, packed))
        if (host := results[0][0].host) is not None:
            self._db.execute("INSERT INTO placed VALUES (?, ?)", (block, self._host_id(host)))

    def next_block(self) -> int:
        """Return the number of the first unfinished block."""
        ((last,),) = self._db.execute("SELECT coalesce(max(number), -1) FROM block")
        return int(last) + 1

    def keep_sums(self, blocks: int, code: str, content: bytes) -> None:
        """Keep what the first *blocks* blocks add up to, in place of earlier sums."""
        self._db.execute("DELETE FROM sums")
        self._db.execute("INSERT INTO sums VALUES (?, ?, ?)", (blocks, code, content))

    def set_reason(self, reason: str) -> None:
        """Note why the session ends."""
        self._db.execute("UPDATE session SET reason = ? WHERE id = ?", (reason, self._session))

    def evidence_kinds(self) -> Counter[tuple[int, str | None, str]]:
        """Return how many evidence folders there are of each (cell, class, signature)."""
        kept = """SELECT v.cell, nullif(k.class, ''), k.signature FROM verdict v JOIN kind k ON k.id = v.kind
                  WHERE v.evidence IS NOT NULL"""
        return Counter(self._db.execute(kept))

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

    def _command_id(self, text: str) -> int:
        return self._id("command", "(text)", (text,))

    def _host_id(self, host: Host) -> int:
        return self._id("host", "(name, kernel)", (host.name, host.kernel))

    def _kind_id(self, kind: words.Kind) -> int:
        return self._id("kind", "(outcome, class, signature, title, confidence, rig_reason)", kind)

    def _id(self, table: str, columns: str, row: tuple[str, ...]) -> int:
        """Return the id of *row* of a table whose rows are all different, after adding it where it is new."""
        if row not in self._ids:
            marks = f"({', '.join('?' * len(row))})"
            self._db.execute(f"INSERT INTO {table} {columns} VALUES {marks} ON CONFLICT DO NOTHING", row)
            ((self._ids[row],),) = self._db.execute(f"SELECT id FROM {table} WHERE {columns} = {marks}", row)
        return self._ids[row]

"""One recorded run, opened: the results of its finished blocks, its findings, where to go on.

What is written is described in ``schema.sql``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from qstress.errors import ConfigError
from qstress.model import Host, Trial, TrialResult, Verdict
from qstress.store import database, rows, words

_KIND = "k.outcome, k.class, k.signature, k.title, k.confidence, k.rig_reason"
_SAID = f"""
    SELECT v.block, v.number, v.because, {_KIND}
    FROM verdict v JOIN kind k ON k.id = v.kind WHERE v.counted AND v.block >= ? ORDER BY v.block"""
# in the order in which a run tells of them: each session its own, then what it left uncounted
_BLOCKS = """
    SELECT b.number, b.verdicts, b.results, h.name, h.kernel FROM block b
    LEFT JOIN placed p ON p.block = b.number LEFT JOIN host h ON h.id = p.host
    WHERE b.number >= ? ORDER BY b.number"""
_FINDINGS = f"""
    SELECT v.number, v.block, v.cell, v.evidence, v.counted, h.name, h.kernel, v.because, {_KIND}
    FROM verdict v JOIN kind k ON k.id = v.kind
    LEFT JOIN found_on f ON f.verdict = v.id LEFT JOIN host h ON h.id = f.host
    WHERE k.outcome NOT IN ('unknown', 'rig') ORDER BY v.session, v.counted DESC, v.number, v.id"""


@dataclass(frozen=True, slots=True)
class StoredFinding:
    """One recorded finding.

    ``evidence`` is its folder relative to the run, or None if none was kept (a repeat). It is ``counted``
    unless its block was never finished: then the trial was, or will be, run again.
    """

    number: int
    block: int
    cell_index: int
    verdict: Verdict
    evidence: str | None
    counted: bool
    host: Host | None = None  # that it was made on, of several


class RunRecord:
    """A run opened for reading by :func:`qstress.store.read.open_run`; to be closed (a context manager).

    ``run`` is the content of ``run.json``, ``summary`` that of ``summary.json`` (None if there is none yet).
    Damage found while reading is a :class:`ConfigError`, one line.
    """

    def __init__(self, path: Path, run: Mapping[str, object], summary: Mapping[str, object] | None) -> None:
        """Open the database of the run in folder *path*.

        :raises ConfigError: there is none, or it is not one of this version.
        """
        self.path = path
        self.run_id = path.resolve().name
        self.run = run
        self.summary = summary
        self._db = database.open_for_reading(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def results(self, trials_of: Callable[[int], Sequence[Trial]], first: int = 0) -> Iterator[list[TrialResult]]:
        """Yield the results of every finished block from number *first* on, and of its trials, in planned order.

        :param trials_of: the plan: block number to its trials.
        :raises ConfigError: a row is damaged, or belongs to another plan.
        """
        commands: dict[int, str] = dict(self._rows("SELECT id, text FROM command"))
        said = groupby(self._rows(_SAID, first), key=lambda row: row[0])
        of_block, its_verdicts = next(said, (None, ()))
        for block, n_verdicts, packed, *host in self._rows(_BLOCKS, first):
            try:
                verdicts: dict[int, rows.Said] = {}
                if of_block == block:
                    for _, number, because, *kind in its_verdicts:
                        verdicts[number] = (words.verdict_of(tuple(kind), because), kind[-1])
                    of_block, its_verdicts = next(said, (None, ()))
                if len(verdicts) != n_verdicts:
                    raise self._damaged(f"block {block}", f"{len(verdicts)} verdicts of {n_verdicts}")
                trials = {trial.number: trial for trial in trials_of(block)}
                results = rows.unpack_block(packed, trials, verdicts, commands.__getitem__, _host(*host))
            except (ValueError, KeyError) as error:
                raise self._damaged(f"block {block}", error) from error
            yield results

    def sums(self, code: str) -> tuple[int, bytes] | None:
        """Return how many of the first blocks were added up by *code*, and to what; None if that was not kept."""
        return next(self._rows("SELECT blocks, content FROM sums WHERE code = ?", code), None)

    def findings(self) -> list[StoredFinding]:
        """Return every finding: session by session those that count by trial number, then those that do not.

        :raises ConfigError: a row is damaged.
        """
        found = []
        for number, block, cell, evidence, counted, name, kernel, because, *kind in self._rows(_FINDINGS):
            try:
                verdict = words.verdict_of(tuple(kind), because)
            except ValueError as error:
                raise self._damaged(f"finding {number}", error) from error
            found.append(StoredFinding(number, block, cell, verdict, evidence, bool(counted), _host(name, kernel)))
        return found

    def next_block(self) -> int:
        """Return the number of the first unfinished block, from 0 on: where ``--resume`` goes on."""
        ((last,),) = self._rows("SELECT coalesce(max(number), -1) FROM block")
        return int(last) + 1

    def counted(self) -> tuple[int, int]:
        """Return how many trials the finished blocks have, and how many of these hung."""
        ((trials,),) = self._rows("SELECT coalesce(sum(trials), 0) FROM block")
        ((hangs,),) = self._rows(
            "SELECT count(*) FROM verdict v JOIN kind k ON k.id = v.kind WHERE v.counted AND k.outcome = 'hang'"
        )
        return int(trials), int(hangs)

    def duration_s(self) -> float:
        """Return how long all sessions ran together, in seconds, each until its last commit."""
        ((elapsed_us,),) = self._rows("SELECT coalesce(sum(elapsed_us), 0) FROM session")
        return float(elapsed_us) / 1e6

    def ended_because(self) -> str | None:
        """Return the reason that the last session gave for its end; None if it still runs or was killed."""
        ((reason,),) = self._rows("SELECT reason FROM session ORDER BY id DESC LIMIT 1")
        return None if reason is None else str(reason)

    def _damaged(self, what: str, why: object) -> ConfigError:
        return ConfigError(f"{self.path}/trials.db: {what} is damaged: {why}")

    def _rows(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        try:
            for row in self._db.execute(sql, values):  # noqa: UP028 (it would close the cursor, after its database too)
                yield row
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"{self.path}/trials.db: {error}") from error


def _host(name: str | None, kernel: str | None) -> Host | None:
    return None if name is None else Host(name, kernel or "")

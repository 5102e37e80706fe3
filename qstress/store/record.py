"""One recorded run, opened: the results of its finished blocks, its findings, where to go on.

A block is finished when it has trial rows; a finding counts when a trial row points at its verdict
(``schema.sql``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from qstress.errors import ConfigError
from qstress.model import Trial, TrialResult, Verdict
from qstress.store import database, rows

_RESULTS = """
    SELECT t.number, t.block, t.verdict, t.started_us, t.duration_us, t.boot_us, t.detection_us, t.duty_ppm, t.tallies,
           v.outcome, v.class, v.signature, v.title, v.confidence, v.because, v.rig_reason
    FROM trial t LEFT JOIN verdict v ON v.id = t.verdict ORDER BY t.number"""
_FINDINGS = """
    SELECT v.number, v.block, v.cell, v.evidence, t.number IS NOT NULL,
           v.outcome, v.class, v.signature, v.title, v.confidence, v.because, v.rig_reason
    FROM verdict v LEFT JOIN trial t ON t.number = v.number AND t.verdict = v.id
    WHERE v.outcome NOT IN ('unknown', 'rig') ORDER BY v.number, v.id"""


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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def results(self, trial_of: Callable[[int], Trial]) -> Iterator[list[TrialResult]]:
        """Yield the results of every finished block, blocks and the trials in them in planned order.

        :param trial_of: the plan: trial number to trial.
        :raises ConfigError: a row is damaged, or belongs to another plan.
        """
        commands: dict[int, str] = dict(self._rows("SELECT id, text FROM command"))
        for _block, group in groupby(self._rows(_RESULTS), key=lambda row: row[1]):
            yield [self._result(row, trial_of(row[0]), commands) for row in group]

    def findings(self) -> list[StoredFinding]:
        """Return every finding by trial number; an earlier attempt at the same trial comes first."""
        found = []
        for number, block, cell, evidence, counted, *words in self._rows(_FINDINGS):
            try:
                verdict = rows.verdict(tuple(words))
            except ValueError as error:
                raise ConfigError(f"{self.path}/trials.db: finding {number} is damaged: {error}") from error
            found.append(StoredFinding(number, block, cell, verdict, evidence, bool(counted)))
        return found

    def uncounted(self) -> list[StoredFinding]:
        """Return the findings of attempts whose block was not finished."""
        return [finding for finding in self.findings() if not finding.counted]

    def next_block(self) -> int:
        """Return the number of the first unfinished block, from 0 on: where ``--resume`` goes on."""
        expected = 0
        for (block,) in self._rows("SELECT DISTINCT block FROM trial ORDER BY block"):
            if block != expected:
                break
            expected += 1
        return expected

    def duration_s(self) -> float:
        """Return how long all sessions ran together, in seconds, each until its last commit."""
        ((elapsed_us,),) = self._rows("SELECT coalesce(sum(elapsed_us), 0) FROM session")
        return float(elapsed_us) / 1e6

    def ended_because(self) -> str | None:
        """Return the reason that the last session gave for its end; None if it still runs or was killed."""
        ((reason,),) = self._rows("SELECT reason FROM session ORDER BY id DESC LIMIT 1")
        return None if reason is None else str(reason)

    def _result(self, row: tuple[Any, ...], trial: Trial, commands: Mapping[int, str]) -> TrialResult:
        number, block, verdict_id = row[:3]
        if trial.block != block:
            raise ConfigError(f"{self.path}: trial {number} is of block {block}, of {trial.block} in this plan")
        try:
            words = None if verdict_id is None else row[9:]
            return rows.trial_result(row[:9], words, trial, commands.__getitem__)
        except (ValueError, KeyError) as error:
            raise ConfigError(f"{self.path}/trials.db: trial {number} is damaged: {error}") from error

    def _rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._db.execute(sql)
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"{self.path}/trials.db: {error}") from error

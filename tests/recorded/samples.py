"""Recorded runs made up for the tests: what a soak writes, without a guest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qstress.config.settings import Settings, digest, resolved_document
from qstress.model import Evidence, Host, Verdict
from qstress.plan.schedule import Plan
from qstress.recorded.reports import summary_of
from qstress.recorded.run import Recorded, open_recorded
from qstress.recorded.totals import RunTotals
from qstress.store.read import open_run
from qstress.store.rows import as_stored
from qstress.store.write import RunStore
from tests.report.html.samples import HOST, result_of, settings

Ended = Sequence[Sequence[Verdict]]  # of each block, one verdict for each build


def document(asked: Settings, host: dict[str, Any] | None = None) -> dict[str, object]:
    """What a soak writes into ``run.json``."""
    return {"config": resolved_document(asked), "sha256": digest(asked), "host": host or HOST, "builds": {}}


class Recording:
    """A run being recorded as a soak does it: store and totals, block by block."""

    def __init__(self, runs_dir: Path, asked: Settings | None = None, *, token: str = "t", hour: int = 3) -> None:
        self.asked = asked or settings()
        self.plan = Plan(self.asked.builds, self.asked.strata, self.asked.seed)
        self.totals = RunTotals(self.asked, self.plan)
        began = datetime(2026, 1, 2, hour, tzinfo=UTC)
        self.store = RunStore.create(runs_dir, self.asked.name, document(self.asked), now=began, token=token)
        self.store._ledger._db.execute("PRAGMA synchronous = OFF")  # no power cut is awaited here
        self.blocks = 0

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.store.path

    def block(self, said: Sequence[Verdict], *, finish: bool = True, host: Host | None = None) -> None:
        """Record the next block, whose builds all ended as *said*, on *host*; with *finish* it counts."""
        verdicts = dict(zip((build.name for build in self.asked.builds), said, strict=True))
        results = []
        for trial in self.plan.block(self.blocks):
            result = as_stored(result_of(trial, verdicts[trial.cell.build.name], float(trial.number)), host)
            results.append((result, self.store.record(result, Evidence() if result.verdict.outcome.finding else None)))
        if finish:
            self.store.finish_block(self.blocks)
            self.totals.add_block([r for r, _ in results], {r.trial.number: place for r, place in results})
            self.blocks += 1

    def killed(self) -> None:
        """End as a killed process does: nothing more is written."""
        self.store.close()

    def resume(self) -> None:
        """Go on with a killed run, as ``--resume`` does."""
        self.totals = RunTotals(self.asked, self.plan)
        with open_run(self.path) as record:
            self.store = RunStore.reopen(self.path)
            self.totals.restore(record, self.plan)
            self.blocks = record.next_block()

    def end(self, reason: str = "trials", exit_code: int = 0) -> None:
        """End as a run does that came to its stop rule."""
        self.totals.keep(self.store, at_once=True)
        ended = {"reason": reason, "exit_code": exit_code, "finished": "2026-01-02T04:00:00+00:00"}
        self.store.write_summary(ended)
        self.store.write_summary(summary_of(open_recorded(self.path)))
        self.store.close()


def recorded(
    runs_dir: Path, verdicts: Ended, asked: Settings | None = None, *, exit_code: int = 0, **more: Any
) -> Recorded:
    """A run of so many blocks that ended, opened."""
    run = Recording(runs_dir, asked, **more)
    for said in verdicts:
        run.block(said)
    run.end(exit_code=exit_code)
    return open_recorded(run.path)

from __future__ import annotations

import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from qstress.errors import ConfigError
from qstress.model import Verdict
from qstress.recorded import totals
from qstress.recorded.totals import RunTotals
from qstress.store import sums
from qstress.store.read import open_run
from tests.recorded.samples import Recording
from tests.report.html.samples import settings, strata
from tests.stats.samples import LOST, NEW, OK, OLD, REPLAYED, RIG, UNKNOWN

blocks = st.lists(st.tuples(*[st.sampled_from([OK, OK, LOST, REPLAYED, RIG, UNKNOWN])] * 2), max_size=7)


def restored(run: Recording) -> RunTotals:
    """What a reader makes of *run*."""
    made = RunTotals(run.asked, run.plan)
    with open_run(run.path) as record:
        made.restore(record, run.plan)
    return made


def same(a: RunTotals, b: RunTotals) -> None:
    assert sums.dump_tally(a.tally) == sums.dump_tally(b.tally)
    assert a.trace == b.trace
    assert a.tally.findings == b.tally.findings
    assert [cell.cell for cell in a.tally.cells] == [cell.cell for cell in b.tally.cells]


@effort(max_examples=25, deadline=None)
@given(blocks, st.integers(0, 7), st.sampled_from([1, 3]), st.sampled_from([0, 1]))
def test_what_is_rebuilt_is_what_was_added_up(
    said: list[tuple[Verdict, Verdict]], kept: int, per_process: int, hosts: int
) -> None:
    restart = "process" if per_process == 1 else "reset"
    asked = settings(strata=strata((2, 4), restart=restart, process_trials=per_process))
    with tempfile.TemporaryDirectory() as folder:
        run = Recording(Path(folder), asked)
        for number, verdicts in enumerate(said):
            run.block(verdicts, host=(None, OLD, NEW)[number * hosts % 3])
            if number == kept:
                run.totals.keep(run.store, at_once=True)
        same(restored(run), run.totals)
        run.killed()


def test_a_resumed_run_adds_up_to_the_same_findings_and_sums(tmp_path: Path) -> None:
    run = Recording(tmp_path)
    run.block((LOST, OK))
    run.block((replace(LOST, signature="other", title="first seen in no rate"), OK), finish=False)
    run.killed()
    run.resume()
    same(restored(run), run.totals)
    run.block((OK, REPLAYED))
    run.block((replace(LOST, signature="other", title="seen again"), OK))
    for at_once in (False, True):
        run.totals.keep(run.store, at_once=at_once)
        same(restored(run), run.totals)
    kinds = {f.signature: (f.count, f.uncounted, f.title) for f in run.totals.tally.findings}
    assert kinds["other"] == (2, 1, "first seen in no rate")
    run.killed()


def test_sums_are_kept_ever_more_rarely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "KEEP_TRIALS", 10)
    monkeypatch.setattr(totals, "KEEP_SHARE", 0.5)
    run, kept = Recording(tmp_path), []
    monkeypatch.setattr(run.store, "keep_sums", lambda blocks, code, content: kept.append(blocks))
    for _ in range(100):
        run.block((OK, OK))
        run.totals.keep(run.store)
    assert kept == [5, 10, 20, 40, 80]
    run.totals.keep(run.store, at_once=True)
    run.totals.keep(run.store, at_once=True)
    assert kept == [5, 10, 20, 40, 80, 100]
    run.killed()


def test_only_what_came_after_the_sums_is_added_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, added = Recording(tmp_path), []
    for _ in range(3):
        run.block((OK, OK))
    run.totals.keep(run.store, at_once=True)
    run.block((LOST, OK))
    whole = RunTotals.add_block

    def noted(self: RunTotals, results: list, evidence: dict) -> None:  # type: ignore[type-arg]
        added.append(results[0].trial.block)
        whole(self, results, evidence)

    monkeypatch.setattr(RunTotals, "add_block", noted)
    restored(run)
    assert added == [3]
    monkeypatch.setattr(sums, "code", lambda: "other statistics")
    restored(run)
    assert added == [3, 0, 1, 2, 3]
    run.killed()


@pytest.mark.parametrize("content", ["x'00'", "x'789c030000000001'"])
def test_damaged_sums_are_one_clear_line(tmp_path: Path, content: str) -> None:
    run = Recording(tmp_path)
    run.block((OK, OK))
    run.totals.keep(run.store, at_once=True)
    run.killed()
    db = sqlite3.connect(run.path / "trials.db")
    db.execute(f"UPDATE sums SET content = CAST({content} AS BLOB)")
    db.commit()
    db.close()
    with pytest.raises(ConfigError, match="its sums are damaged"):
        restored(run)


def test_sums_of_another_plan_are_refused(tmp_path: Path) -> None:
    run = Recording(tmp_path)
    run.block((OK, OK))
    run.totals.keep(run.store, at_once=True)
    run.killed()
    run.asked = settings(strata=strata((2, 4)))
    run.plan = replace(run.plan, strata=run.asked.strata)
    with pytest.raises(ConfigError, match="its sums are damaged"):
        restored(run)


def test_what_a_lost_host_had_found_stays_its_own_though_the_block_ran_elsewhere(tmp_path: Path) -> None:
    run = Recording(tmp_path)
    run.block((LOST, OK), host=OLD)
    run.block((OK, REPLAYED), finish=False, host=NEW)
    run.killed()
    run.resume()
    run.block((OK, REPLAYED), host=OLD)
    run.totals.keep(run.store, at_once=True)
    same(restored(run), run.totals)
    tally = run.totals.tally
    assert tally.hosts == [OLD]
    assert [(f.cell.stratum.host, f.count, f.uncounted) for f in tally.findings if f.signature != LOST.signature] == [
        (NEW, 1, 1), (OLD, 1, 0),
    ]  # fmt: skip
    run.killed()

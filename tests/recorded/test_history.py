from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qstress.config.settings import LAST_GOOD, Gate
from qstress.recorded.history import last_good
from tests.recorded.samples import Recording, recorded
from tests.report.html.samples import settings
from tests.stats.samples import LOST, OK

ASKED = settings(("only",), gate=Gate("only", None, None, None, LAST_GOOD))


def run_at(runs_dir: Path, hour: int, *, exit_code: int = 0, seed: int = 3) -> str:
    asked = replace(ASKED, seed=seed)
    return recorded(runs_dir, [(LOST,), (OK,)], asked, exit_code=exit_code, hour=hour).facts.run


def test_the_newest_earlier_run_that_passed_is_found(tmp_path: Path) -> None:
    assert last_good(ASKED, tmp_path, "9") is None
    run_at(tmp_path, 1)
    good = run_at(tmp_path, 2)
    run_at(tmp_path, 3, exit_code=1)
    run_at(tmp_path, 4, seed=99)  # another experiment
    now = run_at(tmp_path, 5)
    run_at(tmp_path, 6)  # later
    past = last_good(ASKED, tmp_path, now)
    assert past is not None
    assert past.run == good
    assert [(counts.k, counts.n) for counts in past.cells] == [(1, 2)]


def test_a_folder_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    good = run_at(tmp_path, 1)
    for hour, spoil in ((2, "run.json"), (3, "summary.json")):
        (tmp_path / run_at(tmp_path, hour) / spoil).write_text("{")
    past = last_good(ASKED, tmp_path, "9")
    assert past is not None
    assert past.run == good


def test_a_gate_that_does_not_ask_gets_nothing(tmp_path: Path) -> None:
    run_at(tmp_path, 1)
    assert last_good(replace(ASKED, gate=None), tmp_path, "9") is None
    assert last_good(settings(), tmp_path, "9") is None


def test_a_run_that_did_not_end_is_none_to_go_by(tmp_path: Path) -> None:
    Recording(tmp_path, ASKED, hour=1).killed()
    assert last_good(ASKED, tmp_path, "9") is None

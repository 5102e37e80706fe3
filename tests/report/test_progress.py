"""A run under way in one line."""

from __future__ import annotations

import pytest

from qstress.report.progress import plain_progress, run_progress
from qstress.stats.tally import Tally
from tests.stats.samples import CRASH, OK, build, cells, feed, verdicts


def underway(smp: tuple[int, ...] = (4,)) -> Tally:
    tally = Tally(cells(build("stock"), build("fixed"), smp=smp), [("stock", "fixed")])
    feed(tally, [*verdicts(5, 40), CRASH], [OK] * 41)
    return tally


def test_the_line_of_a_comparison() -> None:
    now = run_progress(underway(), elapsed_s=21.0, trials=84, trials_planned=200, lanes=2, running=2)
    assert plain_progress(now) == (
        "84/200 trials in 21 s (4/s); stock 5/41 (4.0-26.3 %) hung + 1 other findings; fixed 0/41 (<7.1 %) hung; "
        "evidence 10^1.4 : 1; 2 guests in 2 lanes; about 29 s left"
    )


def test_the_line_of_one_build_that_runs_until_it_is_stopped() -> None:
    now = run_progress(Tally(cells(build("stock"))), elapsed_s=0.0, trials=0)
    assert plain_progress(now) == "0 trials in 0 s (0/s); stock 0/0 hung; 0 guests in 1 lanes"


@pytest.mark.parametrize(
    ("trials", "planned", "duration_s", "left_s", "share"),
    [
        (50, 200, None, 60.0, 0.25),
        (50, 200, 30.0, 10.0, 2 / 3),
        (50, 60, 3600.0, 4.0, 5 / 6),
        (0, 200, 100.0, 80.0, 0.2),
        (0, 200, None, None, 0.0),
        (50, None, None, None, None),
        (201, 200, 10.0, 0.0, 1.0),
    ],
)
def test_the_nearer_stop_rule_counts(
    trials: int, planned: int | None, duration_s: float | None, left_s: float | None, share: float | None
) -> None:
    now = run_progress(underway(), elapsed_s=20.0, trials=trials, trials_planned=planned, duration_s=duration_s)
    assert (now.left_s, now.share) == (left_s, pytest.approx(share) if share is not None else None)


def test_cells_of_a_build_are_added_up() -> None:
    tally = underway(smp=(4, 16))
    feed(tally, verdicts(1, 10), [OK] * 10, first_cell=2)
    stock, fixed = run_progress(tally, elapsed_s=1.0, trials=102).builds
    assert (stock.name, stock.hangs, stock.n, stock.findings) == ("stock", 6, 51, 7)
    assert (fixed.name, fixed.hangs, fixed.n, fixed.findings) == ("fixed", 0, 51, 0)


def test_the_weakest_candidates_evidence_is_shown() -> None:
    tally = Tally(cells(build("stock"), build("one"), build("two")), [("stock", "one"), ("stock", "two")])
    feed(tally, verdicts(10, 20), [OK] * 20)
    assert tally.evidence_log10("stock", "one")[0] > 1
    assert run_progress(tally, elapsed_s=1.0, trials=40).evidence_log10 == 0.0
    assert run_progress(Tally(cells(build("stock"))), elapsed_s=1.0, trials=0).evidence_log10 is None

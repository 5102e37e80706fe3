from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from qstress.config.settings import Gate
from qstress.model import FindingClass
from qstress.plan.schedule import Plan
from qstress.report.html.figures import RATES_MAX, evidence_over_trials, figure, rates, thinned
from qstress.report.html.markup import join
from qstress.report.html.plot import WIDTH
from qstress.report.trace import Point
from qstress.report.wording import limits_shown, rate
from qstress.stats.clusters import widened
from qstress.stats.tally import Tally
from tests.report.html.samples import everything, result_of, settings, shown, strata
from tests.stats.samples import LOST, OK


def test_a_figure_has_a_name_a_picture_and_its_numbers() -> None:
    run = shown(verdicts=[(LOST, OK), (OK, OK)])
    drawn = ElementTree.fromstring(figure(rates(run.tally)))
    assert (drawn.tag, drawn.get("aria-label")) == ("figure", "Rates")
    svg = drawn.find("svg")
    assert svg is not None
    title = svg.find("title")
    assert title is not None
    assert (svg.get("role"), svg.get("aria-labelledby"), title.text) == ("img", title.get("id"), "Rates")
    rows = [[cell.text for cell in row] for row in drawn.iterfind("details//tbody/tr")]
    assert rows[:2] == [
        ["lost-init", "unpatched", None, "1", "2", "1.2", "98.8"],
        ["lost-init", "patched", None, "0", "2", "0.0", "77.7"],
    ]


def test_rates_are_drawn_where_they_are_with_the_limits_that_are_printed() -> None:
    run = shown(verdicts=[(LOST, OK)] + [(OK, OK)] * 9)
    picture = rates(run.tally).picture
    assert join(rate(1, 10)) in picture
    assert join(rate(0, 10)) in picture
    (x1, x2) = re.findall(r'<line x1="([\d.]+)" y1="61" x2="([\d.]+)"', picture)[0]
    (at,) = re.findall(r'cx="([\d.]+)" cy="61"', picture)
    limits, left, right = limits_shown(1, 10, None), 8.0, WIDTH - 24
    assert float(x2) == right
    assert float(x1) == pytest.approx(left + (right - left) * limits.lower / limits.upper, abs=0.01)
    assert float(at) == pytest.approx(left + (right - left) * 0.1 / limits.upper, abs=0.01)


def test_rates_begin_with_the_class_that_was_asked_about() -> None:
    asked = settings(gate=Gate("patched", None, (FindingClass.REPLAYED_INIT,), "unpatched"))
    drawn = rates(shown(asked, verdicts=[(LOST, OK)] * 3).tally)
    assert re.findall(r'class="heading">([a-z-]+)<', drawn.picture) == ["replayed-init", "lost-init"]


def test_an_arm_without_a_finding_has_not_the_longest_bar() -> None:
    asked = settings(strata=strata(restart="reset", process_trials=20))
    plan = Plan(asked.builds, asked.strata, asked.seed)
    tally = Tally(plan.cells)
    for block in range(6):
        once = iter([LOST] if block == 3 else [])
        tally.add_block(
            [result_of(t, next(once, OK) if t.cell.build.name == "unpatched" else OK) for t in plan.block(block)]
        )
    shares = {(row[1], row[0]): (row[3], float(str(row[6]))) for row in rates(tally).data.rows}
    assert shares["unpatched", "lost-init"][0] == 1
    assert shares["patched", "lost-init"][1] < shares["unpatched", "lost-init"][1]


@pytest.mark.parametrize("dispersion", [None, 0.5, 4.0])
@pytest.mark.parametrize(("k", "n"), [(0, 20), (20, 20), (3, 20), (0, 0)])
def test_limits_are_those_that_the_text_prints(k: int, n: int, dispersion: float | None) -> None:
    limits = limits_shown(k, n, dispersion)
    if 0 < k < n:
        assert limits == widened(k, n, dispersion)
    elif n:
        (printed,) = re.findall(r"[<>]([\d.]+) %", rate(k, n, dispersion=dispersion))
        assert float(printed) == pytest.approx(100 * (limits.upper if k == 0 else limits.lower), abs=0.1)
    else:
        assert limits == (0.0, 1.0)


def test_of_many_strata_the_highest_are_drawn_with_all_their_builds() -> None:
    asked = settings(strata=strata(range(1, 31)))
    verdicts = [(LOST if block % 30 == 7 else OK, OK) for block in range(300)]
    drawn = rates(shown(asked, verdicts).tally)
    assert drawn.picture.count('class="value"') <= RATES_MAX
    assert f"Drawn are the {RATES_MAX // 2} highest of 60 pairs" in drawn.says
    assert len(drawn.data.rows) == 120


def test_a_run_without_a_trial_draws_no_rate() -> None:
    drawn = rates(shown().tally)
    assert "value" not in drawn.picture
    assert [row[4] for row in drawn.data.rows] == [0] * 4


def test_evidence_is_drawn_up_to_now_with_the_line_it_has_to_reach() -> None:
    run = shown(verdicts=[(LOST, OK)] * 12)
    drawn = evidence_over_trials(run.tally, run.trace, 1e-3)
    assert "decided: E = 1/alpha = 1,000" in drawn.picture
    assert drawn.picture.count('class="limit"') == 1
    assert [row[0] for row in drawn.data.rows][-1] == "24"
    better, _ = run.tally.evidence_log10("unpatched", "patched")
    assert f"10^{better - 0.05:.1f}"[:4] == str(drawn.data.rows[-1][1])[:4]


def test_several_candidates_have_two_lines_to_reach() -> None:
    run = everything(10)
    drawn = evidence_over_trials(run.tally, run.trace, 1e-3)
    assert "the first of 2: E = 2/alpha = 2,000" in drawn.picture
    assert "the last: E = 1/alpha = 1,000" in drawn.picture
    assert drawn.data.columns == ("trials", "patched better than unpatched", "v2 better than unpatched")


def test_points_are_spread_with_both_ends() -> None:
    points = [Point(i, i, ()) for i in range(100)]
    assert [p.blocks for p in thinned(points, 4)] == [0, 33, 66, 99]
    assert thinned(points[:3], 4) == points[:3]


def test_rows_of_builds_keep_their_colour_in_every_figure() -> None:
    run = everything(30)
    picture = rates(run.tally).picture
    for series, build in enumerate(run.settings.builds):
        label = f'class="name">{build.name}, '
        assert all(f"whisker s{series}" in part[:300] for part in picture.split(label)[1:])

from __future__ import annotations

import re

import pytest

from qstress.plan.schedule import Plan
from qstress.report.html.heatmap import COLUMNS_MAX, SHADES, TILES_MAX, heat_map, shade
from qstress.report.html.page import style_sheet
from tests.report.html.samples import settings, shown, strata
from tests.stats.samples import LOST, OK, RIG


def test_each_cell_is_a_tile_with_its_rate() -> None:
    asked = settings(strata=strata((2, 4), ("max", "every 2ms")))
    plan = Plan(asked.builds, asked.strata, asked.seed)
    sizes = [plan.block(block)[0].cell.stratum.shape.smp for block in range(len(asked.strata))]
    run = shown(asked, [(LOST if smp == 4 else OK, OK) for smp in sizes])
    drawn = heat_map(run.tally)
    assert drawn is not None
    assert re.findall(r"<caption>([^<]+)</caption>", drawn) == ["lost-init, unpatched", "lost-init, patched"]
    unpatched, patched = drawn.split("<caption>")[1:]
    assert re.findall(r'class="heat(\d)"', unpatched) == ["0", "0", "8", "8"]
    assert re.findall(r'class="heat(\d)"', patched) == ["0"] * 4
    assert re.findall(r'scope="col">([^<]+)<', patched) == ["@ max", "@ every 2ms"]
    assert "<b>1/1</b>" in unpatched


def test_without_an_axis_or_a_finding_there_is_no_map() -> None:
    assert heat_map(shown(verdicts=[(LOST, OK)]).tally) is None
    assert heat_map(shown(settings(strata=strata((2, 4))), [(OK, OK)] * 2).tally) is None


def test_a_cell_without_a_trial_says_so() -> None:
    drawn = heat_map(shown(settings(strata=strata((2, 4))), [(LOST, RIG), (LOST, OK)]).tally)
    assert drawn is not None
    assert drawn.count("no trial") == 1


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1e-6, 1), (0.5, 7), (0.49, 6), (1.0, SHADES - 1)])
def test_shades_follow_the_rate(share: float, expected: int) -> None:
    assert shade(share) == expected


def test_every_shade_is_in_the_style_sheet() -> None:
    assert all(f".heat{n} " in style_sheet() for n in range(SHADES))


def test_a_large_plan_is_cut_and_says_so() -> None:
    asked = settings(strata=strata(range(1, 101), [f"{n}/s" for n in range(1, COLUMNS_MAX + 3)]))
    drawn = heat_map(shown(asked, [(LOST, OK)]).tally)
    assert drawn is not None
    tiles = drawn.count("<td class=")
    assert TILES_MAX - 2 * COLUMNS_MAX < tiles <= TILES_MAX
    assert f"Each lacks {100 * (COLUMNS_MAX + 2) - tiles // 2} tiles" in drawn

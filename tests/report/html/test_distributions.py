from __future__ import annotations

import re

from qstress.report.html.distributions import boot_times, detection_times, reply_times
from tests.report.html.samples import everything, settings, shown
from tests.stats.samples import LOST, OK


def heights(path: str) -> list[float]:
    return [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path)]


def test_a_curve_rises_from_its_first_to_all() -> None:
    drawn = boot_times(shown(verdicts=[(OK, OK)] * 40).tally)
    assert drawn is not None
    curves = re.findall(r'<path d="([^"]+)" class="line s([01])">', drawn.picture)[2:]  # after the legend's
    assert [series for _, series in curves] == ["0", "1"]
    for path, _ in curves:
        ys = heights(path)
        assert ys == sorted(ys, reverse=True)  # upwards
        assert (max(ys) > 220, min(ys)) == (True, 56.0)


def test_quantiles_of_every_cell_stand_below() -> None:
    run = everything(60)
    drawn = boot_times(run.tally)
    assert drawn is not None
    assert drawn.data.columns == ("build", "stratum", "count", "p50", "p90", "p99", "longest")
    assert len(drawn.data.rows) == len(run.tally.cells)
    assert [row[1] for row in drawn.data.rows[:2]] == ["smp 2, @ max", "smp 2, @ max"]


def test_what_did_not_happen_is_not_drawn() -> None:
    nothing = shown().tally
    assert (boot_times(nothing), reply_times(nothing), detection_times(nothing)) == (None, None, None)
    healthy = shown(verdicts=[(OK, OK)]).tally
    assert detection_times(healthy) is None
    found = detection_times(shown(verdicts=[(LOST, OK)]).tally)
    assert found is not None
    assert [row[0] for row in found.data.rows] == ["unpatched"]
    assert "patched" not in re.findall(r'class="name">([^<]+)<', found.picture)[1:]


def test_a_build_without_a_boot_keeps_the_colours_of_the_others() -> None:
    drawn = boot_times(shown(verdicts=[(LOST, OK)] * 3).tally)
    assert drawn is not None
    assert "line s1" in drawn.picture
    assert "line s0" not in drawn.picture


def test_replies_are_counted_in_buckets_and_drawn_as_shares() -> None:
    drawn = reply_times(shown(settings(("only",)), verdicts=[(OK,)] * 2).tally)
    assert drawn is not None
    rows = {row[1]: row[2:] for row in drawn.data.rows}
    assert rows["at most 500 µs"] == ("0.0000%", "0")
    assert rows["at most 5 ms"] == ("83.0000%", "80")
    assert rows["more than 10 s"] == ("", "0")
    assert ">10 ms<" in drawn.picture
    assert ">1 s<" not in drawn.picture  # nothing was ever so slow

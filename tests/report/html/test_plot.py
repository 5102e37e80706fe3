from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.report.html.plot import SERIES, Scale, frame, legend, mark, path, power_of_ten


@pytest.mark.parametrize(
    ("scale", "value", "at"),
    [
        (Scale(0, 10, 100, 200), 2.5, 125),
        (Scale(0, 10, 200, 100), 2.5, 175),  # upwards
        (Scale(1, 1000, 0, 300, log=True), 10, 100),
        (Scale(0, 10, 100, 200), 99, 200),
        (Scale(0, 10, 100, 200), -1, 100),
        (Scale(5, 5, 100, 200), 5, 100),
    ],
)
def test_a_scale_lays_values_out(scale: Scale, value: float, at: float) -> None:
    assert scale(value) == pytest.approx(at)


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (Scale(0, 1, 0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (Scale(0, 0.345, 0, 1), [0, 0.1, 0.2, 0.3]),
        (Scale(0, 3600, 0, 1), [0, 1000, 2000, 3000]),
        (Scale(0, 7, 0, 1), [0, 2, 4, 6]),
        (Scale(4, 4, 0, 1), [4]),
        (Scale(1e-3, 10, 0, 1, log=True), [1e-3, 1e-2, 0.1, 1, 10]),
        (Scale(0.4, 2.1, 0, 1, log=True), [0.5, 1, 2]),
        (Scale(6, 40, 0, 1, log=True), [10, 20, 30]),
        (Scale(6, 19, 0, 1, log=True), [6, 8, 10]),
        (Scale(0.41, 0.42, 0, 1, log=True), [0.41, 0.412, 0.414, 0.416, 0.418, 0.42]),
    ],
)
def test_ticks_are_round(scale: Scale, ticks: list[float]) -> None:
    assert scale.ticks == pytest.approx(ticks)


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.booleans())
def test_ticks_are_few_and_within_the_scale(a: float, b: float, log: bool) -> None:
    scale = Scale(min(a, b), max(a, b), 0, 1, log)
    slack = 1e-9 * scale.high
    assert 1 <= len(scale.ticks) <= 14
    assert all(scale.low - slack <= tick <= scale.high + slack for tick in scale.ticks)


def test_series_differ_in_class_and_in_mark() -> None:
    assert len({mark(0, 0, series).replace(f"s{series}", "") for series in range(SERIES)}) == SERIES
    assert mark(0, 0, SERIES) == mark(0, 0, 0)
    assert path([(0, 1), (2, 3.25)], 1) == '<path d="M0.0 1.0L2.0 3.2" class="line s1"></path>'


def test_a_legend_may_name_some_of_the_series() -> None:
    drawn = legend(["a", "c"], 0, 0, [0, 2])
    assert "s0" in drawn
    assert "s2" in drawn
    assert "s1" not in drawn


def test_a_frame_labels_its_ticks_and_axes() -> None:
    drawn = frame(
        Scale(0, 10, 0, 100), Scale(0, 1, 100, 0), "trials", "share", lambda v: f"{v:g}x", lambda v: f"{v:g}y"
    )
    for words in ("trials", "share", ">10x<", ">0.4y<"):
        assert words in drawn


def test_powers_of_ten() -> None:
    assert [power_of_ten(n) for n in (0, 3, -12, 2.5)] == ["10⁰", "10³", "10⁻¹²", "10²·⁵"]

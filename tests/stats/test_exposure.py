"""Exposure: moments against the statistics module, and when a difference is said."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.stats.exposure import RUNS_MIN, ExposureMeasure, Moments, exposure_of_arms
from tests.stats.samples import build, cells

(CELL,) = cells(build("fixed"))


def moments(*values: float) -> Moments:
    made = Moments()
    for value in values:
        made.add(value)
    return made


def differs(a: Moments, b: Moments) -> bool:
    found = exposure_of_arms(ExposureMeasure.DUTY, CELL, a, b)
    assert found is not None
    return found.differs


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_moments_are_mean_and_variance(values: list[float]) -> None:
    made = moments(*values)
    assert made.count == len(values)
    assert made.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert made.variance == pytest.approx(statistics.variance(values), abs=1e-6)


def test_one_value_has_no_variance_and_none_no_exposure() -> None:
    assert moments(3.0).variance == 0.0
    assert exposure_of_arms(ExposureMeasure.DUTY, CELL, moments(1.0), Moments()) is None
    assert exposure_of_arms(ExposureMeasure.DUTY, CELL, Moments(), moments(1.0)) is None


def test_a_material_and_sure_difference_is_said() -> None:
    busy, calm = moments(*[0.2, 0.22] * 8), moments(*[0.1, 0.12] * 8)
    less = exposure_of_arms(ExposureMeasure.DUTY, CELL, busy, calm)
    more = exposure_of_arms(ExposureMeasure.DUTY, CELL, calm, busy)
    assert less is not None
    assert more is not None
    assert (less.differs, less.less, more.differs, more.less) == (True, True, True, False)
    assert (less.baseline, less.candidate) == pytest.approx((0.21, 0.11))


def test_the_edges_of_material() -> None:
    base = moments(*[1.0, 1.001] * 8)
    for factor, said in [(0.79, True), (0.81, False), (1.24, False), (1.26, True)]:
        assert differs(base, moments(*[factor, factor * 1.001] * 8)) is said


def test_a_difference_that_may_be_chance_is_not_said() -> None:
    wide = [0.0, 4.0] * 4
    assert not differs(moments(*wide), moments(*(x * 0.5 for x in wide)))
    assert differs(moments(*wide * 20), moments(*(x * 0.5 for x in wide * 20)))


def test_few_process_runs_say_nothing() -> None:
    for count, said in [(RUNS_MIN - 1, False), (RUNS_MIN, True)]:
        assert differs(moments(*[2.0] * count), moments(*[1.0] * 50)) is said


def test_one_arm_without_any_exposure_differs_and_two_do_not() -> None:
    assert differs(moments(*[0.2] * 10), moments(*[0.0] * 10))
    assert differs(moments(*[0.0] * 10), moments(*[0.2] * 10))
    assert not differs(moments(*[0.0] * 10), moments(*[0.0] * 10))


def test_arms_of_the_same_exposure_are_rarely_said_to_differ() -> None:
    """2,000 pairs of 12 noisy process-runs each (a spread as large as the mean): said in 2 % at most."""
    rng = random.Random(14)
    said = 0
    for _ in range(2000):
        a, b = (moments(*(rng.expovariate(1.0) for _ in range(12))) for _ in range(2))
        said += differs(a, b)
    assert said / 2000 <= 0.02

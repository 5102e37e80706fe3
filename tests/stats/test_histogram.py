"""Quantiles from buckets stay near the true ones, and memory stays flat."""

from __future__ import annotations

import math
import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.stats.histogram import RATIO, Histogram


def filled(durations: list[float]) -> Histogram:
    histogram = Histogram()
    for duration_s in durations:
        histogram.add(duration_s)
    return histogram


@given(st.lists(st.floats(1e-5, 1e5), min_size=1), st.floats(0.0, 1.0))
def test_a_quantile_lies_within_a_bucket_of_its_neighbours(durations: list[float], q: float) -> None:
    ordered = sorted(durations)
    rank = q * (len(ordered) - 1)
    value = filled(durations).quantile(q)
    assert value is not None
    assert ordered[math.floor(rank)] / RATIO <= value * (1 + 1e-12)
    assert value <= ordered[math.ceil(rank)] * RATIO * (1 + 1e-12)


def test_many_durations_give_their_quantiles() -> None:
    rng = random.Random(1)
    durations = [rng.uniform(0.4, 1.2) for _ in range(20_000)]
    histogram = filled(durations)
    assert histogram.quantile(0.5) == pytest.approx(sorted(durations)[10_000], rel=0.005)
    assert histogram.quantile(0.99) == pytest.approx(sorted(durations)[19_800], rel=0.005)
    assert (histogram.quantile(0.0), histogram.quantile(1.0)) == pytest.approx(
        (min(durations), max(durations)), rel=0.02
    )


def test_durations_of_one_bucket_are_taken_as_spread_evenly() -> None:
    histogram = filled([1.0 + i / 51_000 for i in range(1000)])
    for q in (0.1, 0.25, 0.9):
        assert histogram.quantile(q) == pytest.approx(1.0 + q * 0.0196, abs=5e-4)


def test_the_rank_counts_from_the_first_duration() -> None:
    assert filled([1.0, 2.0]).quantile(0.5) == pytest.approx(1.0, rel=0.021)
    assert filled([1.0, 2.0, 3.0]).quantile(0.5) == pytest.approx(2.0, rel=0.021)


def test_one_duration_is_every_quantile_and_none_has_none() -> None:
    assert filled([0.731]).quantile(0.99) == 0.731
    assert Histogram().quantile(0.5) is None


def test_memory_does_not_grow_with_the_count() -> None:
    rng = random.Random(2)
    histogram = filled([rng.uniform(0.001, 100) for _ in range(30_000)])
    before = sys.getsizeof(histogram._buckets)
    for _ in range(30_000):
        histogram.add(rng.uniform(0.001, 100))
    assert sys.getsizeof(histogram._buckets) == before
    assert histogram.count == 60_000


def test_zero_is_a_duration_and_infinity_is_none() -> None:
    assert filled([0.0]).quantile(0.5) == pytest.approx(1e-6)
    for bad in (math.inf, math.nan):
        with pytest.raises(ValueError, match="no duration"):
            Histogram().add(bad)
    with pytest.raises(ValueError, match="not from 0 to 1"):
        Histogram().quantile(1.1)


def test_counts_up_to_a_bound_are_right_to_two_percent() -> None:
    durations = [i / 100 for i in range(1, 1001)]
    bounds = (0.005, 0.5, 2.0, 7.77, 10.0, 11.0)
    for bound, counted in zip(bounds, filled(durations).at_most(bounds), strict=True):
        assert sum(d <= bound / RATIO for d in durations) <= counted <= sum(d <= bound for d in durations)
    assert filled(durations).at_most((11.0,)) == [1000]
    assert Histogram().at_most((1.0,)) == [0]

"""Exact limits: the answers of docs/background/statistics.md, "Known answers", SciPy as the oracle, refusals."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from qstress.stats.intervals import clopper_pearson, lower_limit, upper_limit


@pytest.mark.parametrize(
    ("k", "n", "lower", "upper"), [(4, 20, 0.057334, 0.436614), (5, 40, 0.04186, 0.26803), (0, 0, 0.0, 1.0)]
)
def test_known_answers(k: int, n: int, lower: float, upper: float) -> None:
    assert clopper_pearson(k, n) == pytest.approx((lower, upper), abs=6e-6)


def test_zero_hangs_bound_the_rate_as_the_rule_of_three_says() -> None:
    assert upper_limit(0, 300, 0.05) == pytest.approx(0.009936, abs=5e-7)
    for limit, n in [(0.01, 299), (0.001, 2995)]:  # n = ln(alpha) / ln(1 - p0)
        assert upper_limit(0, n, 0.05) <= limit < upper_limit(0, n - 1, 0.05)


def test_what_the_facts_draw_from_these_limits() -> None:
    assert lower_limit(5, 40, 0.05) == pytest.approx(0.05, abs=1e-3)  # not the 0.125 that was seen
    assert upper_limit(0, 3000, 0.05) == pytest.approx(1e-3, rel=3e-3)
    assert 1 - (1 - upper_limit(0, 3000, 0.05)) ** 300 == pytest.approx(0.26, abs=5e-3)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.3, 400.0), st.floats(0.3, 4000.0), st.floats(1e-3, 0.999))
def test_counts_may_be_fractions(k: float, healthy: float, alpha: float) -> None:
    n = k + healthy
    assert lower_limit(k, n, alpha) == pytest.approx(stats.beta.ppf(alpha, k, n - k + 1), rel=1e-6, abs=1e-300)
    assert upper_limit(k, n, alpha) == pytest.approx(stats.beta.isf(alpha, k + 1, n - k), rel=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(1e-9, 0.999))
@example((27, 95), 0.7387803706231287)
@example((24, 1606), 0.7861684518649824)
def test_limits_are_scipys(counts: tuple[int, int], alpha: float) -> None:
    k, n = counts
    expected_lower = stats.beta.ppf(alpha, k, n - k + 1) if k else 0.0
    expected_upper = stats.beta.isf(alpha, k + 1, n - k) if k < n else 1.0
    assert lower_limit(k, n, alpha) == pytest.approx(expected_lower, rel=1e-8, abs=1e-300)
    assert upper_limit(k, n, alpha) == pytest.approx(expected_upper, rel=1e-8)


@pytest.mark.parametrize(("k", "n"), [(1, 10**6), (12_345, 10**6), (999_999, 10**6), (500_000, 10**6)])
def test_a_million_trials(k: int, n: int) -> None:
    expected = stats.beta.ppf(0.025, k, n - k + 1), stats.beta.isf(0.025, k + 1, n - k)
    assert clopper_pearson(k, n) == pytest.approx(expected, rel=1e-7)


def test_no_events_and_only_events_reach_the_ends() -> None:
    assert clopper_pearson(0, 10).lower == 0.0
    assert clopper_pearson(10, 10).upper == 1.0
    assert lower_limit(10, 10, 0.05) == pytest.approx(1.0 - upper_limit(0, 10, 0.05))


@pytest.mark.parametrize(("k", "n", "alpha"), [(3, 2, 0.05), (-1, 2, 0.05), (0, -1, 0.05), (0, 9, 0.0), (1, 2, 1.0)])
def test_what_is_no_rate_is_refused(k: int, n: int, alpha: float) -> None:
    with pytest.raises(ValueError, match=r"is not"):
        lower_limit(k, n, alpha)
    with pytest.raises(ValueError, match=r"is not"):
        upper_limit(k, n, alpha)

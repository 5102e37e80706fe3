"""Confidence sequences: known answers, brute force as the oracle, and limits that hold at every look."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from qstress.stats.intervals import clopper_pearson, upper_limit
from qstress.stats.sequence import log_evidence, log_likelihood, sequence, shown_above, shown_below
from tests.stats.simulate import at_most

CAMPAIGNS = 10_000

counts = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_known_answer_of_the_mixture() -> None:
    assert math.exp(log_evidence(0, 100, 0.12)) == pytest.approx(3527.0483, rel=1e-8)
    assert math.exp(log_evidence(0, 100, 0.12)) == pytest.approx(1 / (101 * 0.88**100), rel=1e-10)


def test_about_985_clean_trials_show_less_than_one_percent() -> None:
    """Not the 299 of a single look."""
    assert sequence(0, 984, 0.05).upper <= 0.01 < sequence(0, 983, 0.05).upper
    assert shown_below(0, 984, 0.01, 0.05)
    assert not shown_below(0, 983, 0.01, 0.05)
    assert not shown_below(0, 299, 0.01, 0.05)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.02, 0.98))
def test_the_evidence_is_the_averaged_likelihood_over_that_of_the_rate(of: tuple[int, int], p: float) -> None:
    k, n = of
    averaged, _ = integrate.quad(lambda t: t**k * (1 - t) ** (n - k), 0, 1)
    assert math.exp(log_evidence(k, n, p)) == pytest.approx(averaged / (p**k * (1 - p) ** (n - k)), rel=1e-6)


@given(st.integers(0, 12), st.floats(0.01, 0.99))
def test_its_expectation_is_one_at_every_look(n: int, p: float) -> None:
    expected = sum(math.comb(n, k) * math.exp(log_likelihood(k, n, p) + log_evidence(k, n, p)) for k in range(n + 1))
    assert expected == pytest.approx(1.0, rel=1e-9)


@given(
    st.integers(0, 5).flatmap(lambda n: st.lists(st.sampled_from([0.0, 0.3, 1.0]), min_size=n, max_size=n)),
    st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3),
)
def test_shares_of_process_runs_are_expected_to_add_no_evidence(before: list[float], weights: list[float]) -> None:
    """One more unit of any law on 0, 0.3 and 1: E's expectation against its own mean does not grow."""
    if not sum(weights) > 0:
        weights = [1.0, 1.0, 1.0]
    chances = [weight / sum(weights) for weight in weights]
    p = min(max(chances[1] * 0.3 + chances[2], 1e-9), 1 - 1e-9)
    k, n = sum(before), len(before)
    after = sum(
        chance * math.exp(log_evidence(k + x, n + 1, p)) for chance, x in zip(chances, (0.0, 0.3, 1.0), strict=True)
    )
    assert after <= math.exp(log_evidence(k, n, p)) * (1 + 1e-6)


@given(counts, st.sampled_from([0.1, 0.05, 1e-3, 1e-6]))
def test_it_holds_the_exact_interval_and_the_estimate(of: tuple[int, int], alpha: float) -> None:
    k, n = of
    lower, upper = sequence(k, n, alpha)
    exact = clopper_pearson(k, n, 1 - alpha)
    assert lower <= exact.lower + 1e-12
    assert lower <= k / n <= upper
    assert exact.upper <= upper + 1e-12


@given(counts, st.sampled_from([0.05, 1e-3]), st.floats(0.0, 1.0))
def test_what_is_shown_is_what_the_ends_say(of: tuple[int, int], alpha: float, limit: float) -> None:
    lower, upper = sequence(*of, alpha)
    if abs(limit - upper) > 1e-9:
        assert shown_below(*of, limit, alpha) == (upper <= limit)
    if abs(limit - lower) > 1e-9:
        assert shown_above(*of, limit, alpha) == (lower > 0 and lower >= limit)


def test_the_ends() -> None:
    assert sequence(0, 0, 0.05) == (0.0, 1.0)
    assert sequence(0, 10, 0.05).lower == 0.0
    assert sequence(10, 10, 0.05).upper == 1.0
    assert sequence(10, 10, 0.05).lower == pytest.approx(1 - sequence(0, 10, 0.05).upper)
    assert sequence(0, 1, 0.1).upper == pytest.approx(0.95)  # 1 - alpha/2: the mean likelihood of one ok is 1/2
    assert 5e-6 < sequence(5, 1_000_000, 0.05).upper < 5e-5
    assert not shown_above(0, 100, 0.0, 0.05)
    assert shown_above(1, 100, 0.0, 0.05)
    assert not shown_below(0, 100, 0.0, 0.05)
    assert shown_below(100, 100, 1.0, 0.05)


@pytest.mark.parametrize(("k", "n", "alpha"), [(3, 2, 0.05), (-1, 2, 0.05), (1, 2, 0.0), (1, 2, 1.0)])
def test_what_is_no_rate_is_refused(k: int, n: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="is not"):
        sequence(k, n, alpha)


def fewest(k: int, passes: Callable[[int, int], bool]) -> int:
    """The fewest trials with *k* hangs that pass."""
    low, high = k, 1 << 22
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(k, middle) else (middle, high)
    return high


@pytest.mark.parametrize("limit", [0.01, 0.1])
def test_a_rate_at_the_limit_rarely_passes_however_often_it_is_looked_at(limit: float) -> None:
    """10,000 campaigns at the gate's limit, looked at after every trial until 100 hangs: a campaign passes if, for
    some k, the hang after the k-th comes later than the trial at which k hangs would do. The limit of a single look
    passes a fifth of them and more."""
    rng = np.random.default_rng(9)
    hang_at = np.cumsum(rng.geometric(limit, (CAMPAIGNS, 100)), axis=1)
    enough = np.array([fewest(k, lambda k, n: shown_below(k, n, limit, 0.05)) for k in range(100)])
    assert np.mean((hang_at > enough).any(axis=1)) <= at_most(0.05, CAMPAIGNS)
    once = np.array([fewest(k, lambda k, n: upper_limit(k, n, 0.05) <= limit) for k in range(40)])
    assert np.mean((hang_at[:, :40] > once).any(axis=1)) > 0.2


def test_both_ends_hold_together_at_every_look() -> None:
    """2,000 campaigns of 1,000 trials at 30 %: the true rate leaves the sequence in at most alpha of them."""
    rng = np.random.default_rng(10)
    n = np.arange(1, 1001)
    k = np.cumsum(rng.random((2000, 1000)) < 0.3, axis=1)
    refuted = np.zeros((1001, 1001), dtype=bool)
    for trials in range(1, 1001):
        refuted[trials, : trials + 1] = [log_evidence(x, trials, 0.3) >= -math.log(0.1) for x in range(trials + 1)]
    assert 0 < np.mean(refuted[n, k].any(axis=1)) <= at_most(0.1, 2000)


def sprt(p: float) -> tuple[float, float]:
    """Wald's test of .12 against .012 (alpha 1e-3, beta .05), exactly: P(says fixed) and the mean number of trials,
    at the true rate *p*."""
    fixed, broken = math.log(0.95 / 1e-3), math.log(0.05 / (1 - 1e-3))
    said, trials, alive = 0.0, 0.0, {0: 1.0}
    for n in itertools.count(1):
        following: dict[int, float] = {}
        for k, chance in alive.items():
            for hung, share in ((0, 1 - p), (1, p)):
                if share:
                    following[k + hung] = following.get(k + hung, 0.0) + chance * share
        alive = {}
        for k, chance in following.items():
            ratio = log_likelihood(k, n, 0.012) - log_likelihood(k, n, 0.12)
            if broken < ratio < fixed:
                alive[k] = chance
            else:
                said += chance * (ratio >= fixed)
                trials += chance * n
        if sum(alive.values()) < 1e-12:
            break
    return said, trials


@pytest.mark.parametrize(
    ("p", "says_fixed", "trials"), [(0.0, 1.0, 60), (0.012, 0.977667, 77.34), (0.12, 9.4139e-4, 22.49)]
)
def test_known_answers_of_the_sequential_probability_ratio_test(p: float, says_fixed: float, trials: float) -> None:
    """It needs a known rate, so qstress does not use it; its exact figures hold the likelihoods to account."""
    assert sprt(p) == pytest.approx((says_fixed, trials), rel=1e-4)


def test_a_test_of_no_hangs_at_all_is_the_rule_of_three() -> None:
    """The likelihood ratio of rate 0 against p0 reaches 1/alpha where the exact limit reaches p0."""
    for p0, n in [(0.01, 299), (0.001, 2995)]:
        for trials in (n - 1, n):
            ratio = log_likelihood(0, trials, 0.0) - log_likelihood(0, trials, p0)
            assert (ratio >= -math.log(0.05)) == (upper_limit(0, trials, 0.05) <= p0) == (trials == n)

"""Trials that share a process: their dispersion against SciPy and known cases, intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qstress.model import FindingClass
from qstress.stats.clusters import ProcessRuns, dispersion, widened
from qstress.stats.intervals import clopper_pearson

LOST, CRASH = FindingClass.LOST_INIT, FindingClass.CRASH

run = st.integers(1, 20).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_a_class_seen_late_has_zeros_before() -> None:
    runs = ProcessRuns()
    runs.add(0, 10, 2, {LOST: 2})
    runs.add(3, 9, 0, {})
    runs.add(4, 10, 1, {LOST: 1, CRASH: 4})
    assert (list(runs.blocks), list(runs.trials), list(runs.hangs)) == ([0, 3, 4], [10, 9, 10], [2, 0, 1])
    assert runs.found([LOST]) == [2, 0, 1]
    assert runs.found([CRASH]) == [0, 0, 4]
    assert runs.found(None) == [2, 0, 5]
    assert runs.found([FindingClass.BSP_SPIN]) == [0, 0, 0]
    assert runs.found(c for c in (LOST, CRASH)) == [2, 0, 5]


@given(st.lists(run, min_size=2, max_size=12))
def test_it_is_pearsons_chi_squared_over_its_degrees_of_freedom(runs: list[tuple[int, int]]) -> None:
    hangs, trials = [k for k, _ in runs], [n for _, n in runs]
    index = dispersion([(hangs, trials)])
    if not 0 < sum(hangs) < sum(trials):
        assert index == sum(trials) / len(runs)
        return
    table = np.array([hangs, [n - k for k, n in runs]])
    chi_squared = stats.chi2_contingency(table, correction=False).statistic
    assert index == pytest.approx(chi_squared / (len(runs) - 1), abs=1e-9)


def test_known_cases_of_dispersion() -> None:
    assert dispersion([([5, 5, 5, 5], [10] * 4)]) == pytest.approx(0.0, abs=1e-12)
    assert dispersion([([10, 0, 10, 0], [10] * 4)]) == pytest.approx(40 / 3)  # all or nothing: n times m/(m - 1)
    assert dispersion([]) is None
    assert dispersion([([], [])]) is None
    one, other = ([10, 0, 10, 0], [10] * 4), ([5, 5], [10] * 2)
    assert dispersion([one, other]) == pytest.approx((40 + 0) / (3 + 1))


def test_where_nothing_can_tell_all_trials_of_a_run_might_hang_together() -> None:
    for hangs in ([0, 0], [10, 10], [3]):
        assert dispersion([(hangs, [10] * len(hangs))]) == 10.0
    assert dispersion([([0, 0, 0], [10, 9, 8])]) == 9.0
    assert widened(0, 400, 10.0).upper == pytest.approx(clopper_pearson(0, 40).upper)


def test_independent_trials_have_an_index_of_one() -> None:
    rng = np.random.default_rng(11)
    hangs = rng.binomial(20, 0.12, 4000)
    assert dispersion([(hangs.tolist(), [20] * 4000)]) == pytest.approx(1.0, abs=0.08)


def test_an_interval_is_that_of_the_trials_they_are_worth() -> None:
    assert widened(12, 400, 4.0) == clopper_pearson(3, 100)
    assert widened(5, 400, 4.0) == pytest.approx(clopper_pearson(1.25, 100))
    for index in (None, 0.3, 1.0):
        assert widened(12, 400, index) == clopper_pearson(12, 400)
    assert widened(0, 400, None).upper == clopper_pearson(0, 400).upper
    lower, upper = stats.beta.ppf(0.025, 1.25, 99.75), stats.beta.isf(0.025, 2.25, 98.75)
    assert widened(5, 400, 4.0) == pytest.approx((lower, upper), rel=1e-8)


def test_it_covers_the_rate_of_clustered_trials_where_the_exact_interval_does_not() -> None:
    """400 campaigns of 6 to 60 process-runs of 10 bring-ups; a fifth of the processes hang every other one."""
    rng = np.random.default_rng(12)
    for runs in (6, 15, 60):
        covered = naive = 0
        for _ in range(400):
            hangs = rng.binomial(10, np.where(rng.random(runs) < 0.2, 0.5, 0.0)).tolist()
            lower, upper = widened(sum(hangs), 10 * runs, dispersion([(hangs, [10] * runs)]))
            exact = clopper_pearson(sum(hangs), 10 * runs)
            covered += lower <= 0.1 <= upper
            naive += exact.lower <= 0.1 <= exact.upper
        assert covered / 400 >= 0.93
        assert naive / 400 < 0.75

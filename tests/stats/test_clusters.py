"""Trials that share a process: their dispersion against SciPy and known cases, intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qstress.model import FindingClass
from qstress.stats.clusters import PRIOR, ProcessRuns, Spread, pooled_index, spread, widened
from qstress.stats.intervals import clopper_pearson
from tests.stats.simulate import at_most
from tools.coverage import CANDIDATES, CLUSTERINGS, DRIFTS, covered

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
    index = spread([(hangs, trials)]).dispersion
    if not 0 < sum(hangs) < sum(trials):
        assert index == sum(trials) / len(runs)
        return
    table = np.array([hangs, [n - k for k, n in runs]])
    chi_squared = stats.chi2_contingency(table, correction=False).statistic
    assert index == pytest.approx(chi_squared / (len(runs) - 1), abs=1e-9)


def test_known_cases_of_dispersion() -> None:
    assert spread([([5, 5, 5, 5], [10] * 4)]).dispersion == pytest.approx(0.0, abs=1e-12)
    assert spread([([10, 0, 10, 0], [10] * 4)]).dispersion == pytest.approx(40 / 3)  # all or nothing: n times m/(m - 1)
    assert spread([]).dispersion is None
    assert spread([([], [])]).dispersion is None
    one, other = ([10, 0, 10, 0], [10] * 4), ([5, 5], [10] * 2)
    assert spread([one, other]).dispersion == pytest.approx((40 + 0) / (3 + 1))


def test_where_nothing_can_tell_all_trials_of_a_run_might_hang_together() -> None:
    for hangs in ([0, 0], [10, 10], [3]):
        assert spread([(hangs, [10] * len(hangs))]).dispersion == 10.0
    assert spread([([0, 0, 0], [10, 9, 8])]).dispersion == 9.0
    assert widened(0, 400, 10.0).upper == pytest.approx(clopper_pearson(0, 40).upper)


def test_independent_trials_have_an_index_of_one() -> None:
    rng = np.random.default_rng(11)
    hangs = rng.binomial(20, 0.12, 4000)
    assert spread([(hangs.tolist(), [20] * 4000)]).dispersion == pytest.approx(1.0, abs=0.08)


def test_an_interval_is_that_of_the_trials_they_are_worth() -> None:
    assert widened(12, 400, 4.0) == clopper_pearson(3, 100)
    assert widened(5, 400, 4.0) == pytest.approx(clopper_pearson(1.25, 100))
    for index in (None, 0.3, 1.0):
        assert widened(12, 400, index) == clopper_pearson(12, 400)
    assert widened(0, 400, None).upper == clopper_pearson(0, 400).upper
    lower, upper = stats.beta.ppf(0.025, 1.25, 99.75), stats.beta.isf(0.025, 2.25, 98.75)
    assert widened(5, 400, 4.0) == pytest.approx((lower, upper), rel=1e-8)


def test_an_arm_is_as_unlike_as_all_arms_together_or_as_itself() -> None:
    baseline, cured = spread([([10, 0] * 50, [10] * 100)]), spread([([0] * 100, [10] * 100)])
    both = Spread(baseline.chi_squared, baseline.degrees, baseline.telling, 200, 2000)
    assert baseline.dispersion == pytest.approx(10 * 100 / 99)
    assert pooled_index(cured, both) == pytest.approx(10.0)  # never more than the trials of a process-run
    even = spread([([5] * 1000, [10] * 1000)])
    assert pooled_index(cured, even) == 1.0
    assert pooled_index(baseline, even) == 10.0
    assert pooled_index(Spread(), both) is None


def test_what_few_findings_tell_begins_at_what_can_be_worst() -> None:
    nothing, one = spread([([0] * 6, [20] * 6)]), spread([([1, 0, 0, 0, 0, 0], [20] * 6)])
    assert pooled_index(nothing, nothing) == 20.0
    index = pooled_index(nothing, one)
    assert one.dispersion is not None
    assert index == pooled_index(one, one) == pytest.approx((one.dispersion + 20 * PRIOR) / (1 + PRIOR))
    assert widened(0, 120, index).upper < widened(1, 120, index).upper  # the cured build has the shorter bar


@pytest.mark.parametrize("clustering", CLUSTERINGS)
@pytest.mark.parametrize("candidate", CANDIDATES)
def test_the_interval_covers_the_rate_over_clustering_and_drift(clustering: str, candidate: str) -> None:
    """100 campaigns of each size and drift; ``python -m tools.coverage`` has them in full."""
    rng = np.random.default_rng(12)
    for runs, trials in ((6, 20), (26, 20)):
        held = [
            covered(CLUSTERINGS[clustering], drift(runs), CANDIDATES[candidate], trials, 100, rng)
            for drift in DRIFTS.values()
        ]
        for arm in (0, 1):
            assert np.mean([both[arm] for both in held]) >= 1 - at_most(0.05, 300)


def test_an_interval_of_independent_trials_does_not() -> None:
    rng, held = np.random.default_rng(12), 0
    for hangs in rng.binomial(10, np.where(rng.random((400, 15)) < 0.2, 0.5, 0.0)).sum(axis=1).tolist():
        lower, upper = clopper_pearson(hangs, 150)
        held += lower <= 0.1 <= upper
    assert held / 400 < 0.75

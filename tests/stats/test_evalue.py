"""The e-process: known answers, validity by enumeration and by simulation, and the table of mean trials."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.stats.evalue import EProcess, fewest_trials, log_ratio

counts = st.integers(0, 50).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_known_answer_beta_half_half_plug_in() -> None:
    process = EProcess(prior=0.5)
    for hang in (1, 0, 1, 1):
        process = process.update(hang, 1, 0, 1)
    assert math.exp(process.log_e) == pytest.approx(3.28125, rel=1e-12)
    assert process.log10 == pytest.approx(math.log10(3.28125))
    assert (process.hangs_a, process.trials_a, process.hangs_b, process.trials_b) == (3, 4, 0, 4)


def test_known_answer_fixed_likelihood_ratio() -> None:
    assert log_ratio(12, 100, 0, 100, 0.12, 0.0012) == pytest.approx(8.581567659, abs=1e-9)


@given(counts, counts, st.integers(0, 4), st.integers(0, 4), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_no_block_is_expected_to_add_evidence_under_any_null(
    a: tuple[int, int], b: tuple[int, int], n_a: int, n_b: int, one: float, other: float
) -> None:
    """E[E after / E before] <= 1, over every outcome of a block, for p_A <= p_B and whatever came before."""
    p_a, p_b = min(one, other), max(one, other)
    before = EProcess(a[0], a[1], b[0], b[1])
    expected = 0.0
    for x, y in itertools.product(range(n_a + 1), range(n_b + 1)):
        chance = math.comb(n_a, x) * p_a**x * (1 - p_a) ** (n_a - x)
        chance *= math.comb(n_b, y) * p_b**y * (1 - p_b) ** (n_b - y)
        expected += chance * math.exp(before.update(x, n_a, y, n_b).log_e)
    assert expected <= 1.0 + 1e-12


def test_the_estimates_come_from_earlier_blocks_only() -> None:
    assert EProcess().update(5, 5, 0, 5).log_e == 0.0


def test_a_candidate_that_hangs_more_never_lowers_or_raises_e() -> None:
    process = EProcess(hangs_a=1, trials_a=10, hangs_b=5, trials_b=10, log_e=1.5)
    assert process.update(1, 1, 0, 1).log_e == 1.5


def test_a_block_without_an_arm_leaves_e_and_counts() -> None:
    before = EProcess(5, 10, 1, 10, 0.5)
    assert before.update(1, 1, 0, 0) == EProcess(6, 11, 1, 10, 0.5)
    assert before.update(0, 0, 1, 1) == EProcess(5, 10, 2, 11, 0.5)


def trials_to(p: float, alpha: float, sessions: int) -> float:
    rng = random.Random(20250909)
    total = 0
    for _ in range(sessions):
        process = EProcess()
        while process.log_e < -math.log(alpha):
            process = process.update(rng.random() < p, 1, 0, 1)
        total += process.trials_a + process.trials_b
    return total / sessions


@pytest.mark.parametrize(
    ("p", "alpha", "expected"),
    [(0.95, 1e-3, 17), (0.95, 1e-6, 29), (0.5, 1e-3, 42), (0.5, 1e-6, 74), (0.12, 1e-3, 199), (0.12, 1e-6, 359)],
)
def test_mean_trials_to_a_decision(p: float, alpha: float, expected: float) -> None:
    assert trials_to(p, alpha, 1000) == pytest.approx(expected, rel=0.04)


def test_type_one_error_with_many_looks() -> None:
    """3.3 % at a nominal 5 % with 3000 looks: half as many sessions are enough to tell that from 5 %."""
    rng = random.Random(3)
    wrong = 0
    for _ in range(250):
        process = EProcess()
        for _ in range(3000):
            process = process.update(rng.random() < 0.12, 1, rng.random() < 0.12, 1)
            if process.log_e >= math.log(20):
                wrong += 1
                break
    assert wrong / 250 <= 0.05 + 0.02


def test_fewest_trials_is_the_best_case() -> None:
    def log_e(n: int) -> float:
        process = EProcess()
        for _ in range(n):
            process = process.update(1, 1, 0, 1)
        return process.log10

    for alpha in (0.05, 1e-3, 1e-6):
        n = fewest_trials(alpha)
        assert log_e(n) >= -math.log10(alpha) > log_e(n - 1)
    for alpha in (0.0, 1.0):
        with pytest.raises(ValueError, match="not between"):
            fewest_trials(alpha)

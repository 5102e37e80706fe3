"""The block permutation test: enumeration as the oracle, SciPy for the trivial case, drawn against exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qstress.stats import permute
from qstress.stats.exact import Table
from qstress.stats.permute import permutation_greater

arm = st.integers(0, 6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
tables = st.tuples(arm, arm).map(lambda arms: Table(*arms[0], *arms[1]))


def by_enumeration(blocks: list[Table]) -> float:
    """The share of all 2^m namings of the arms whose difference is at least the one seen."""
    differences = [t.k_a * t.n_b - t.k_b * t.n_a for t in blocks]
    namings = list(itertools.product((1, -1), repeat=len(blocks)))
    return sum(
        sum(sign * d for sign, d in zip(signs, differences, strict=True)) >= sum(differences) for signs in namings
    ) / len(namings)


@given(st.lists(tables, max_size=9))
def test_enumeration_agrees(blocks: list[Table]) -> None:
    assert permutation_greater(blocks) == pytest.approx(by_enumeration(blocks), abs=1e-12)


def test_with_one_hang_a_run_it_is_the_sign_test() -> None:
    blocks = [Table(1, 10, 0, 10)] * 14 + [Table(0, 10, 1, 10)] * 4 + [Table(2, 10, 2, 10)] * 30
    assert permutation_greater(blocks) == pytest.approx(stats.binomtest(14, 18, alternative="greater").pvalue)


def test_whole_runs_count_not_their_trials() -> None:
    """Four processes of one arm that hang in all of 50 trials are four events, not two hundred."""
    assert permutation_greater([Table(50, 50, 0, 50)] * 4) == pytest.approx(1 / 16)


def test_nothing_to_tell_is_one() -> None:
    assert permutation_greater([]) == 1.0
    assert permutation_greater([Table(2, 10, 2, 10), Table(3, 4, 0, 0)]) == 1.0


def test_drawn_exchanges_come_near_the_exact_and_are_repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [Table(x % 4, 10, (x * 7) % 3, 10) for x in range(40)]
    exact = permutation_greater(blocks)
    monkeypatch.setattr(permute, "STEPS_MAX", 0)
    drawn = permutation_greater(blocks)
    assert drawn != exact
    assert drawn == pytest.approx(exact, rel=0.15)
    assert drawn == permutation_greater(blocks)
    assert drawn != permutation_greater(blocks, seed=1)
    assert permutation_greater([Table(5, 10, 0, 10)] * 200) == 1 / (permute.DRAWS + 1)


def test_many_alike_blocks_stay_exact() -> None:
    assert permutation_greater([Table(1, 50, 0, 50)] * 100) == pytest.approx(2.0**-100)


def test_equal_rates_in_clustered_trials_give_uniform_p_values() -> None:
    """1,000 campaigns of 12 blocks, each process with a rate of its own: p <= 0.05 in about 5 % at most."""
    rng = np.random.default_rng(13)
    small = 0
    for _ in range(1000):
        k = rng.binomial(10, np.where(rng.random((2, 12)) < 0.3, 0.6, 0.02))
        small += permutation_greater([Table(int(a), 10, int(b), 10) for a, b in k.T]) <= 0.05
    assert 0.02 < small / 1000 < 0.071


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no table"):
        permutation_greater([Table(3, 2, 0, 2)])

"""The exact stratified test: the answers of docs/background/statistics.md, "Known answers", brute force as the oracle,
and its approximation."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qstress.stats import strata
from qstress.stats.exact import Table, fisher_greater
from qstress.stats.strata import stratified_greater

arm = st.integers(0, 9).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
tables = st.tuples(arm, arm).map(lambda arms: Table(*arms[0], *arms[1]))


def by_enumeration(of: list[Table]) -> float:
    """The tail over every combination of counts, by SciPy's hypergeometric law."""
    supports = [range(max(0, t.events - t.n_b), min(t.n_a, t.events) + 1) for t in of]
    laws = [
        {x: stats.hypergeom.pmf(x, t.n_a + t.n_b, t.events, t.n_a) for x in support}
        for t, support in zip(of, supports, strict=True)
    ]
    total = 0.0
    for counts in itertools.product(*supports):
        if sum(counts) >= sum(t.k_a for t in of):
            p = 1.0
            for law, x in zip(laws, counts, strict=True):
                p *= law[x]
            total += p
    return total


def test_known_answers() -> None:
    assert stratified_greater([Table(k, 40, 0, 40) for k in (5, 9, 2)]) == pytest.approx(7.96641e-6, rel=1e-6)
    assert stratified_greater([Table(5, 40, 0, 40)]) == pytest.approx(0.0273714, rel=2e-6)


def test_the_normal_approximation_is_weak_with_zero_cells() -> None:
    """9.7e-5 (two-sided) where the exact p is 8.0e-6."""
    zeros = [Table(k, 40, 0, 40) for k in (5, 9, 2)]
    assert 2 * strata._mantel_haenszel(zeros) == pytest.approx(9.7e-5, rel=2e-3)


@given(st.lists(tables, min_size=1, max_size=3))
def test_enumeration_agrees(of: list[Table]) -> None:
    expected = by_enumeration([t for t in of if t.n_a + t.n_b])
    assert stratified_greater(of) == pytest.approx(expected, rel=1e-9)


@given(tables)
def test_one_stratum_is_fishers_test(table: Table) -> None:
    assert stratified_greater([table]) == pytest.approx(fisher_greater(table), rel=1e-12)


def test_strata_without_information_change_nothing() -> None:
    silent = [Table(0, 40, 0, 40), Table(3, 3, 7, 7), Table(2, 5, 0, 0), Table(0, 0, 0, 0)]
    assert stratified_greater(silent) == 1.0
    assert stratified_greater([]) == 1.0
    assert stratified_greater([*silent, Table(5, 40, 0, 40)]) == stratified_greater([Table(5, 40, 0, 40)])


def test_the_normal_approximation_takes_over_where_it_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    of = [Table(660, 5000, 600, 5000), Table(610, 5000, 590, 5000), Table(330, 5000, 300, 5000)]
    exact = stratified_greater(of)
    monkeypatch.setattr(strata, "TERMS_MAX", 0)
    assert stratified_greater(of) != exact
    assert stratified_greater(of) == pytest.approx(exact, rel=5e-3)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no table"):
        stratified_greater([Table(1, 2, 0, 2), Table(3, 2, 0, 2)])

"""Fisher's test: the answers of docs/background/statistics.md, "Known answers", SciPy as the oracle, symmetry, a
million trials."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from qstress.stats.exact import Table, fisher_greater

arm = st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
tables = st.tuples(arm, arm).map(lambda arms: Table(*arms[0], *arms[1]))


@pytest.mark.parametrize(
    ("table", "p", "rel"),
    [
        (Table(3, 4, 1, 4), 0.242857142857, 1e-11),
        (Table(5, 40, 0, 40), 0.027371, 2e-5),
        (Table(10, 84, 0, 84), 7.351e-4, 1e-4),
        (Table(20, 167, 0, 167), 5.2103e-7, 1e-5),
    ],
)
def test_known_answers_greater(table: Table, p: float, rel: float) -> None:
    assert fisher_greater(table) == pytest.approx(p, rel=rel)


def test_with_no_hang_in_the_candidate_p_is_about_two_to_the_minus_hangs() -> None:
    assert fisher_greater(Table(10, 10_000, 0, 10_000)) == pytest.approx(2.0**-10, rel=0.01)
    assert fisher_greater(Table(20, 10_000, 0, 10_000)) == pytest.approx(2.0**-20, rel=0.03)


@settings(deadline=None)
@given(tables)
def test_scipy_agrees(table: Table) -> None:
    columns = [[table.k_a, table.k_b], [table.n_a - table.k_a, table.n_b - table.k_b]]
    greater = stats.fisher_exact(columns, alternative="greater").pvalue
    assert fisher_greater(table) == pytest.approx(greater, rel=1e-9, abs=1e-13)


@given(tables)
def test_swapping_arms_and_direction_changes_nothing(table: Table) -> None:
    """Less for the swapped arms is greater for these: computed from "hung" and from "did not hang"."""
    turned = Table(table.n_b - table.k_b, table.n_b, table.n_a - table.k_a, table.n_a)
    assert fisher_greater(turned) == pytest.approx(fisher_greater(table), rel=1e-9, abs=1e-13)


@given(tables)
def test_both_directions_share_only_the_observed_table(table: Table) -> None:
    assert fisher_greater(table) + fisher_greater(table.swapped) >= 1.0 - 1e-12


@pytest.mark.parametrize(
    "table",
    [
        Table(120_000, 500_000, 119_000, 500_000),
        Table(119_000, 500_000, 120_000, 500_000),
        Table(60, 900_000, 2, 100_000),
        Table(0, 500_000, 500_000, 500_000),
    ],
)
def test_a_million_trials(table: Table) -> None:
    law = stats.hypergeom(table.n_a + table.n_b, table.events, table.n_a)
    assert fisher_greater(table) == pytest.approx(law.sf(table.k_a - 1), rel=1e-6)


def test_a_difference_beyond_floats_is_zero_not_an_error() -> None:
    assert fisher_greater(Table(100_000, 100_000, 0, 100_000)) == 0.0


@pytest.mark.parametrize("table", [Table(2, 1, 0, 1), Table(0, 1, 2, 1), Table(-1, 1, 0, 1)])
def test_what_is_no_table_is_refused(table: Table) -> None:
    with pytest.raises(ValueError, match="no table"):
        fisher_greater(table)

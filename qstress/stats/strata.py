"""The exact conditional test of one common difference over several strata (smp, rate, tier).

Given its margins each stratum's events in A are hypergeometric when the rates are equal; the sum over strata is their
convolution, and the p-value is its tail at the observed sum. CMH, its normal approximation, is weak with zero cells
(9.7e-5 against the exact 8.0e-6 for 5, 9, 2 of 40 against 0), so it serves only where no cell can be small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul

from qstress.stats.exact import Table, fisher_greater, log_hypergeometric

#: Above so many terms the convolution takes seconds and the normal approximation is as good as exact.
TERMS_MAX = 2000


def stratified_greater(tables: Sequence[Table]) -> float:
    """Return the one-sided p-value of "A's rate is greater than B's" over all strata; 1 without any stratum.

    One stratum is Fisher's test. Exact as long as the tail has at most ``TERMS_MAX`` terms (with 0 events in B it has
    one), else the Cochran-Mantel-Haenszel statistic with continuity correction.

    :raises ValueError: a table has more events than trials.
    """
    for table in tables:
        table.check()
    informative = [t for t in tables if t.n_a and t.n_b and 0 < t.events < t.n_a + t.n_b]
    if not informative:
        return 1.0
    if len(informative) == 1:
        return fisher_greater(informative[0])
    # Counted down from the largest possible sum, the tail is the first terms of the convolution.
    terms = 1 + sum(min(t.n_a, t.events) - t.k_a for t in informative)
    if terms > TERMS_MAX:
        return _mantel_haenszel(informative)
    tail = [1.0]
    for table in informative:
        tail = _convolve(tail, _from_the_top(table, terms), terms)
    return min(1.0, sum(tail))


def _from_the_top(table: Table, terms: int) -> list[float]:
    """Return the probabilities of the largest possible count of A, the next smaller, ..., at most *terms* of them."""
    top, bottom = min(table.n_a, table.events), max(0, table.events - table.n_b)
    return [math.exp(log_hypergeometric(x, table)) for x in range(top, max(bottom, top - terms + 1) - 1, -1)]


def _convolve(left: list[float], right: list[float], terms: int) -> list[float]:
    """Return the first *terms* coefficients of the product of two polynomials."""
    mirrored = right[::-1]
    size = min(terms, len(left) + len(right) - 1)
    return [
        sum(map(mul, left[max(0, j - len(right) + 1) : j + 1], mirrored[max(0, len(right) - 1 - j) :]))
        for j in range(size)
    ]


def _mantel_haenszel(tables: Sequence[Table]) -> float:
    """Return the normal upper tail of the events in A, with continuity correction.

    Source: Mantel and Haenszel (1959).
    """
    excess = variance = 0.0
    for t in tables:
        n = t.n_a + t.n_b
        excess += t.k_a - t.events * t.n_a / n
        variance += t.events * (n - t.events) / n * t.n_a / n * t.n_b / (n - 1)
    return math.erfc((excess - 0.5) / math.sqrt(2.0 * variance)) / 2.0

"""Fisher's exact test of two rates, fast up to millions of trials: only the tail is summed, from its largest term.

By hand on purpose: SciPy with NumPy takes 216 MB; it is the oracle of the tests instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple


class Table(NamedTuple):
    """Two arms: *k_a* events in *n_a* trials against *k_b* in *n_b*."""

    k_a: int
    n_a: int
    k_b: int
    n_b: int

    @property
    def events(self) -> int:
        """Events of both arms: what an exact test conditions on."""
        return self.k_a + self.k_b

    @property
    def swapped(self) -> Table:
        """The same table with the arms' names exchanged."""
        return Table(self.k_b, self.n_b, self.k_a, self.n_a)

    @staticmethod
    def total(tables: Iterable[Table]) -> Table:
        """Return the sum of *tables*; zeros without any."""
        return Table(*map(sum, zip(Table(0, 0, 0, 0), *tables, strict=True)))

    def check(self) -> None:
        """:raises ValueError: an arm has more events than trials, or fewer than none."""
        if not (0 <= self.k_a <= self.n_a and 0 <= self.k_b <= self.n_b):
            raise ValueError(f"{self.k_a}/{self.n_a} against {self.k_b}/{self.n_b} is no table")


def log_hypergeometric(x: int, table: Table) -> float:
    """Return the log probability that arm A has *x* of the table's events, given all margins and equal rates.

    :param x: from ``max(0, events - n_b)`` to ``min(n_a, events)``.
    """
    events = table.events
    return _log_choose(table.n_a, x) + _log_choose(table.n_b, events - x) - _log_choose(table.n_a + table.n_b, events)


def fisher_greater(table: Table) -> float:
    """Return the one-sided p-value of "A's rate is greater than B's"; swap the table for "less".

    An empty arm gives 1. Values under 1e-308 come back as 0.

    :raises ValueError: *table* is no table.

    Source: Fisher (1934); the hypergeometric upper tail at ``k_a``.
    """
    table.check()
    if table.k_a <= max(0, table.events - table.n_b):
        return 1.0
    if table.k_a * (table.n_a + table.n_b) > table.events * table.n_a:
        return min(1.0, _upper_tail(table.k_a, table))
    # Below the mean the other tail is the short one, and 1 - it loses nothing.
    return max(0.0, 1.0 - _upper_tail(table.events - table.k_a + 1, table.swapped))


def _upper_tail(x: int, table: Table) -> float:
    """Return P(X >= x) for A's events X, x within the support, by the ratio of neighbouring terms."""
    events, top = table.events, min(table.n_a, table.events)
    term = total = 1.0
    y = x
    while y < top and term > total * 1e-17:
        term *= (table.n_a - y) * (events - y) / ((y + 1) * (table.n_b - events + y + 1))
        total += term
        y += 1
    return math.exp(log_hypergeometric(x, table)) * total


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

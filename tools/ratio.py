"""How many times one rate is the other, with an interval: whether two ways to do the same trial agree."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from qstress.stats.exact import Table


class Ratio(NamedTuple):
    """A's rate over B's, and its limits; all of it unknown (0 to infinity) where an arm has no event."""

    value: float
    lower: float
    upper: float


def rate_ratio(table: Table, confidence: float = 0.95, *, index_a: float = 1.0, index_b: float = 1.0) -> Ratio:
    """Return the ratio of the two rates of *table* with its two-sided interval, for one look at fixed n.

    :param confidence: in (0, 1).
    :param index_a: A's index of dispersion (:class:`qstress.stats.clusters.Spread`), by which trials that share a
        process widen its part; below 1 it counts as 1. *index_b* likewise.
    :raises ValueError: *table* is no table.

    Source: Katz, Baptista, Azen and Pike (1978), method C: the logarithm of the ratio is nearly normal, with variance
    1/k_a - 1/n_a + 1/k_b - 1/n_b. Some ten events an arm are needed for that.

    >>> rate_ratio(Table(30, 100, 20, 100)).value
    1.5
    """
    table.check()
    if not table.k_a or not table.k_b:
        return Ratio(math.nan, 0.0, math.inf)
    value = (table.k_a / table.n_a) / (table.k_b / table.n_b)
    variance = max(1.0, index_a) * (1 / table.k_a - 1 / table.n_a) + max(1.0, index_b) * (1 / table.k_b - 1 / table.n_b)
    factor = math.exp(NormalDist().inv_cdf((1.0 + confidence) / 2.0) * math.sqrt(variance))
    return Ratio(value, value / factor, value * factor)

"""Exact limits of a binomial rate (Clopper and Pearson 1934), for one look at a fixed n.

They are what reports show. They are not valid at every look: whatever may stop a run comes from
:mod:`qstress.stats.evalue` or :mod:`qstress.stats.sequence`. Counts may be fractions: what clustered trials are worth
(:mod:`qstress.stats.clusters`).
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Interval(NamedTuple):
    """Limits of a rate, both in [0, 1]."""

    lower: float
    upper: float


def clopper_pearson(k: float, n: float, confidence: float = 0.95) -> Interval:
    """Return the two-sided exact interval of *k* events in *n* trials; ``(0, 1)`` where there was no trial.

    :param k: events, 0 <= k <= n.
    :param confidence: in (0, 1); half of the rest lies on each side.
    :raises ValueError: *k*, *n* or *confidence* is out of range.
    """
    alpha = (1.0 - confidence) / 2.0
    return Interval(lower_limit(k, n, alpha), upper_limit(k, n, alpha))


def lower_limit(k: float, n: float, alpha: float) -> float:
    """Return the one-sided lower limit: the rate at which *k* or more events have probability *alpha*.

    :raises ValueError: not 0 <= k <= n, or *alpha* is not in (0, 1).

    Source: P(X >= k) = I_p(k, n - k + 1), the regularised incomplete beta function.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k={k} is not from 0 to n={n}")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha={alpha} is not between 0 and 1")
    if k == 0:
        return 0.0
    if k == n:
        return math.exp(math.log(alpha) / n)
    return _inverse_beta(k, n - k + 1, alpha)


def upper_limit(k: float, n: float, alpha: float) -> float:
    """Return the one-sided upper limit: the rate at which *k* or fewer events have probability *alpha*.

    For ``k == 0`` it is ``1 - alpha ** (1 / n)``, about 3/n at 95 %. Errors as for :func:`lower_limit`.
    """
    if k == 0 and n > 0 and 0.0 < alpha < 1.0:
        return -math.expm1(math.log(alpha) / n)
    return 1.0 - lower_limit(n - k, n, alpha)


def _inverse_beta(a: float, b: float, alpha: float) -> float:
    """Return the x with I_x(a, b) = alpha: Newton on log I over log x (nearly straight), kept inside a bracket."""
    low, high = 0.0, 1.0
    x = a / (a + b)
    for _ in range(200):
        area = _incomplete_beta(a, b, x)
        if area < alpha:
            low = x
        else:
            high = x
        step = math.nan
        if area > 0.0:
            slope = math.exp(a * math.log(x) + (b - 1.0) * math.log1p(-x) - _log_beta(a, b)) / area
            # A slope that underflowed, or a step that would overflow, falls back to bisection below.
            if slope > 0.0 and abs(math.log(area / alpha) / slope) < 50.0:
                step = x * math.exp(-math.log(area / alpha) / slope)
        new = step if low < step < high else (low + high) / 2.0
        if abs(new - x) <= 4e-16 * new:
            return new
        x = new
    return x


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return I_x(a, b) for 0 < x < 1.

    Source: Abramowitz and Stegun 26.5.8, the continued fraction, evaluated by Lentz's method; it converges in
    O(sqrt(max(a, b))) steps on the side of x chosen here.
    """
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(b, a, 1.0 - x)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b)) / a
    tiny = 1e-300
    c, d = 1.0, 1.0 / ((1.0 - (a + b) * x / (a + 1.0)) or tiny)
    fraction = d
    for m in range(1, 100_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1.0 / ((1.0 + even * d) or tiny)
        c = (1.0 + even / c) or tiny
        fraction *= c * d
        d = 1.0 / ((1.0 + odd * d) or tiny)
        c = (1.0 + odd / c) or tiny
        fraction *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return front * fraction

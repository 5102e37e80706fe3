"""Confidence sequences of a rate: limits that hold at every look at once, for whatever may stop a run.

Against a rate p0 the evidence is the likelihood of what was seen, averaged over all rates, over that under p0: for *k*
events in *n* units ``B(k + 1, n - k + 1) / (p0^k (1 - p0)^(n - k))``. Under p0 its expectation is 1 after any number
of units, so it ever reaches 1/alpha with probability at most alpha (Ville's inequality); the rates that it has not
refuted so far are an interval, and its two ends hold together, at every look, with confidence 1 - alpha. The price is
about three times the trials of a single look: without any event the upper limit is under 1 % after 984 units at alpha
.05, where Clopper and Pearson ask for 299 (and may be looked at once).

Source: Robbins (1970), "Statistical methods related to the law of the iterated logarithm", with the uniform mixture.

**Units.** One process-run is one unit. Where it has several trials, pass its share of them that hung and *k* is the
sum of the shares: for values in [0, 1] the evidence is still expected not to grow, because
``(t/p)^x ((1-t)/(1-p))^(1-x)`` is convex in x, so it lies below its chord from 0 to 1, whose mean at E[x] = p is 1.
Nothing is then assumed of trials that share a process (all might hang together), and nothing gained from them either.
"""

from __future__ import annotations

import math

from qstress.stats.intervals import Interval


def log_likelihood(k: float, n: int, p: float) -> float:
    """Return the log probability of one order of *k* events in *n* units at rate *p*; minus infinity if it cannot be.

    :param p: in [0, 1].
    """
    if (p <= 0.0 and k > 0.0) or (p >= 1.0 and k < n):
        return -math.inf
    return (k * math.log(p) if k else 0.0) + ((n - k) * math.log1p(-p) if k < n else 0.0)


def log_evidence(k: float, n: int, p: float) -> float:
    """Return the natural logarithm of the evidence against the rate *p*.

    :param k: events, or the sum of the units' shares; 0 <= k <= n.
    :raises ValueError: *k* is not from 0 to *n*.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k={k} is not from 0 to n={n}")
    return math.lgamma(k + 1) + math.lgamma(n - k + 1) - math.lgamma(n + 2) - log_likelihood(k, n, p)


def shown_below(k: float, n: int, limit: float, alpha: float) -> bool:
    """Whether the upper end of the sequence is at most *limit* (cheaper than :func:`sequence`).

    :raises ValueError: as :func:`sequence`.
    """
    return limit >= 1.0 or (k < n * limit and log_evidence(k, n, limit) >= _threshold(alpha))


def shown_above(k: float, n: int, limit: float, alpha: float) -> bool:
    """Whether the lower end of the sequence is at least *limit*, and above 0.

    :raises ValueError: as :func:`sequence`.
    """
    return k > n * limit and log_evidence(k, n, limit) >= _threshold(alpha)


def sequence(k: float, n: int, alpha: float) -> Interval:
    """Return both ends of the confidence sequence after *n* units; ``(0, 1)`` before the first.

    Both hold with confidence 1 - *alpha* at every look; so does either alone.

    :raises ValueError: not 0 <= k <= n, or *alpha* is not in (0, 1).
    """
    threshold = _threshold(alpha)
    log_evidence(k, n, 0.5)  # refuses what is no rate
    if n == 0:
        return Interval(0.0, 1.0)
    lower = _edge(k, n, 0.0, threshold) if k > 0 else 0.0
    upper = _edge(k, n, 1.0, threshold) if k < n else 1.0
    return Interval(lower, upper)


def _threshold(alpha: float) -> float:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha={alpha} is not between 0 and 1")
    return -math.log(alpha)


def _edge(k: float, n: int, outside: float, threshold: float) -> float:
    """Return where the evidence reaches *threshold* between the estimate and *outside*, by bisection.

    The evidence is convex in the rate, at most 1 at the estimate and infinite at *outside*.
    """
    inside = k / n
    while True:
        middle = (inside + outside) / 2.0
        if abs(outside - inside) <= 1e-15 * inside or middle in (inside, outside):
            return outside  # refuted: the limit errs to the safe side
        if log_evidence(k, n, middle) >= threshold:
            outside = middle
        else:
            inside = middle

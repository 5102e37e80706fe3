"""What one cell of a run, or of an earlier run, has counted; and what may be claimed of its rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from qstress.stats.intervals import Interval, lower_limit, upper_limit
from qstress.stats.sequence import sequence, shown_above, shown_below


class Counts(NamedTuple):
    """*k* of *n* trials; and *shares*, the sum over *runs* process-runs of the share of their trials that did.

    With one trial a process ``shares == k`` and ``runs == n``.
    """

    k: int
    n: int
    shares: float
    runs: int

    @classmethod
    def total(cls, counts: Iterable[Counts]) -> Counts:
        """Return the sum of *counts*; zeros without any."""
        k, n, shares, runs = zip(Counts(0, 0, 0.0, 0), *counts, strict=True)
        return cls(sum(k), sum(n), sum(shares), sum(runs))

    @property
    def clustered(self) -> bool:
        """Whether trials share a process."""
        return self.runs != self.n


def rate_limits(counts: Counts, alpha: float, *, every_look: bool) -> Interval:
    """Return one-sided limits of a rate per trial, each with confidence 1 - *alpha*; ``(0, 1)`` without a trial.

    :param every_look: the run may have been stopped by what it saw. Then both are ends of a confidence sequence; so
        they are where trials share a process, which exact limits of independent trials do not allow.
    """
    if every_look or counts.clustered:
        return sequence(counts.shares, counts.runs, alpha)
    return Interval(lower_limit(counts.k, counts.n, alpha), upper_limit(counts.k, counts.n, alpha))


def at_most(counts: Counts, limit: float, alpha: float, *, every_look: bool) -> bool:
    """Whether the rate is shown to be at most *limit*, by the upper limit; never without a trial."""
    if not counts.n:
        return False
    if every_look or counts.clustered:
        return shown_below(counts.shares, counts.runs, limit, alpha)
    return upper_limit(counts.k, counts.n, alpha) <= limit


def above(counts: Counts, limit: float, alpha: float, *, every_look: bool) -> bool:
    """Whether the rate is shown to be above *limit*, by the lower limit."""
    if every_look or counts.clustered:
        return shown_above(counts.shares, counts.runs, limit, alpha)
    return lower_limit(counts.k, counts.n, alpha) > limit

"""Durations counted in buckets of equal ratio: quantiles over a million trials in a few hundred counters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

#: Each bucket's upper bound over its lower one: a quantile is off by at most 2 % of itself.
RATIO = 1.02
_SHORTEST_S = 1e-6


@dataclass(slots=True)
class Histogram:
    """Counts of durations in seconds. Memory does not grow with what is added, only with its span."""

    count: int = 0
    shortest_s: float = math.inf
    longest_s: float = 0.0
    _buckets: dict[int, int] = field(default_factory=dict)

    def add(self, duration_s: float) -> None:
        """Count one duration; whatever is under a microsecond counts as that.

        :raises ValueError: *duration_s* is not a finite number.
        """
        if not math.isfinite(duration_s):
            raise ValueError(f"{duration_s} is no duration")
        duration_s = max(duration_s, _SHORTEST_S)
        bucket = math.floor(math.log(duration_s) / math.log(RATIO))
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self.count += 1
        self.shortest_s = min(self.shortest_s, duration_s)
        self.longest_s = max(self.longest_s, duration_s)

    def quantile(self, q: float) -> float | None:
        """Return the *q*-quantile in seconds, or None where nothing was counted.

        The rank is ``q * (count - 1)``; the durations of a bucket are taken as spread evenly over it, and the result
        is kept between the shortest and the longest duration, so one duration is its own quantile.

        :raises ValueError: *q* is not in [0, 1].

        Source: Hyndman and Fan (1996), definition 7, on bucketed data.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"q={q} is not from 0 to 1")
        if not self.count:
            return None
        rank = q * (self.count - 1)
        below, value_s = 0, 0.0
        for bucket, inside in sorted(self._buckets.items()):
            # A rank between the last of one bucket and the first of the next stays at the end of the first.
            share = min(1.0, (rank - below + 0.5) / inside)
            value_s = RATIO**bucket * (1.0 + (RATIO - 1.0) * share)
            below += inside
            if rank < below:
                break
        return min(self.longest_s, max(self.shortest_s, value_s))

    def at_most(self, bounds_s: Sequence[float]) -> list[int]:
        """Return how many durations are at most each of *bounds_s*; the bounds are right to 2 %.

        The durations of a bucket that a bound cuts count as longer than it.
        """
        ends = [(RATIO ** (bucket + 1), inside) for bucket, inside in self._buckets.items()]
        return [sum(inside for end_s, inside in ends if end_s <= bound_s) for bound_s in bounds_s]

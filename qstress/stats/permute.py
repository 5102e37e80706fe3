"""The block permutation test: two builds whose trials share processes, without a word on how.

With equal rates the two arms of a block could have been named the other way round, whatever ties the trials of a
process-run to each other. The p-value is the share of all such exchanges whose difference is at least the one seen.
Whole arms are exchanged, never trials, and only within their block, so drift over the session cancels.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable

from qstress.stats.exact import Table

#: Exact as long as following all exchanges takes so many steps (about a tenth of a second).
STEPS_MAX = 500_000
#: Otherwise so many exchanges are drawn: no p-value is under one in so many.
DRAWS = 10_000


def permutation_greater(blocks: Iterable[Table], *, seed: int = 0) -> float:
    """Return the one-sided p-value of "A's rate is greater than B's" over *blocks*; 1 where no block tells.

    The statistic is the sum over blocks of ``k_a n_b - k_b n_a``; with as many trials in every arm that is the
    difference of the hangs. Exact for few blocks, and for many whose differences are few and alike; else from
    :data:`DRAWS` random exchanges drawn from *seed* (the one seen counts as one of them, so the result is never too
    small).

    :param blocks: one table a block, of all strata; a block that lacks an arm tells nothing.
    :raises ValueError: a table has more events than trials.

    Source: Good (2005), "Permutation, parametric and bootstrap tests of hypotheses", blocked comparisons.
    """
    differences: Counter[int] = Counter()
    seen = 0
    for table in blocks:
        table.check()
        difference = table.k_a * table.n_b - table.k_b * table.n_a
        seen += difference
        differences[abs(difference)] += 1
    del differences[0]
    if not differences:
        return 1.0
    exact = _exact_tail(differences, seen)
    return _drawn_tail(differences, seen, random.Random(seed)) if exact is None else exact


def _exact_tail(differences: Counter[int], seen: int) -> float | None:
    """Return the tail at *seen* of the sum of all differences with random signs; None if that takes too long."""
    chances = {0: 1.0}
    for difference, count in differences.most_common():
        if len(chances) * (count + 1) > STEPS_MAX:
            return None
        signs = [(difference * (2 * kept - count), _coin_chance(kept, count)) for kept in range(count + 1)]
        following: dict[int, float] = {}
        for total, chance in chances.items():
            for signed, share in signs:
                following[total + signed] = following.get(total + signed, 0.0) + chance * share
        chances = following
    return min(1.0, sum(sorted(chance for total, chance in chances.items() if total >= seen)))


def _coin_chance(heads: int, coins: int) -> float:
    return math.exp(
        math.lgamma(coins + 1) - math.lgamma(heads + 1) - math.lgamma(coins - heads + 1) - coins * math.log(2.0)
    )


def _drawn_tail(differences: Counter[int], seen: int, rng: random.Random) -> float:
    """Return the same from drawn exchanges; of *count* equal differences the number kept is a count of random bits."""
    at_least = 1
    for _ in range(DRAWS):
        total = sum(d * (2 * rng.getrandbits(count).bit_count() - count) for d, count in differences.items())
        at_least += total >= seen
    return at_least / (DRAWS + 1)

"""When the k-th command of a hammer is due (pure).

Open loop: due times do not depend on replies, so a slow monitor makes commands late, never fewer, and a late command's
latency counts from when it was due (no coordinated omission).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

from qstress.model import Rate

#: Each send is moved by up to this share of the interval, so that a hammer cannot lock onto a guest's own rhythm.
JITTER_SHARE = 0.1


def due_times(rate: Rate, seed: int) -> Iterator[float]:
    """Yield the due times of an endless paced hammer, in seconds from its start, ascending.

    The k-th is ``k * interval_s`` plus a seeded jitter of at most :data:`JITTER_SHARE` of the interval, so the mean
    rate is exactly the one asked for.

    :raises ValueError: the rate is ``max``, which has no due times.
    """
    interval_s = rate.interval_s
    if interval_s is None:
        raise ValueError("rate 'max' has no due times")
    rng = random.Random(seed)
    for k in count():
        yield (k + JITTER_SHARE * rng.random()) * interval_s

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.hammer.pace import JITTER_SHARE, due_times
from qstress.model import Rate


@given(st.floats(1e-4, 10.0), st.integers(0, 2**32))
def test_due_times_keep_the_mean_rate_whatever_the_jitter(interval_s: float, seed: int) -> None:
    times = list(islice(due_times(Rate(interval_s, "x"), seed), 200))
    for k, due_s in enumerate(times):
        assert k * interval_s <= due_s <= (k + JITTER_SHARE) * interval_s * (1 + 1e-12)


def test_the_jitter_is_there_and_seeded() -> None:
    def first(seed: int) -> list[float]:
        return list(islice(due_times(Rate(0.002, "every 2ms"), seed), 10))

    assert first(1) == first(1)
    assert first(1) != first(2)
    assert len({round(due_s % 0.002, 9) for due_s in first(1)}) == 10


def test_max_has_no_due_times() -> None:
    with pytest.raises(ValueError, match="max"):
        next(due_times(Rate(None, "max"), 1))

from __future__ import annotations

import math
import random

import pytest

from qstress.stats.exact import Table
from tools.ratio import rate_ratio


def test_a_published_example() -> None:
    """Physicians' Health Study (NEJM 1989): 139 of 11,037 with aspirin, 239 of 11,034 without; 0.58 (0.47-0.72)."""
    ratio = rate_ratio(Table(139, 11_037, 239, 11_034))
    assert [round(number, 2) for number in ratio] == [0.58, 0.47, 0.72]


def test_swapped_arms_give_the_inverse() -> None:
    table = Table(12, 80, 33, 140)
    ratio, swapped = rate_ratio(table), rate_ratio(table.swapped)
    assert [ratio.value, ratio.lower, ratio.upper] == pytest.approx(
        [1 / swapped.value, 1 / swapped.upper, 1 / swapped.lower]
    )


def test_trials_that_share_a_process_say_less() -> None:
    table = Table(12, 80, 33, 140)
    wide = rate_ratio(table, index_b=4.0)
    assert wide.lower < rate_ratio(table, index_b=0.5).lower == rate_ratio(table).lower
    assert wide.upper > rate_ratio(table).upper


def test_an_arm_without_events_says_nothing() -> None:
    ratio = rate_ratio(Table(0, 50, 3, 50))
    assert math.isnan(ratio.value)
    assert (ratio.lower, ratio.upper) == (0.0, math.inf)


def test_no_table() -> None:
    with pytest.raises(ValueError, match="no table"):
        rate_ratio(Table(3, 2, 1, 2))


def test_it_covers_what_it_says() -> None:
    draw = random.Random(1)

    def events(n: int, p: float) -> int:
        return sum(draw.random() < p for _ in range(n))

    intervals = [rate_ratio(Table(events(100, 0.3), 100, events(200, 0.2), 200)) for _ in range(1000)]
    assert 0.93 <= sum(one.lower <= 1.5 <= one.upper for one in intervals) / len(intervals) <= 0.97

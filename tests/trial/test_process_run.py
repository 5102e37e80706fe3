"""Which faults one process is told to make. That trials run is shown on live guests (tests/live/test_trial.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.model import Trial
from qstress.trial.process_run import lost_pattern
from tests.samples import trial


def losing(flags: Sequence[bool]) -> list[Trial]:
    return [replace(trial(i), inject_lost_ap=flag) for i, flag in enumerate(flags)]


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ("....", (0, 4)),
        ("..x..x..x.", (3, 10)),
        ("x..x", (1, 1)),
        (".x..x", (2, 3)),
        ("xx", (1, 2)),
        ("x", (1, 1)),
    ],
)
def test_a_process_is_told_every_how_manieth_to_lose(lost: str, expected: tuple[int, int]) -> None:
    assert lost_pattern(losing([mark == "x" for mark in lost])) == expected


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_processes_one_after_another_lose_where_the_plan_says_so(flags: list[bool]) -> None:
    todo, lost = losing(flags), list[bool]()
    while todo:
        every, most = lost_pattern(todo)
        lost += [every > 0 and place % every == 0 for place in range(1, most + 1)]
        todo = todo[most:]
    assert lost == flags

from __future__ import annotations

from pathlib import Path

import pytest

from qstress.trial import events
from qstress.trial.events import Started, WatchEvent
from qstress.trial.states import ASKED_FOR, NOTED, TRANSITIONS, WatchState, Why
from tools.watch_states import drawn

PAGE = Path(__file__).parents[2] / "docs" / "watch-states.md"


def test_the_diagram_is_drawn_from_the_table() -> None:
    assert PAGE.read_text() == drawn(), "run: python -m tools.watch_states > docs/watch-states.md"


def test_every_state_can_be_reached_and_every_one_leads_to_a_verdict() -> None:
    leads = {state: {after for (before, _, _), after in TRANSITIONS.items() if before is state} for state in WatchState}
    for state in WatchState:
        reached, todo = {state}, [state]
        while todo:
            todo += (more := leads[todo.pop()] - reached)
            reached |= more
        assert WatchState.DECIDED in reached
        if state is WatchState.READY:
            assert reached == set(WatchState)


def test_every_event_is_in_the_table_or_taken_note_of_and_never_both() -> None:
    in_table = {kind for _, kind, _ in TRANSITIONS}
    assert in_table | set(NOTED) == {
        kind for kind in vars(events).values() if getattr(kind, "__base__", None) is WatchEvent
    }
    assert in_table & set(NOTED) == set()


@pytest.mark.parametrize("state", list(ASKED_FOR))
def test_a_state_that_asks_is_left_by_an_answer_and_never_by_a_tick(state: WatchState) -> None:
    answers = {kind for before, kind, _ in TRANSITIONS if before is state}
    assert answers
    assert not answers & {events.Tick, events.Enough, Started}


def test_two_ways_out_of_a_state_by_one_event_are_told_apart() -> None:
    for before, kind, why in TRANSITIONS:
        others = [row for row in TRANSITIONS if row[:2] == (before, kind)]
        assert (why is Why.ALWAYS) is (len(others) == 1)

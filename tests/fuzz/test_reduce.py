"""Recordings get smaller while they still show: on a made-up fault, certain or racy."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.fuzz.exchange import Exchange
from qstress.fuzz.ops import Await, MeasureFootprint, Open, Send, To
from qstress.fuzz.oracles.oracle import Fault
from qstress.fuzz.oracles.state import STATE_QUERIES
from qstress.fuzz.recording import Recording
from qstress.fuzz.reduce import LINGER_S, MAX_PLAYS, Reducer, ddmin, grouped, plays_needed, simpler
from qstress.fuzz.replay import Replayed
from tests.fuzz.test_recording import SAMPLE, STOP

Play = Callable[[Recording], Replayed]
FAULT = Fault("crash", "crash: SIGSEGV at bad", "bad", ("because",))
HEAD = SAMPLE.steps[0]


def qmp(number: int, command: str = "query-status", **arguments: object) -> Send:
    data = json.dumps({"execute": command, "arguments": arguments, "id": f"q{number}"}).encode() + b"\n"
    return Send(To.QMP, data, Await.REPLY, f"q{number}", command)


def recording(*steps: Exchange, arguments: tuple[str, ...] = ("-machine", "pc", "-device", "x")) -> Recording:
    return replace(SAMPLE, steps=(HEAD, *steps), arguments=arguments)


def commands(made: Recording) -> list[str]:
    return [send.command for send in made.sends]


def needs(*wanted: str, when: Callable[[], bool] = lambda: True) -> Play:
    """A QEMU that crashes once it was sent all of *wanted*, in this order."""

    def play(made: Recording) -> Replayed:
        left = list(wanted)
        for send in made.sends:
            if left and left[0].encode() in send.data:
                left.pop(0)
        changing = frozenset(send.ident for send in made.sends if not send.command.startswith("query-"))
        return Replayed(None if left or not when() else FAULT, (), changing)

    return play


def life(length: int, **marked: str) -> Recording:
    """A life of batches; *marked* says which numbers are which commands."""
    sends = [
        qmp(number, marked.get(f"n{number}", "query-status" if number % 2 else "resize")) for number in range(length)
    ]
    steps = [Exchange("qmp", tuple(sends[at : at + 8])) for at in range(0, length, 8)]
    return recording(*steps)


def test_one_command_is_left_of_a_long_life() -> None:
    made = Reducer(needs("bad"), budget_s=60).reduce(life(1000, n500="bad"))
    assert commands(made.recording) == ["bad"]
    assert made.recording.steps[0] == HEAD
    assert (made.shown, made.tried, made.note) == (5, 5, "")
    assert made.recording.title == FAULT.title
    assert made.recording.arguments == ()


def test_what_must_come_before_is_kept_and_so_is_its_order() -> None:
    made = Reducer(needs("first", "second", "bad"), budget_s=60).reduce(
        life(400, n3="first", n200="second", n390="bad")
    )
    assert commands(made.recording) == ["first", "second", "bad"]


def test_arguments_that_do_not_matter_go() -> None:
    bad = qmp(1, "bad", keep={"deep": ["x", "needle"], "other": 1}, drop=[1, 2], long="y" * 100)
    made = Reducer(needs('"needle"'), budget_s=60).reduce(recording(Exchange("qmp", (bad,))))
    assert json.loads(made.recording.sends[0].data)["arguments"] == {"keep": {"deep": ["needle"]}}


def test_guest_options_that_do_not_matter_go() -> None:
    base = needs("bad")

    def play(made: Recording) -> Replayed:
        return base(made) if "x" in made.arguments else Replayed(None)

    made = Reducer(play, budget_s=60).reduce(life(20, n5="bad"))
    assert made.recording.arguments == ("-device", "x")


def test_a_racy_fault_is_kept_and_said_to_be_racy() -> None:
    dice = Random(7)
    made = Reducer(needs("bad", when=lambda: dice.random() < 0.4), budget_s=60).reduce(life(200, n150="bad"))
    assert commands(made.recording) == ["bad"]
    assert 0 < made.shown < made.tried
    assert made.note == "racy: a command that matters was dropped with a chance of at most 5%"


def test_what_never_shows_again_is_left_as_it_is() -> None:
    before = life(40, n5="bad")
    made = Reducer(needs("bad", when=lambda: False), budget_s=0.2).reduce(before)
    assert (made.recording, made.shown, made.note) == (before, 0, "no replay showed it again")
    assert made.tried >= 3


def test_a_crash_that_needs_time_is_waited_for() -> None:
    base = needs("bad")

    def play(made: Recording) -> Replayed:
        return base(made) if made.linger_s else Replayed(None)

    made = Reducer(play, budget_s=0.5).reduce(life(40, n5="bad"))
    assert made.recording.linger_s > 0
    assert "bad" in commands(made.recording)


def test_a_crash_that_comes_later_does_not_keep_what_only_gave_it_time() -> None:
    """It comes ten commands after what brings it about, or while QEMU is watched."""

    def play(made: Recording) -> Replayed:
        at = next((number for number, send in enumerate(made.sends) if send.command == "bad"), None)
        late = at is not None and (len(made.sends) - at > 10 or made.linger_s >= 0.6)
        watched = at is not None and len(made.sends) - at <= 10
        return Replayed(FAULT if late else None, (), frozenset(("q300",)), 0.1 if watched else 0.0)

    made = Reducer(play, budget_s=60).reduce(life(400, n300="bad"))
    assert commands(made.recording) == ["bad"]
    assert 0.6 <= made.recording.linger_s < LINGER_S
    assert (made.shown, made.note) == (5, "")


def test_refused_commands_may_matter_where_reading_ones_do_not() -> None:
    base, lengths = needs("closes", "bad"), []

    def play(made: Recording) -> Replayed:
        lengths.append(len(made.sends))
        return replace(base(made), changing=frozenset())

    made = Reducer(play, budget_s=60).reduce(life(2000, n3="closes", n1990="bad"))
    assert commands(made.recording) == ["closes", "bad"]
    assert 1001 in lengths  # all that read, half of them and one less, went at once


def test_a_step_that_lost_it_is_taken_back_and_the_others_are_not() -> None:
    """What shows by chance once without an option of the guest is not left without it."""
    base, lucky = needs("bad"), [True]

    def play(made: Recording) -> Replayed:
        if made.arguments == SAMPLE_ARGUMENTS:
            return base(made)
        return base(made) if lucky and lucky.pop() else Replayed(None)

    SAMPLE_ARGUMENTS = ("-machine", "pc", "-device", "x")
    made = Reducer(play, budget_s=60).reduce(life(100, n50="bad"))
    assert commands(made.recording) == ["bad"]
    assert made.recording.arguments == SAMPLE_ARGUMENTS
    assert (made.shown, made.tried) == (5, 5)


def test_few_questions_are_asked_of_a_long_list() -> None:
    asked = 0

    def shows(kept: list[int]) -> bool:
        nonlocal asked
        asked += 1
        return {100, 500, 900} <= set(kept)

    assert ddmin(list(range(1000)), shows) == [100, 500, 900]
    assert asked < 70


def test_what_is_lost_at_the_end_is_told_as_it_was_before() -> None:
    plays = 0
    base = needs("bad")

    def play(made: Recording) -> Replayed:
        nonlocal plays
        plays += 1
        return base(made) if plays < 8 else Replayed(None)

    before = life(200, n3="bad")
    made = Reducer(play, budget_s=60).reduce(before)
    assert (made.recording, made.shown, made.tried) == (before, 3, 3)
    assert made.note.startswith("racy: the last steps of making it smaller lost it")


def test_it_stops_when_its_time_is_up() -> None:
    made = Reducer(needs("bad"), budget_s=0).reduce(life(40, n5="bad"))
    assert len(made.recording.sends) == 40
    assert made.shown == 5


@pytest.mark.parametrize(("by_itself", "shown"), [(False, 5), (True, 0)])
def test_a_state_that_changes_without_the_refused_command_is_no_finding(by_itself: bool, shown: int) -> None:
    fault = Fault("state", "refused resize changed query-status", "resize")

    def play(made: Recording) -> Replayed:
        blamed = any(send.command == ("qstress-placebo" if by_itself else "resize") for send in made.sends)
        begun = any(send.command == "migrate" for send in made.sends)
        shows = begun and (blamed or (by_itself and any(send.command == "resize" for send in made.sends)))
        return Replayed(fault if shows else None, (), frozenset(("q1",)))

    look = Send(To.QMP, b"", Await.REPLY, "s3", "query-status")
    steps = Exchange("qmp", (qmp(1, "migrate"),)), Exchange("qmp", (qmp(2, "resize"), look))
    state = replace(recording(*steps), kind="state", title=fault.title)
    made = Reducer(play, budget_s=60).reduce(state)
    assert made.shown == shown
    assert (made.note == "it changes by itself too") is by_itself


def test_a_state_is_looked_at_again_right_before_it_changes_so_that_all_else_may_go() -> None:
    fault = Fault("state", "refused resize changed query-status", "resize")

    def play(made: Recording) -> Replayed:
        known, begun = False, False
        for step in made.steps:
            sends = [op for op in step.ops if isinstance(op, Send)]
            looks = sum(op.ident.startswith("s") for op in sends) == len(STATE_QUERIES)
            begun = begun or any(b"needle" in op.data for op in sends)
            if known and begun and looks and any(op.command == "resize" for op in sends):
                return Replayed(fault, (), frozenset(("q7",)))
            known = looks
        return Replayed(None, (), frozenset(("q7",)))

    look = [Send(To.QMP, b"", Await.REPLY, f"s{number}", name) for number, (name, _) in enumerate(STATE_QUERIES)]
    first = Exchange("qmp", (qmp(7, "migrate", a="needle", b=1), *look))
    last = Exchange("qmp", (*(qmp(number) for number in range(90, 99)), qmp(99, "resize"), *look))
    state = replace(recording(first, *life(200).steps[1:], last), kind="state", title=fault.title)
    made = Reducer(play, budget_s=60).reduce(state)
    assert [send.command for send in made.recording.sends] == ["migrate", "resize"]
    assert made.shown == 5


def test_probes_and_pieces_stay_whole() -> None:
    probe = Exchange("probe-again", (qmp(1, "bad"), MeasureFootprint(), qmp(2, "bad"), MeasureFootprint()))
    made = Reducer(needs("bad", "bad"), budget_s=60).reduce(recording(*life(40).steps[1:], probe))
    assert made.recording.steps[1:] == (probe,)
    cut = Exchange(
        "pieces", (Send(To.QMP, b'{"execute": "ba', Await.NOTHING), Send(To.QMP, b'd"}', Await.REPLY, "q1", "bad"))
    )
    made = Reducer(needs('{"execute": "ba', 'd"}'), budget_s=60).reduce(recording(*life(40).steps[1:], cut))
    assert made.recording.steps[1:] == (cut,)


@given(st.lists(st.integers(0, 30), max_size=30), st.sets(st.integers(0, 30), max_size=4))
def test_ddmin_keeps_what_is_needed_and_nothing_else(items: list[int], needed: set[int]) -> None:
    def shows(kept: list[int]) -> bool:
        return needed & set(items) <= set(kept)

    small = ddmin(items, shows)
    assert set(small) == needed & set(items)
    assert len(small) == len(set(small))


@pytest.mark.parametrize(("shown", "tried", "plays"), [(3, 3, 1), (1, 3, 8), (2, 3, 3), (1, 30, MAX_PLAYS)])
def test_a_racier_fault_is_played_more_often(shown: int, tried: int, plays: int) -> None:
    assert plays_needed(shown, tried) == plays


def test_simpler_messages_are_valid_and_what_is_no_message_has_none() -> None:
    for made in simpler(qmp(1, "x", a={"b": [1, "z" * 20]}).data):
        assert json.loads(made)["execute"] == "x"
    assert list(simpler(STOP.data)) == list(simpler(b"\xff{")) == list(simpler(b"[" * 5000)) == []


def test_options_are_grouped_with_their_values() -> None:
    words = ("-S", "-m", "32M", "-device", "x,y=-1", "-usb")
    assert list(grouped(words)) == [("-S",), ("-m", "32M"), ("-device", "x,y=-1"), ("-usb",)]


def test_the_first_step_connects() -> None:
    assert isinstance(HEAD.ops[0], Open)

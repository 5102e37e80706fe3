"""A refused command must not change anything, and what may change by itself is no fault."""

from __future__ import annotations

import pytest

from qstress.fuzz.ops import Await, Send, To
from qstress.fuzz.oracles.state import STATE_QUERIES, StateOracle, state_of
from tests.fuzz.oracles.samples import REFUSED, STOP_EVENT, Judged, send, state
from tests.fuzz.samples import reply


def test_state_is_what_exists_without_what_moves_by_itself() -> None:
    answers = [b'{"return": {"status": "running"}}', b'{"return": [{"name": "o1"}]}', b'{"return": []}',
               b'{"return": [{"label": "c0", "frontend-open": true}]}',
               b'{"return": [{"node-name": "n0", "iops": 5}, {"node-name": "#block1"}]}']  # fmt: skip
    assert len(answers) == len(STATE_QUERIES)
    moved = [answer.replace(b"true", b"false").replace(b": 5", b": 6") for answer in answers]
    assert state_of(answers) == state_of(moved)
    assert state_of(answers) != state_of([answer.replace(b"o1", b"o2") for answer in answers])
    assert state_of([*answers[:-1], None]) is None
    assert state_of([*answers[:-1], b'{"id": "s5", "error": {"class": "x"}}']) is None
    assert state_of(answers[:-1]) is None


def test_a_refused_command_that_changed_something_is_a_fault() -> None:
    guest, (queries, before), (_, after) = Judged(StateOracle), state("n0"), state("n0", "n1")
    assert guest.faults([send("stop"), *queries], [reply("q1", {}), *before]) == []
    (fault,) = guest.faults([send("qom-set", property="x"), *queries], [REFUSED, *after])
    assert (fault.kind, fault.title) == ("state", "refused qom-set x changed query-named-block-nodes")
    assert fault.because == ("query-named-block-nodes: [b'n1']",)
    assert guest.faults([send("qom-set"), *queries], [REFUSED, *after]) == []


@pytest.mark.parametrize(
    ("first", "kind", "strays"),
    [
        (reply("q1", {}), "qmp", ()),  # it was carried out
        (REFUSED, "lifecycle", ()),
        (REFUSED, "qmp", (STOP_EVENT,)),  # something else went on
    ],
)
def test_what_may_change_by_itself_is_no_fault(first: bytes, kind: str, strays: tuple[bytes, ...]) -> None:
    guest, (queries, before), (_, after) = Judged(StateOracle), state("n0"), state()
    guest.faults([send("stop"), *queries], [reply("q1", {}), *before])
    assert guest.faults([send("qom-set"), *queries], [first, *after], kind, strays=strays) == []


def test_a_run_state_may_change_once_a_migration_was_begun_and_nothing_else_may() -> None:
    guest, (queries, before), (_, after), (_, both) = Judged(StateOracle), state("n0"), state("n0"), state("n0", "n1")
    for results in (after, both):
        results[0] = reply("s0", {"running": False, "status": "postmigrate"})
    guest.faults([send("migrate", uri="x"), *queries], [reply("q1", {}), *before])
    assert guest.faults([send("qom-set"), *queries], [REFUSED, *after]) == []
    guest.faults([send("cont"), *queries], [reply("q1", {}), *before])
    (fault,) = guest.faults([send("qom-set"), *queries], [REFUSED, *both])
    assert fault.title == "refused qom-set changed query-status, query-named-block-nodes"


def test_the_state_is_forgotten_when_something_unseen_may_have_changed_it() -> None:
    guest, (queries, before), (_, after) = Judged(StateOracle), state("n0"), state()
    guest.faults([send("stop"), *queries], [reply("q1", {}), *before])
    guest.faults([Send(To.HMP, b"drive_del n0\n", Await.PROMPT, command="drive_del")], [b"x\r\n(qemu) "], "hmp")
    assert guest.faults([send("qom-set"), *queries], [REFUSED, *after]) == []


def test_what_blames_one_command_is_among_what_blames_several() -> None:
    alone, several = "refused b changed query-chardev", "refused a or b or c changed query-chardev"
    assert StateOracle().blames_among_others(alone, several)
    assert not StateOracle().blames_among_others(several, alone)
    assert not StateOracle().blames_among_others(alone, "refused a or c changed query-chardev")
    assert not StateOracle().blames_among_others(alone, "refused b changed query-status")

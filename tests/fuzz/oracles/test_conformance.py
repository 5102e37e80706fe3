"""Replies and stray lines that break the protocol or the schema."""

from __future__ import annotations

from qstress.fuzz.exchange import Stall
from qstress.fuzz.ops import Await, Send, To
from qstress.fuzz.oracles.conformance import ConformanceOracle
from tests.fuzz.oracles.samples import STOP_EVENT, Judged, send, state
from tests.fuzz.samples import reply


def test_nothing_is_wrong_with_a_good_exchange() -> None:
    ops, results = state("n0")
    good = [send("stop"), *ops], [reply("q1", {}), *results]
    assert Judged(ConformanceOracle).faults(*good, strays=(STOP_EVENT,)) == []


def test_broken_replies_and_stray_lines_are_faults() -> None:
    guest = Judged(ConformanceOracle)
    (fault,) = guest.faults([send("query-status")], [reply("q1", {"running": 5, "status": ""})])
    assert fault.title == "query-status: reply breaks the schema: .running is int, not boolean"
    (fault,) = guest.faults([send("stop")], [reply("q1", {})], strays=(reply("q1", {}),))
    assert (fault.kind, fault.title) == ("protocol", "stop: two replies to one command")
    assert fault.telling == '"id": "q1"'
    (fault,) = guest.faults(
        [send("stop"), send("cont", "q2")], [reply("q1", {}), reply("q2", {})], strays=(b'{"return": {}}',)
    )
    assert fault.title == "reply without an id"


def test_a_second_reply_is_blamed_on_the_exchange_before() -> None:
    guest = Judged(ConformanceOracle)
    assert guest.faults([send("stop"), send("cont", "q2")], [reply("q1", {}), reply("q2", {})]) == []
    (fault,) = guest.faults([send("quit", "q3")], [reply("q3", {})], strays=(reply("q2", {}),))
    assert fault.title == "cont: two replies to one command"


def test_an_event_that_the_schema_lacks_is_a_fault() -> None:
    (fault,) = Judged(ConformanceOracle).faults([], [], strays=(STOP_EVENT.replace(b"STOP", b"SHUTDOWN"),))
    assert fault.title == "event that the schema lacks"


def test_a_late_reply_to_a_stalled_command_is_fine() -> None:
    stop = send("stop")
    stall = Stall(stop, To.QMP, 10.0, True, True, 0.0)
    assert Judged(ConformanceOracle).faults([stop], [None], stall=stall, strays=(reply("q1", {}),)) == []


def test_corrupt_bytes_are_answered_by_errors_without_an_id_and_that_is_fine() -> None:
    ops = [Send(To.QMP, b"{]", Await.NOTHING), send("query-yank")]
    results = [None, reply("q1", [])]
    assert Judged(ConformanceOracle).faults([*ops], [*results], "corrupt", strays=(b'{"error": {}}',)) == []

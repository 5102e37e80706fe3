"""Every oracle over exchanges: what is a fault, what is a note, and what is nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from qstress.fuzz.generator import Exchange, Judged
from qstress.fuzz.judge import Fault, Judge, Kind
from qstress.fuzz.ops import Await, End, Footprint, Measure, Op, Result, Send, To
from qstress.fuzz.oracles import REPEATS_AGAIN, STATE_QUERIES
from qstress.fuzz.played import Ended, Played, Stall
from qstress.fuzz.protocol import Reader
from tests.fuzz.samples import reply, schema

STOP = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}'
REFUSED = b'{"id": "q1", "error": {"class": "GenericError", "desc": "no"}}'


class Bench:
    """A judge, fed by hand."""

    def __init__(self) -> None:
        self.reader = Reader(schema())
        self.judge = Judge(self.reader, host_bytes=1 << 34)

    def faults(self, ops: list[Op], results: list[Result], kind: str = "qmp", **played: object) -> list[Fault]:
        made = replace(Played(0.0, tuple(results)), **played)  # type: ignore[arg-type]
        judged = [
            Judged(op, self.reader.read(op, result if isinstance(result, bytes) else None))
            for op, result in zip(ops, results, strict=True)
            if isinstance(op, Send) and op.wait is not Await.NOTHING
        ]
        return self.judge.judge(Exchange(kind, tuple(ops), ()), made, judged)


def send(command: str, ident: str = "q1", **arguments: object) -> Send:
    data = json.dumps({"execute": command, "arguments": arguments, "id": ident}).encode() + b"\n"
    return Send(To.QMP, data, Await.REPLY, ident, command)


def state(*nodes: str) -> tuple[list[Op], list[Result]]:
    """The state queries, with these block nodes in their answers."""
    ops = [Send(To.QMP, b"", Await.REPLY, f"s{at}", name) for at, (name, _) in enumerate(STATE_QUERIES)]
    values: list[object] = [{"running": True, "status": "running"}, [], [], [], [{"node-name": node} for node in nodes]]
    return list(ops), [reply(op.ident, value) for op, value in zip(ops, values, strict=True)]


def test_nothing_is_wrong_with_a_good_exchange() -> None:
    ops, results = state("n0")
    assert Bench().faults([send("stop"), *ops], [reply("q1", {}), *results], strays=(STOP,)) == []


def test_a_crash_is_blamed_on_the_first_command_without_an_answer() -> None:
    (fault,) = Bench().faults(
        [send("stop"), send("cont", "q2"), send("resize", "q3")],
        [reply("q1", {}), None, None],
        ended=Ended(-11, "words"),
    )
    assert (fault.kind, fault.title, fault.suspect) == (Kind.CRASH, "crash: SIGSEGV at cont", "cont")


def test_the_sandbox_speaking_is_a_note() -> None:
    (fault,) = Bench().faults([send("stop")], [None], ended=Ended(-31, ""))
    assert fault.kind is Kind.NOTE


@pytest.mark.parametrize("command", ["quit", "system_powerdown"])
def test_an_end_that_was_asked_for_is_none(command: str) -> None:
    bench = Bench()
    assert bench.faults([send(command)], [reply("q1", {})]) == []
    assert bench.faults([send("stop")], [None], ended=Ended(0, "")) == []


def test_an_end_that_was_announced_is_none_and_a_silent_one_is_a_crash() -> None:
    told = STOP.replace(b"STOP", b"SHUTDOWN")
    assert [fault.kind for fault in Bench().faults([send("stop")], [None], ended=Ended(0, ""), strays=(told,))] == [
        Kind.PROTOCOL  # the sample's schema has no such event
    ]
    assert [fault.title for fault in Bench().faults([send("stop")], [None], ended=Ended(0, ""))] == [
        "crash: exit status 0 at stop"
    ]


def test_a_quit_that_does_not_end_qemu_is_a_stall() -> None:
    (fault,) = Bench().faults([send("quit"), End(10.0)], [reply("q1", {}), None], "quit", lingers=True)
    assert (fault.kind, fault.suspect) == (Kind.STALL, "quit")


def test_stalls_name_the_command_and_the_picture() -> None:
    stop = send("stop")
    (fault,) = Bench().faults([stop], [None], stall=Stall(stop, To.QMP, 10.0, False, False, 0.9))
    assert fault.title == "no reply to stop: the main loop is busy"
    line = Send(To.HMP, b"info status\n", Await.PROMPT, command="info status")
    assert fault.because[0].endswith("QEMU has read all that was sent")
    (unread,) = Bench().faults([stop], [None], stall=Stall(stop, To.QMP, 10.0, True, True, 0.0, unread=True))
    assert unread.because[0].endswith("QEMU has not read all that was sent")
    (fault,) = Bench().faults([line], [None], "hmp", stall=Stall(line, To.HMP, 10.0, True, True, 0.0))
    assert fault.title == "no prompt after hmp info status: only this monitor is silent"
    (fault,) = Bench().faults([], [], stall=Stall(None, To.HMP, 10.0, True, True, 0.0))
    assert fault.title == "no reply to hmp: connect: only this monitor is silent"


def test_a_monitor_that_is_hung_up_on_is_a_fault() -> None:
    (fault,) = Bench().faults([send("stop")], [None], hung_up=True)
    assert fault.title == "QEMU hung up on a monitor at stop and lives"


def test_broken_replies_and_stray_lines_are_faults() -> None:
    bench = Bench()
    (fault,) = bench.faults([send("query-status")], [reply("q1", {"running": 5, "status": ""})])
    assert fault.title == "query-status: reply breaks the schema: .running is int, not boolean"
    (fault,) = bench.faults([send("stop")], [reply("q1", {})], strays=(reply("q1", {}),))
    assert fault.title == "stop: two replies to one command"
    (fault,) = bench.faults(
        [send("stop"), send("cont", "q2")], [reply("q1", {}), reply("q2", {})], strays=(b'{"return": {}}',)
    )
    assert fault.title == "reply without an id"


def test_corrupt_bytes_are_answered_by_errors_without_an_id_and_that_is_fine() -> None:
    garbage = Send(To.QMP, b"{]", Await.NOTHING)
    assert (
        Bench().faults([garbage, send("query-yank")], [None, reply("q1", [])], "corrupt", strays=(b'{"error": {}}',))
        == []
    )


def test_a_refused_command_that_changed_something_is_a_fault() -> None:
    bench, (queries, before), (_, after) = Bench(), state("n0"), state("n0", "n1")
    assert bench.faults([send("stop"), *queries], [reply("q1", {}), *before]) == []
    (fault,) = bench.faults([send("qom-set", property="x"), *queries], [REFUSED, *after])
    assert (fault.kind, fault.title) == (Kind.STATE, "refused qom-set x changed query-named-block-nodes")
    assert bench.faults([send("qom-set"), *queries], [REFUSED, *after]) == []


@pytest.mark.parametrize(
    ("first", "kind", "strays"),
    [
        (reply("q1", {}), "qmp", ()),  # it was carried out
        (REFUSED, "lifecycle", ()),
        (REFUSED, "qmp", (STOP,)),  # something else went on
    ],
)
def test_what_may_change_by_itself_is_no_fault(first: bytes, kind: str, strays: tuple[bytes, ...]) -> None:
    bench, (queries, before), (_, after) = Bench(), state("n0"), state()
    bench.faults([send("stop"), *queries], [reply("q1", {}), *before])
    assert bench.faults([send("qom-set"), *queries], [first, *after], kind, strays=strays) == []


def test_a_run_state_may_change_once_a_migration_was_begun_and_nothing_else_may() -> None:
    bench, (queries, before), (_, after), (_, both) = Bench(), state("n0"), state("n0"), state("n0", "n1")
    for results in (after, both):
        results[0] = reply("s0", {"running": False, "status": "postmigrate"})
    bench.faults([send("migrate", uri="x"), *queries], [reply("q1", {}), *before])
    assert bench.faults([send("qom-set"), *queries], [REFUSED, *after]) == []
    bench.faults([send("cont"), *queries], [reply("q1", {}), *before])
    (fault,) = bench.faults([send("qom-set"), *queries], [REFUSED, *both])
    assert fault.title == "refused qom-set changed query-status, query-named-block-nodes"


def test_the_state_is_forgotten_when_something_unseen_may_have_changed_it() -> None:
    bench, (queries, before), (_, after) = Bench(), state("n0"), state()
    bench.faults([send("stop"), *queries], [reply("q1", {}), *before])
    bench.faults([Send(To.HMP, b"drive_del n0\n", Await.PROMPT, command="drive_del")], [b"x\r\n(qemu) "], "hmp")
    assert bench.faults([send("qom-set"), *queries], [REFUSED, *after]) == []


def test_growth_counts_when_it_was_probed_again() -> None:
    looks = [Footprint(20, round_ * REPEATS_AGAIN * 4096) for round_ in range(4)]
    ops: list[Op] = [send("query-status"), *(Measure() for _ in looks)]
    results: list[Result] = [reply("q1", {"running": True, "status": ""}), *looks]
    assert Bench().faults(ops, results, "probe") == []
    (fault,) = Bench().faults(ops, results, "probe-again")
    assert (fault.kind, fault.title) == (Kind.LEAK, "query-status leaks memory")
    assert fault.because[0] == "each costs 4096 bytes and 0.00 descriptors, in every round"

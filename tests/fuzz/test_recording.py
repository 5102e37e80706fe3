"""A recording goes to disk and comes back, and knows its fault again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from qstress.errors import ConfigError
from qstress.fuzz.generator import Exchange
from qstress.fuzz.judge import Fault, Kind
from qstress.fuzz.ops import Await, Close, Footprint, Measure, Open, Send, To
from qstress.fuzz.played import Played
from qstress.fuzz.recording import (
    KEPT_BYTES,
    Recording,
    Step,
    from_bytes,
    recording_of,
    signature,
    to_bytes,
    trace_line,
)
from tests.fuzz.samples import reply

CAPABILITIES = Send(To.QMP, b'{"execute": "qmp_capabilities", "id": "r1"}\n', Await.REPLY, "r1", "qmp_capabilities")
STOP = Send(To.QMP, b'{"execute": "stop", "id": "q2"}\n', Await.REPLY, "q2", "stop")
LOOK = Send(To.QMP, b'{"execute": "query-status", "id": "s3"}\n', Await.REPLY, "s3", "query-status")
SAMPLE = Recording(
    "crash: SIGSEGV at stop", Kind.CRASH, "/usr/bin/qemu", "7.2.22", ("-machine", "pc"), (("A", "b c"),),
    (Step("planned", (Open(To.QMP), CAPABILITIES, Open(To.HMP))), Step("qmp", (STOP, LOOK)),
     Step("corrupt", (Send(To.QMP, b"\xff\n", Await.NOTHING), Close(To.QMP), Measure()))),
    "telling", 5.0,
)  # fmt: skip


def test_a_recording_survives_the_disk() -> None:
    assert from_bytes(to_bytes(SAMPLE), "repro.jsonl") == SAMPLE
    head, *steps = to_bytes(SAMPLE).splitlines()
    assert json.loads(head)["arguments"] == ["-machine", "pc"]
    assert len(steps) == 3


@pytest.mark.parametrize(
    "data",
    [b"", b"{}\n", to_bytes(SAMPLE).replace(b'"format": 1', b'"format": 2'), to_bytes(SAMPLE) + b'{"kind": "x"}\n',
     to_bytes(SAMPLE).replace(b'"kind": "crash"', b'"kind": "?"'), to_bytes(SAMPLE)[:-20]],
)  # fmt: skip
def test_what_is_no_recording_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"repro\.jsonl|not an op"):
        from_bytes(data, "repro.jsonl")


def test_what_is_sent_does_not_count_the_negotiation_and_our_own_looks() -> None:
    assert [send.data for send in SAMPLE.sends] == [STOP.data, b"\xff\n"]


def test_a_command_that_is_probed_for_growth_counts_once() -> None:
    probe = Step("probe-again", tuple(replace(STOP, ident=f"q{number + 9}") for number in range(600)))
    assert SAMPLE.commands == 2
    assert replace(SAMPLE, steps=(*SAMPLE.steps, probe)).commands == 3


@pytest.mark.parametrize(
    ("kind", "title", "other", "same"),
    [
        (Kind.CRASH, "crash: SIGSEGV at stop", "crash: SIGSEGV at cont", True),
        (Kind.CRASH, "crash: SIGSEGV at stop", "crash: SIGFPE at stop", False),
        (Kind.CRASH, "crash: SIGABRT: a.c: f", "crash: SIGABRT: b.c: f", False),
        (Kind.STALL, "no reply to stop: the main loop is busy", "no reply to hmp sum: the main loop is busy", True),
        (Kind.STALL, "no reply to stop: the main loop is busy", "no reply to stop: only this monitor is silent", False),
        (Kind.STATE, "refused a or b changed query-chardev", "refused b changed query-chardev", True),
        (Kind.HUNG_UP, "QEMU hung up on a monitor at stop and lives", "QEMU hung up on a monitor at x and lives", True),
        (Kind.PROTOCOL, "stop: not JSON: inf", "cont: not JSON: inf", False),
        (Kind.LEAK, "stop leaks memory", "stop leaks descriptors", False),
    ],
)
def test_a_fault_is_known_again_while_its_neighbours_go(kind: Kind, title: str, other: str, same: bool) -> None:
    recording = replace(SAMPLE, kind=kind, title=title)
    assert recording.shows(Fault(kind, other, "")) is same
    assert not recording.shows(Fault(Kind.NOTE, title, ""))
    assert (signature(kind, title) == signature(kind, other)) is same


def test_a_recording_is_made_of_the_exchanges_up_to_the_fault() -> None:
    exchanges = [Exchange(step.kind, step.ops, ()) for step in SAMPLE.steps]
    made = recording_of(Fault(Kind.LEAK, "x", "y", telling="z"), exchanges, replace(SAMPLE, steps=()))
    assert (made.title, made.kind, made.steps, made.telling) == ("x", Kind.LEAK, SAMPLE.steps, "z")


def test_a_trace_line_has_times_answers_and_what_else_came_cut_to_size() -> None:
    exchange = Exchange("qmp", (STOP, Measure()), (None, None))
    line = trace_line(exchange, Played(1.5, (reply("q2", "x" * KEPT_BYTES), Footprint(3, 4)), (b'{"event"\xff',)))
    assert json.loads(json.dumps(line)) == line
    assert (line["at_s"], line["kind"], len(line["ops"])) == (1.5, "qmp", 2)
    assert line["results"][0].endswith(f"… ({KEPT_BYTES + 26} bytes)")
    assert line["results"][1] == {"descriptors": 3, "anon_bytes": 4}
    assert line["strays"] == ['{"event"ÿ']

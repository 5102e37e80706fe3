"""What a recording sends, how many commands that is, and how it goes to disk and comes back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from qstress.errors import ConfigError
from qstress.fuzz.exchange import Exchange, ExchangeOutcome
from qstress.fuzz.ops import Await, Close, Footprint, MeasureFootprint, Open, Send, To
from qstress.fuzz.recording import KEPT_BYTES, Recording, from_bytes, to_bytes, trace_line
from tests.fuzz.samples import reply

CAPABILITIES = Send(To.QMP, b'{"execute": "qmp_capabilities", "id": "r1"}\n', Await.REPLY, "r1", "qmp_capabilities")
STOP = Send(To.QMP, b'{"execute": "stop", "id": "q2"}\n', Await.REPLY, "q2", "stop")
LOOK = Send(To.QMP, b'{"execute": "query-status", "id": "s3"}\n', Await.REPLY, "s3", "query-status")
SAMPLE = Recording(
    "crash: SIGSEGV at stop", "crash", "/usr/bin/qemu", "7.2.22", ("-machine", "pc"), (("A", "b c"),),
    (Exchange("planned", (Open(To.QMP), CAPABILITIES, Open(To.HMP))), Exchange("qmp", (STOP, LOOK)),
     Exchange("corrupt", (Send(To.QMP, b"\xff\n", Await.NOTHING), Close(To.QMP), MeasureFootprint()))),
    "telling", 5.0,
)  # fmt: skip


def test_what_is_sent_does_not_count_the_negotiation_and_our_own_looks() -> None:
    assert [send.data for send in SAMPLE.sends] == [STOP.data, b"\xff\n"]


def test_a_command_that_is_probed_for_growth_counts_once() -> None:
    probe = Exchange("probe-again", tuple(replace(STOP, ident=f"q{number + 9}") for number in range(600)))
    assert SAMPLE.commands == 2
    assert replace(SAMPLE, steps=(*SAMPLE.steps, probe)).commands == 3


def test_a_recording_survives_the_disk() -> None:
    assert from_bytes(to_bytes(SAMPLE), "repro.jsonl") == SAMPLE
    head, *steps = to_bytes(SAMPLE).splitlines()
    assert json.loads(head)["arguments"] == ["-machine", "pc"]
    assert len(steps) == 3


@pytest.mark.parametrize(
    "data",
    [b"", b"{}\n", to_bytes(SAMPLE).replace(b'"format": 1', b'"format": 2'), to_bytes(SAMPLE) + b'{"kind": "x"}\n',
     to_bytes(SAMPLE).replace(b'"kind": "crash",', b""), to_bytes(SAMPLE)[:-20]],
)  # fmt: skip
def test_what_is_no_recording_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"repro\.jsonl|not an op"):
        from_bytes(data, "repro.jsonl")


def test_a_trace_line_has_times_answers_and_what_else_came_cut_to_size() -> None:
    exchange = Exchange("qmp", (STOP, MeasureFootprint()))
    outcome = ExchangeOutcome(1.5, (reply("q2", "x" * KEPT_BYTES), Footprint(3, 4)), (b'{"event"\xff',))
    line = trace_line(exchange, outcome)
    assert json.loads(json.dumps(line)) == line
    assert (line["at_s"], line["kind"], len(line["ops"])) == (1.5, "qmp", 2)
    assert line["results"][0].endswith(f"… ({KEPT_BYTES + 26} bytes)")
    assert line["results"][1] == {"descriptors": 3, "anon_bytes": 4}
    assert line["strays"] == ['{"event"ÿ']
    assert "strays" not in trace_line(exchange, ExchangeOutcome(1.5, ()))

"""A recording goes to disk and comes back; a trace says when and what came."""

from __future__ import annotations

import json

import pytest

from qstress.errors import ConfigError
from qstress.fuzz.exchange import Exchange, ExchangeOutcome
from qstress.fuzz.ops import Footprint, MeasureFootprint
from qstress.fuzz.transcript import KEPT_BYTES, from_bytes, to_bytes, trace_line
from tests.fuzz.samples import reply
from tests.fuzz.test_recording import SAMPLE, STOP


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

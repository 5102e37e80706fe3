"""Ops go to disk and come back; what is no op is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.errors import ConfigError
from qstress.fuzz.ops import (
    Await,
    Close,
    MeasureFootprint,
    Op,
    Open,
    Send,
    To,
    WaitEvent,
    WaitExit,
    json_lines,
    only_reads,
    op_from_json,
    op_to_json,
    read_json_lines,
)

SENDS = st.builds(
    Send, st.sampled_from(To), st.binary(max_size=60), st.sampled_from(Await), st.text(max_size=8), st.text()
)
OPS = st.one_of(
    SENDS, st.builds(Close, st.sampled_from(To)), st.builds(Open, st.sampled_from(To)), st.just(MeasureFootprint()),
    st.builds(WaitEvent, st.text(), st.floats(0, 100)), st.builds(WaitExit, st.floats(0, 100)),
)  # fmt: skip


@given(OPS)
def test_an_op_survives_its_line(op: Op) -> None:
    (read,) = read_json_lines(json_lines([op_to_json(op)]), "x.jsonl")
    assert op_from_json(read) == op


def test_plain_text_stays_readable() -> None:
    assert op_to_json(Send(To.QMP, b'{"execute": "stop"}\n'))["data"] == '{"execute": "stop"}\n'
    assert "base64" in op_to_json(Send(To.QMP, b"\xff\n", Await.NOTHING))


@pytest.mark.parametrize(
    "made",
    [{}, {"op": "jump"}, {"op": "send", "to": "qmp"}, {"op": "close", "to": "nowhere"}, {"op": "event", "name": "X"},
     {"op": "send", "to": "qmp", "data": "é", "wait": "reply", "id": "", "command": ""}],
)  # fmt: skip
def test_what_is_no_op_is_refused(made: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="not an op"):
        op_from_json(made)


@pytest.mark.parametrize(("data", "place"), [(b'{}\n{"a"', "x.jsonl:2"), (b"[]\n", "x.jsonl:1: not a JSON object")])
def test_a_line_that_is_no_object_is_named(data: bytes, place: str) -> None:
    with pytest.raises(ConfigError, match=place):
        list(read_json_lines(data, "x.jsonl"))


@pytest.mark.parametrize(
    ("send", "words"),
    [
        (Send(To.HMP, b"info block -v\n", command="info block"), "hmp info block"),
        (Send(To.QMP, b'{"arguments": {"driver": "nvme"}}', command="device_add"), "device_add nvme"),
        (Send(To.QMP, b'{"arguments": {"command-line": "info block d0"}}', command="human-monitor-command"),
         "hmp info block"),
        (Send(To.QMP, b'{"arguments": {"command-line": "sum 0 1"}}', command="human-monitor-command"), "hmp sum"),
        (Send(To.QMP, b'{"execute": "stop"}', command="stop"), "stop"),
        (Send(To.QMP, b"\xff", command=""), "corrupt bytes"),
    ],
)  # fmt: skip
def test_what_a_command_was_about(send: Send, words: str) -> None:
    assert send.label == words


def test_a_stall_is_at_a_command_whatever_it_was_about() -> None:
    plug = Send(To.QMP, b'{"execute": "device_add", "arguments": {"driver": "nvme"}}', command="device_add")
    assert (plug.bare_label, plug.label) == ("device_add", "device_add nvme")
    line = b'{"execute": "human-monitor-command", "arguments": {"command-line": "savevm x"}}'
    assert Send(To.QMP, line, command="human-monitor-command").bare_label == "hmp savevm"


def test_commands_that_only_read() -> None:
    assert all(map(only_reads, ("query-status", "x-query-irq", "qom-get", "qom-list-types", "info block", "help")))
    assert not any(map(only_reads, ("stop", "qom-set", "blockdev-add", "information")))

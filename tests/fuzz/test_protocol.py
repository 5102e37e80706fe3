"""Replies and events, good and broken."""

from __future__ import annotations

import json

import pytest

from qstress.fuzz.ops import Send, To
from qstress.fuzz.protocol import LOST, Fate, Reader, ident_of, normal, shape, telling
from tests.fuzz.samples import reply, schema

STATUS = Send(To.QMP, b"", ident="q1", command="query-status")
GOOD = {"running": True, "status": "running"}


def error(kind: str, text: str) -> bytes:
    return json.dumps({"id": "q1", "error": {"class": kind, "desc": text}}).encode()


def test_a_good_reply_is_returned_with_its_shape_and_its_value_once() -> None:
    reader = Reader(schema())
    first = reader.read(STATUS, reply("q1", GOOD))
    assert (first.fate, first.fault, first.value) == (Fate.RETURNED, "", GOOD)
    assert first.label == "{runningb,statuss}"
    again = reader.read(Send(To.QMP, b"", ident="q2", command="query-status"), reply("q2", GOOD))
    assert (again.fate, again.label, again.value) == (Fate.RETURNED, first.label, None)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (reply("q1", {"running": 1, "status": ""}), "reply breaks the schema: .running is int, not boolean"),
        (reply("q1", {}), "reply breaks the schema: .running is missing"),
        (b'{"return": {}, "error": {}, "id": "q1"}', "reply with neither or both of return and error"),
        (b'{"id": "q1"}', "reply with neither or both of return and error"),
        (b'{"return": {}, "id": "q1", "more": 1}', "reply with an unexpected member more"),
        (b'{"return": {"running": inf}, "id": "q1"}', "not JSON: inf"),
        (b'{"return": {"running": -nan}, "id": "q1"}', "not JSON: nan"),
        (b"[1]", "not a JSON object"),
        (error("Surprise", "x"), "error class that the protocol lacks"),
        (b'{"id": "q1", "error": {"class": "GenericError"}}', "error out of shape"),
    ],
)
def test_what_breaks_schema_or_protocol_is_a_fault(answer: bytes, fault: str) -> None:
    assert Reader(schema()).read(STATUS, answer).fault == fault


@pytest.mark.parametrize(
    ("kind", "text", "fate"),
    [
        ("GenericError", "Device 'd0' not found", Fate.REFUSED),
        ("DeviceNotFound", "Device 'd0' not found", Fate.REFUSED),
        ("GenericError", "Parameter 'id' is missing", Fate.MISSHAPED),
        ("GenericError", "Invalid parameter type for 'id', expected: string", Fate.MISSHAPED),
        ("GenericError", "Parameter 'driver' does not accept value 'x'", Fate.MISSHAPED),
        (
            "CommandNotFound",
            "The command x-exit-preconfig is permitted only before machine initialization",
            Fate.NOT_NOW,
        ),
    ],
)
def test_refusals_are_told_apart(kind: str, text: str, fate: Fate) -> None:
    digest = Reader(schema()).read(STATUS, error(kind, text))
    assert (digest.fate, digest.fault) == (fate, "")


def test_no_answer_is_lost() -> None:
    assert Reader(schema()).read(STATUS, None) is LOST


def test_hmp_is_judged_by_its_first_line_after_the_echo() -> None:
    reader = Reader(schema())
    line = Send(To.HMP, b"info status\n", command="info status")
    assert reader.read(line, b"info status\x1b[K\r\nVM status: running\r\n(qemu) ").label == "VM status: running"
    assert reader.read(line, b"x\r\nunknown command: 'x'\r\n(qemu) ").fate is Fate.REFUSED
    qmp = Send(To.QMP, b"", ident="q1", command="human-monitor-command")
    assert reader.read(qmp, reply("q1", "Error: no such device\r\n")).fate is Fate.REFUSED
    assert reader.read(qmp, reply("q1", 5)).fault == "reply breaks the schema: value is int, not string"


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}', ""),
        (b'{"QMP": {"version": {}, "capabilities": []}}', ""),
        (b'{"QMP": {}}', "greeting out of shape"),
        (b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "NEW"}', "event that the schema lacks"),
        (b'{"timestamp": {"seconds": 1}, "event": "STOP"}', "event STOP without a proper timestamp"),
        (b'{"event": "STOP"}', "event STOP without a proper timestamp"),
        (
            b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESET", "data": {"running": true}}',
            "event RESET breaks the schema: .status is missing",
        ),
        (
            b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "id": 1}',
            "event STOP with an unexpected member id",
        ),
        (b'{"return": {}}', "reply without an id"),
        (b'{"return": {}, "id": "q1"}', "two replies to one command"),
        (b'{"return": {}, "id": inf}', "not JSON: inf"),
    ],
)
def test_lines_that_nobody_waits_for(line: bytes, wrong: str) -> None:
    assert Reader(schema()).stray(line, garbage=False) == wrong


@pytest.mark.parametrize(
    ("line", "wrong", "told"),
    [
        (b'{"return": {"status": "running"}, "id": inf}', "not JSON: inf", 'ng"}, "id": inf}'),
        (b'{"return": {"status": "running"}, "id": "q7"}', "two replies to one command", '"id": "q7"'),
        (b'{"error": {"desc": "no"}}\r', "reply without an id", '{"error": {"desc": "no"}}'),
        (b'{"error": "' + b"x" * 300 + b'"}', "reply without an id", ""),
        (b'"\xff"', "not JSON: UnicodeDecodeError", ""),
        (b'{"event": "STOP"}', "event STOP without a proper timestamp", ""),
    ],
)
def test_a_part_of_a_line_tells_what_is_wrong_with_it(line: bytes, wrong: str, told: str) -> None:
    assert Reader(schema()).stray(line, garbage=False) == wrong
    assert telling(line, wrong) == told


def test_corrupt_bytes_are_answered_without_an_id_and_a_late_reply_is_no_second_one() -> None:
    reader = Reader(schema())
    assert reader.stray(b'{"error": {"class": "GenericError", "desc": "JSON parse error"}}', garbage=True) == ""
    assert reader.stray(reply("q7", {}), garbage=False, outstanding=["q7"]) == ""


@pytest.mark.parametrize(
    ("line", "ident"),
    [
        (b'{"return": {}, "id": "q12"}\r', "q12"),
        (b'{"id": "q12", "error": {"class": "x", "desc": "y"}}', "q12"),
        (b'{"return": "he said \\"id\\": \\"q1\\"", "id": "q12"}', "q12"),
        (b'{"id":"q12","return":{}}', "q12"),
        (b'{"return": {}, "id": 5}', ""),
        (b'{"error": {}}', ""),
        (b"not JSON", ""),
    ],
)
def test_the_id_of_a_line(line: bytes, ident: str) -> None:
    assert ident_of(line) == ident


def test_a_shape_names_members_and_types_three_levels_deep() -> None:
    assert shape([{"a": 1, "b": [None]}, {"a": 2, "b": []}]) == "[{ai,b[]}|{ai,b[n]}]"
    assert shape({"a": {"b": {"c": {"d": 1}}}}) == "{a{b{c{}}}}"


def test_equal_messages_are_equal_without_names_and_numbers() -> None:
    assert normal("Device 'd0' has 17 of 0x1f") == normal("Device 'sda' has 2 of 0x0")

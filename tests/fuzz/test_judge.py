"""All oracles together: worst first, and a recorded fault is known again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.fuzz.exchange import Exchange, ExchangeOutcome, GuestExit
from qstress.fuzz.judge import ORACLES, Judge, oracle_of, shows
from qstress.fuzz.oracles.oracle import Fault
from qstress.fuzz.protocol import Reader
from tests.fuzz.oracles.samples import send
from tests.fuzz.samples import reply, schema
from tests.fuzz.test_recording import SAMPLE


def test_every_oracle_judges_and_the_worst_comes_first() -> None:
    reader = Reader(schema())
    judge = Judge(reader, host_bytes=1 << 34)
    exchange = Exchange("qmp", (send("query-status"), send("stop", "q2")))
    results = (reply("q1", {"running": 5, "status": ""}), None)
    good = ExchangeOutcome(0.0, (reply("q1", {"running": True, "status": ""}), reply("q2", {})))
    assert judge.judge(exchange, good, reader.answers(exchange, good)) == []
    outcome = ExchangeOutcome(0.0, results, ended=GuestExit(-11, ""))
    faults = judge.judge(exchange, outcome, reader.answers(exchange, outcome))
    assert [fault.kind for fault in faults] == ["crash", "protocol"]


def test_an_oracle_is_found_by_its_kind() -> None:
    assert [type(oracle_of(oracle.kind)) for oracle in ORACLES] == list(ORACLES)
    assert {oracle.kind for oracle in ORACLES} == {"crash", "stall", "hung-up", "protocol", "leak", "state"}
    with pytest.raises(ValueError, match="no oracle finds 'x'; known: crash, stall"):
        oracle_of("x")


@pytest.mark.parametrize(
    ("kind", "title", "other", "same"),
    [
        ("crash", "crash: SIGSEGV at stop", "crash: SIGSEGV at cont", True),
        ("crash", "crash: SIGSEGV at stop", "crash: SIGFPE at stop", False),
        ("crash", "crash: SIGABRT: a.c: f", "crash: SIGABRT: b.c: f", False),
        ("stall", "no reply to stop: the main loop is busy", "no reply to hmp sum: the main loop is busy", True),
        ("stall", "no reply to stop: the main loop is busy", "no reply to stop: only this monitor is silent", False),
        ("state", "refused a or b changed query-chardev", "refused b changed query-chardev", True),
        ("hung-up", "QEMU hung up on a monitor at stop and lives", "QEMU hung up on a monitor at x and lives", True),
        ("protocol", "stop: not JSON: inf", "cont: not JSON: inf", False),
        ("leak", "stop leaks memory", "stop leaks descriptors", False),
    ],
)
def test_a_fault_is_known_again_while_its_neighbours_go(kind: str, title: str, other: str, same: bool) -> None:
    recording = replace(SAMPLE, kind=kind, title=title)
    assert shows(recording, Fault(kind, other, "")) is same
    assert not shows(recording, Fault(kind, title, "", is_note=True))
    assert not any(shows(recording, Fault(each.kind, title, "")) for each in ORACLES if each.kind != kind)

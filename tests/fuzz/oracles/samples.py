"""Exchanges made by hand, for the tests of the oracles."""

from __future__ import annotations

import json
from dataclasses import replace

from qstress.fuzz.exchange import Exchange, ExchangeOutcome
from qstress.fuzz.ops import Await, Op, Result, Send, To
from qstress.fuzz.oracles.oracle import Fault, Observed, Oracle
from qstress.fuzz.oracles.state import STATE_QUERIES
from qstress.fuzz.protocol import Reader
from tests.fuzz.samples import reply, schema

STOP_EVENT = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}'
REFUSED = b'{"id": "q1", "error": {"class": "GenericError", "desc": "no"}}'


class Judged:
    """One guest, judged by one oracle."""

    def __init__(self, oracle: type[Oracle]) -> None:
        self.reader = Reader(schema())
        self.oracle = oracle()

    def faults(self, ops: list[Op], results: list[Result], kind: str = "qmp", **outcome: object) -> list[Fault]:
        exchange = Exchange(kind, tuple(ops))
        made = replace(ExchangeOutcome(0.0, tuple(results)), **outcome)  # type: ignore[arg-type]
        seen = Observed(exchange, made, self.reader.answers(exchange, made), self.reader, host_bytes=1 << 30)
        return self.oracle.judge(seen)


def send(command: str, ident: str = "q1", **arguments: object) -> Send:
    """One QMP command."""
    data = json.dumps({"execute": command, "arguments": arguments, "id": ident}).encode() + b"\n"
    return Send(To.QMP, data, Await.REPLY, ident, command)


def state(*nodes: str) -> tuple[list[Op], list[Result]]:
    """The state queries, with these block nodes in their answers."""
    ops = [Send(To.QMP, b"", Await.REPLY, f"s{at}", name) for at, (name, _) in enumerate(STATE_QUERIES)]
    values: list[object] = [{"running": True, "status": "running"}, [], [], [], [{"node-name": node} for node in nodes]]
    return list(ops), [reply(op.ident, value) for op, value in zip(ops, values, strict=True)]

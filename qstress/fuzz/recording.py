"""A guest and what was done to it: what a finding is repeated from, on disk as ``repro.jsonl`` (pure).

The first line is the head: what was found, and the QEMU with the arguments that define its guest. Each further line is
one exchange: its kind and its ops. A trace (``trace.jsonl``) is the same with times and answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qstress.errors import ConfigError
from qstress.fuzz.exchange import PROBE_AGAIN, Exchange, ExchangeOutcome
from qstress.fuzz.ops import Footprint, Result, Send, json_lines, op_from_json, op_to_json, read_json_lines

FORMAT = 1
#: More of an answer than this is not kept.
KEPT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Recording:
    """``arguments`` define the guest, without the binary; ``env`` is added to a minimal environment.

    ``kind`` is that of the oracle which found it. ``telling`` is a line by which the fault can be seen in what the
    monitors said, where there is one. After the last step QEMU is watched for ``linger_s`` more: what it began may end
    it later.
    """

    title: str
    kind: str
    binary: str
    version: str
    arguments: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    steps: tuple[Exchange, ...]
    telling: str = ""
    linger_s: float = 0.0

    @property
    def sends(self) -> list[Send]:
        """What it sends beside the negotiation and the session's own state queries."""
        sends = [send for step in self.steps for send in step.sends]
        return [send for send in sends if send.command != "qmp_capabilities" and not send.is_state_query]

    @property
    def commands(self) -> int:
        """How many commands it takes; one that is probed for growth counts once, however often it is repeated."""
        probed = {op for step in self.steps if step.kind == PROBE_AGAIN for op in step.ops}
        return sum(send not in probed for send in self.sends) + bool(probed)


def to_bytes(recording: Recording) -> bytes:
    """Return the text of ``repro.jsonl``."""
    head = {
        "format": FORMAT, "title": recording.title, "kind": recording.kind, "binary": recording.binary,
        "version": recording.version, "arguments": recording.arguments, "env": dict(recording.env),
        "telling": recording.telling, "linger_s": recording.linger_s,
    }  # fmt: skip
    return json_lines([head, *map(_exchange, recording.steps)])


def from_bytes(data: bytes, name: str) -> Recording:
    """Read a ``repro.jsonl``; *name* stands for it in messages.

    :raises ConfigError: it is none.
    """
    made = list(read_json_lines(data, name))
    try:
        head = made[0]
        if head["format"] != FORMAT:
            raise ConfigError(f"{name}: not a recording of format {FORMAT}")
        return Recording(
            title=str(head["title"]), kind=str(head["kind"]), binary=str(head["binary"]),
            version=str(head["version"]), arguments=tuple(map(str, head["arguments"])), telling=str(head["telling"]),
            linger_s=float(head["linger_s"]),
            env=tuple((str(key), str(value)) for key, value in head["env"].items()),
            steps=tuple(Exchange(str(step["kind"]), tuple(map(op_from_json, step["ops"]))) for step in made[1:]),
        )  # fmt: skip
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{name}: not a recording: {error!r}") from error


def trace_line(exchange: Exchange, outcome: ExchangeOutcome) -> dict[str, Any]:
    """Return one line of ``trace.jsonl``: an exchange, when it was executed, what came of each op, and what else."""
    made = {"at_s": round(outcome.at_s, 6), **_exchange(exchange), "results": list(map(_result, outcome.results))}
    return {**made, "strays": list(map(_result, outcome.strays))} if outcome.strays else made


def _exchange(exchange: Exchange) -> dict[str, Any]:
    return {"kind": exchange.kind, "ops": list(map(op_to_json, exchange.ops))}


def _result(result: Result) -> Any:
    match result:
        case bytes():
            text = result[:KEPT_BYTES].decode("latin-1")
            return text if len(result) <= KEPT_BYTES else f"{text}… ({len(result)} bytes)"
        case Footprint():
            return {"descriptors": result.descriptors, "anon_bytes": result.anon_bytes}
        case None:
            return None

"""A guest and what was done to it: what a finding is repeated from, on disk as ``repro.jsonl`` (pure).

The first line is the head: what was found, and the QEMU with the arguments that define its guest. Each further line is
one exchange: its kind and its ops. A trace (``trace.jsonl``) is the same with times and answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from qstress.errors import ConfigError
from qstress.fuzz.generator import Exchange
from qstress.fuzz.judge import Fault, Kind
from qstress.fuzz.ops import Footprint, Op, Result, Send, from_json, lines, read_lines, to_json
from qstress.fuzz.played import Played

FORMAT = 1
#: More of an answer than this is not kept.
KEPT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Step:
    """One exchange to play."""

    kind: str
    ops: tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """``arguments`` define the guest, without the binary; ``env`` is added to a minimal environment.

    ``telling`` is a line by which the fault can be seen in what the monitors said, where there is one. After the last
    step QEMU is watched for ``linger_s`` more: what it began may end it later.
    """

    title: str
    kind: Kind
    binary: str
    version: str
    arguments: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...]
    telling: str = ""
    linger_s: float = 0.0

    @property
    def sends(self) -> list[Send]:
        """What it sends beside the negotiation and the session's own looks at the state."""
        sends = [op for step in self.steps for op in step.ops if isinstance(op, Send)]
        return [op for op in sends if op.command != "qmp_capabilities" and not op.ident.startswith("s")]

    @property
    def commands(self) -> int:
        """How many commands it takes; one that is probed for growth counts once, however often it is repeated."""
        probed = {op for step in self.steps if step.kind == "probe-again" for op in step.ops}
        return sum(send not in probed for send in self.sends) + bool(probed)

    def shows(self, fault: Fault) -> bool:
        """Whether *fault* is what was recorded here."""
        return fault.kind is self.kind and signature(fault.kind, fault.title) == signature(self.kind, self.title)


def signature(kind: Kind, title: str) -> str:
    """Return what of a title tells two faults apart while the commands around them are still being taken away.

    A QEMU that ended or hung up without a word is blamed on the command that it had not answered, and a stall on the
    oldest one: in a batch that may be a neighbour.
    """
    if kind in (Kind.CRASH, Kind.HUNG_UP):
        return title.partition(" at ")[0]
    if kind is Kind.STALL:
        return title.rpartition(": ")[2]
    return title.rpartition(" changed ")[2] if kind is Kind.STATE else title


def to_bytes(recording: Recording) -> bytes:
    """Return the text of ``repro.jsonl``."""
    head = {
        "format": FORMAT, "title": recording.title, "kind": recording.kind.value, "binary": recording.binary,
        "version": recording.version, "arguments": recording.arguments, "env": dict(recording.env),
        "telling": recording.telling, "linger_s": recording.linger_s,
    }  # fmt: skip
    return lines([head, *({"kind": step.kind, "ops": [to_json(op) for op in step.ops]} for step in recording.steps)])


def from_bytes(data: bytes, name: str) -> Recording:
    """Read a ``repro.jsonl``; *name* stands for it in messages.

    :raises ConfigError: it is none.
    """
    made = list(read_lines(data, name))
    try:
        head = made[0]
        if head["format"] != FORMAT:
            raise ConfigError(f"{name}: not a recording of format {FORMAT}")
        return Recording(
            title=str(head["title"]), kind=Kind(head["kind"]), binary=str(head["binary"]), version=str(head["version"]),
            arguments=tuple(map(str, head["arguments"])), telling=str(head["telling"]),
            linger_s=float(head["linger_s"]),
            env=tuple((str(key), str(value)) for key, value in head["env"].items()),
            steps=tuple(Step(str(step["kind"]), tuple(from_json(op) for op in step["ops"])) for step in made[1:]),
        )  # fmt: skip
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{name}: not a recording: {error!r}") from error


def trace_line(exchange: Exchange, played: Played) -> dict[str, Any]:
    """Return one line of ``trace.jsonl``: an exchange, when it was played, what came of each op, and what else came."""
    made: dict[str, Any] = {
        "at_s": round(played.at_s, 6), "kind": exchange.kind, "ops": [to_json(op) for op in exchange.ops],
        "results": [_result(result) for result in played.results],
    }  # fmt: skip
    if played.strays:
        made["strays"] = [_result(line) for line in played.strays]
    return made


def recording_of(fault: Fault, exchanges: Iterable[Exchange], guest: Recording) -> Recording:
    """Return the recording of *fault*, found on *guest* by *exchanges*."""
    steps = tuple(Step(exchange.kind, exchange.ops) for exchange in exchanges)
    return replace(guest, title=fault.title, kind=fault.kind, steps=steps, telling=fault.telling)


def _result(result: Result) -> Any:
    match result:
        case bytes():
            text = result[:KEPT_BYTES].decode("latin-1")
            return text if len(result) <= KEPT_BYTES else f"{text}… ({len(result)} bytes)"
        case Footprint():
            return {"descriptors": result.descriptors, "anon_bytes": result.anon_bytes}
        case None:
            return None

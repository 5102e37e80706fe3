"""What is done to a guest's monitors, step by step: the language of traces, transcripts and ``repro.jsonl`` (pure).

One op is one JSON object a line. A message goes out whole or in pieces; what is waited for is named by the op, never by
time, so that a trace means the same at any speed.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from qstress.errors import ConfigError

_READERS = ("query-", "x-query-", "qom-list", "qom-get", "device-list-properties", "trace-event-get-state", "info ",
            "help")  # fmt: skip
#: The member of a command's arguments that says what it is about.
_OBJECT_MEMBER = {
    "human-monitor-command": "command-line", "device_add": "driver", "object-add": "qom-type", "blockdev-add": "driver",
    "netdev_add": "type", "qom-set": "property", "qom-get": "property", "chardev-add": "type",
    "device-list-properties": "typename",
}  # fmt: skip


def only_reads(command: str) -> bool:
    """Whether *command* (``info …`` for HMP) is documented to change nothing."""
    return command.startswith(_READERS)


class To(StrEnum):
    """The monitors that are fuzzed. The session's own control monitor is a third one and not named here."""

    QMP = "qmp"
    HMP = "hmp"


class Await(StrEnum):
    """What ends the waiting for a message's answer."""

    REPLY = "reply"  # the reply with this message's id
    PROMPT = "prompt"  # HMP's next prompt
    NOTHING = "nothing"  # corrupt, or a piece of something


@dataclass(frozen=True, slots=True)
class Send:
    """Send ``data`` to a monitor. ``command`` is what it is, for people and statistics (empty: corrupt bytes).

    ``ident`` is the id that its reply must bear, where ``wait`` is :attr:`Await.REPLY`.
    """

    to: To
    data: bytes
    wait: Await = Await.REPLY
    ident: str = ""
    command: str = ""

    @property
    def label(self) -> str:
        """The command with what it is about, in a word or two: ``device_add nvme``, ``hmp info block``."""
        if self.to is To.HMP:
            return f"hmp {self.command}"
        if member := _OBJECT_MEMBER.get(self.command):
            found = re.search(rf'"{member}": ?"([^"]{{1,60}})"', self.data.decode(errors="replace"))
            if found and self.command == "human-monitor-command":
                words = found.group(1).split()
                return f"hmp {' '.join(words[: 2 if words[:1] == ['info'] else 1])}"
            if found:
                return f"{self.command} {found.group(1)}"
        return self.command or "corrupt bytes"

    @property
    def bare_label(self) -> str:
        """The command without what it is about, which does not tell two stalls or leaks apart."""
        is_plain_qmp = self.to is To.QMP and self.command != "human-monitor-command"
        return self.command if is_plain_qmp else self.label

    @property
    def is_state_query(self) -> bool:
        """Whether it is one of the session's own looks at the state, which are no part of what is fuzzed."""
        return self.ident.startswith("s")


@dataclass(frozen=True, slots=True)
class Close:
    """Hang up on a monitor; the answers of what was sent may be lost."""

    to: To


@dataclass(frozen=True, slots=True)
class Open:
    """Connect to a monitor again and wait for its greeting."""

    to: To


@dataclass(frozen=True, slots=True)
class WaitEvent:
    """Wait for a QMP event, at most ``within_s`` seconds; that it does not come is no fault."""

    name: str
    within_s: float


@dataclass(frozen=True, slots=True)
class MeasureFootprint:
    """Look at QEMU's descriptors and private memory."""


@dataclass(frozen=True, slots=True)
class WaitExit:
    """Wait for QEMU to be gone, at most ``within_s`` seconds, after it said that it will."""

    within_s: float


Op = Send | Close | Open | WaitEvent | MeasureFootprint | WaitExit


@dataclass(frozen=True, slots=True)
class Footprint:
    """What :class:`MeasureFootprint` saw: open descriptors, and private memory (``RssAnon``)."""

    descriptors: int
    anon_bytes: int


#: What an op other than :class:`Send` is called in a file.
_NAMES: dict[type[Op], str] = {
    Close: "close", Open: "open", WaitEvent: "event", WaitExit: "end", MeasureFootprint: "measure",
}  # fmt: skip
#: What came of an op: a reply's line, HMP's text, or a footprint; None where nothing did.
Result = bytes | Footprint | None


def op_to_json(op: Op) -> dict[str, Any]:
    """Return *op* as a JSON object; bytes that are no plain text are in base64."""
    if not isinstance(op, Send):
        return {"op": _NAMES[type(op)], **asdict(op)}
    try:
        data = {"data": op.data.decode("ascii")}
    except UnicodeDecodeError:
        data = {"base64": b64encode(op.data).decode()}
    return {"op": "send", "to": op.to, **data, "wait": op.wait, "id": op.ident, "command": op.command}


def op_from_json(made: Mapping[str, Any]) -> Op:
    """Return the op that :func:`op_to_json` wrote.

    :raises ConfigError: it is none.
    """
    try:
        match made["op"]:
            case "send":
                data = b64decode(made["base64"]) if "base64" in made else made["data"].encode("ascii")
                return Send(To(made["to"]), data, Await(made["wait"]), made["id"], made["command"])
            case "close":
                return Close(To(made["to"]))
            case "open":
                return Open(To(made["to"]))
            case "event":
                return WaitEvent(str(made["name"]), float(made["within_s"]))
            case "end":
                return WaitExit(float(made["within_s"]))
            case "measure":
                return MeasureFootprint()
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise ConfigError(f"not an op: {json.dumps(made, default=str)[:200]}: {error}") from error
    raise ConfigError(f"not an op: {json.dumps(made, default=str)[:200]}")


def json_lines(objects: Iterable[Mapping[str, Any]]) -> bytes:
    """Return *objects* as JSON lines."""
    return b"".join(json.dumps(made).encode() + b"\n" for made in objects)


def read_json_lines(data: bytes, name: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of *data*, one a line; *name* stands for the file in messages.

    :raises ConfigError: a line is no JSON object.
    """
    for number, line in enumerate(data.splitlines(), 1):
        try:
            made = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{name}:{number}: {error}") from error
        if not isinstance(made, dict):
            raise ConfigError(f"{name}:{number}: not a JSON object")
        yield made

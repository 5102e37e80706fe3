"""What a monitor said, judged: does it fit the protocol and the schema, and what did it do with the command (pure)?

QMP: one reply a command, with its id, that holds ``return`` or ``error`` (class and description) and no more; events
with a timestamp and data of the event's type (QEMU: docs/interop/qmp-spec).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from qstress.fuzz.exchange import Exchange, ExchangeOutcome
from qstress.fuzz.ops import Await, Send, To
from qstress.fuzz.schema import Schema


class Fate(StrEnum):
    """What became of a command."""

    RETURNED = "returned"
    REFUSED = "refused"  # by the command itself: its arguments had an acceptable shape
    MISSHAPED = "misshaped"  # by the input visitor: member missing, unexpected or of a wrong type
    NOT_NOW = "not-now"  # CommandNotFound: not in this state, or not at all
    LOST = "lost"  # no reply


@dataclass(frozen=True, slots=True)
class Digest:
    """One answer: ``label`` names what kind of answer it is, ``fault`` what is wrong with it (empty: nothing).

    ``value`` is what was returned, where such an answer was not seen before, else None: it has been learned from.
    """

    fate: Fate
    label: str = ""
    fault: str = ""
    value: Any = None


LOST = Digest(Fate.LOST, "lost")


@dataclass(frozen=True, slots=True)
class Answered:
    """One command of an exchange and its answer, judged."""

    send: Send
    digest: Digest


#: QapiErrorClass (QEMU: qapi/error.json; the same in 7.2 and 10.0).
ERROR_CLASSES = frozenset(("GenericError", "CommandNotFound", "DeviceNotActive", "DeviceNotFound", "KVMMissingCap"))
_MISSHAPED = re.compile(
    r"Parameter '[^']*' (is missing|is unexpected|does not accept value)|Invalid parameter type for |QMP input "
    r"|JSON parse|Parameter '[^']*' expects ((a|an) (string|boolean|number|int|object|array|list)|u?int\d+)"
)
_HMP_REFUSED = re.compile(
    r"Error: |unknown command|Command .* (not available|is not available)|invalid "
    r"|.*: (extraneous|integer|string|number) |Try \"help|.*expected|.*: extra|.* not found"
)
_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|0x[0-9a-fA-F]+|\d+|#block\w+")
_WORD = re.compile(r"-?(\w+)")
_STATUS = re.compile(rb'"status": "([a-z-]+)"')
_MEMORY_ENTRIES = 8192
_TAIL_ID = b'"id": "'
#: How much of a line on both sides of what is wrong with it shows that.
_AROUND = 12
NO_ID = "reply without an id"
TWICE = "two replies to one command"


class Reader:
    """Reads answers by *schema*. Answers that differ in nothing but their id are judged once."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._known: dict[tuple[str, str, int], Digest] = {}

    def read(self, send: Send, answer: bytes | None, subject: str = "") -> Digest:
        """Judge the *answer* to *send*.

        :param subject: what the command was about, where equal answers mean different things (a path, a type).
        """
        if answer is None:
            return LOST
        if send.to is To.HMP:
            return self._remembered((send.command, "hmp", hash(answer)), lambda: _hmp(answer))
        name = b'"id": "' + send.ident.encode() + b'"'
        key = (send.command, subject, hash(answer.replace(name, b"", 1)))
        return self._remembered(key, lambda: self._qmp(send, answer))

    def answers(self, exchange: Exchange, outcome: ExchangeOutcome) -> list[Answered]:
        """Return each command of *exchange* that an answer was awaited for, with that answer judged."""
        return [
            Answered(op, self.read(op, result if isinstance(result, bytes) else None))
            for op, result in zip(exchange.ops, outcome.results, strict=True)
            if isinstance(op, Send) and op.wait is not Await.NOTHING
        ]

    def stray(self, line: bytes, *, garbage: bool, outstanding: Collection[str] = ()) -> str:
        """Return what is wrong with a line that answers no command: an event, or a reply that nobody waits for.

        :param garbage: corrupt bytes were sent, which QEMU answers by errors without an id, or by nothing.
        :param outstanding: ids whose replies were given up.
        """
        message = _decoded(line)
        if isinstance(message, str):
            return message
        if "event" in message:
            return self.event_fault(message)
        if "QMP" in message:
            return "" if message["QMP"].keys() == {"version", "capabilities"} else "greeting out of shape"
        if garbage or message.get("id") in outstanding:
            return ""
        return TWICE if "id" in message else NO_ID

    def event_fault(self, message: dict[str, Any]) -> str:
        """Return what is wrong with an event, in words that name it; empty when nothing is."""
        name, stamp = message["event"], message.get("timestamp")
        if not isinstance(name, str) or name not in self._schema.events:
            return "event that the schema lacks"
        times = stamp.values() if isinstance(stamp, dict) and stamp.keys() == {"seconds", "microseconds"} else ("",)
        if not all(type(time) is int for time in times):
            return f"event {name} without a proper timestamp"
        if extra := message.keys() - {"event", "timestamp", "data"}:
            return f"event {name} with an unexpected member {min(extra)}"
        misfit = self._schema.misfit(message.get("data", {}), self._schema.events[name])
        return f"event {name} breaks the schema: {misfit}" if misfit else ""

    def _remembered(self, key: tuple[str, str, int], judge: Callable[[], Digest]) -> Digest:
        if known := self._known.get(key):
            return known
        made = judge()
        if len(self._known) >= _MEMORY_ENTRIES:
            self._known.clear()
        self._known[key] = replace(made, value=None)
        return made

    def _qmp(self, send: Send, answer: bytes) -> Digest:
        message = _decoded(answer)
        if isinstance(message, str):
            return Digest(Fate.RETURNED, "broken", message)
        if extra := message.keys() - {"return", "error", "id"}:
            return Digest(Fate.RETURNED, "broken", f"reply with an unexpected member {min(extra)}")
        if ("return" in message) == ("error" in message):
            return Digest(Fate.RETURNED, "broken", "reply with neither or both of return and error")
        if "error" in message:
            return _error(message["error"])
        value = message["return"]
        if send.command == "human-monitor-command" and isinstance(value, str):
            return replace(_hmp(b"\n" + value.encode(errors="surrogatepass")), value=value)
        command = self._schema.commands.get(send.command)
        misfit = self._schema.misfit(value, command.returns) if command else None
        return Digest(Fate.RETURNED, shape(value), f"reply breaks the schema: {misfit}" if misfit else "", value)


def runstate(answer: bytes | None) -> str:
    """Return the run state that an answer of ``query-status`` tells, empty where it tells none."""
    found = _STATUS.search(answer or b"")
    return found.group(1).decode() if found else ""


def ident_of(line: bytes) -> str:
    """Return the id of a reply line, empty where it has none; quick for what QEMU prints, right for anything."""
    if line.startswith(b'{"id": "'):
        return line[8 : line.index(b'"', 8)].decode(errors="replace")
    body = line.rstrip()
    if body.endswith(b'"}') and (at := body.rfind(_TAIL_ID)) > 0:
        return body[at + 7 : -2].decode(errors="replace")
    message = _decoded(line)
    ident = message.get("id", "") if isinstance(message, dict) else ""
    return ident if isinstance(ident, str) else ""


def telling(line: bytes, wrong: str) -> str:
    """Return a part of *line* by which anybody sees that *wrong* (of :meth:`Reader.stray`) is true, where there is one.

    A second reply is told by its id, which the other one bears too.
    """
    if wrong == TWICE:
        return f'"id": "{ident_of(line)}"'
    if wrong == NO_ID:
        return line.decode(errors="replace").strip() if len(line) <= 200 else ""
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        return error.doc[max(0, error.pos - _AROUND) : error.pos + _AROUND].strip()
    except (ValueError, RecursionError):
        pass
    return ""


def shape(value: Any, depth: int = 0) -> str:
    """Return the form of *value* without what is in it: types, and names of members, three levels deep."""
    if isinstance(value, dict):
        inner = ",".join(f"{key}{shape(item, depth + 1)}" for key, item in sorted(value.items())) if depth < 3 else ""
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{'|'.join(sorted({shape(item, depth + 1) for item in value[:8]}))}]" if depth < 3 else "[]"
    return "n" if value is None else type(value).__name__[0]


def normal(text: str) -> str:
    """Return *text* without what differs between two equal messages: quoted parts and numbers."""
    return _VARIABLE.sub("_", text)[:120]


def _decoded(line: bytes) -> dict[str, Any] | str:
    try:
        message = json.loads(line)
    except json.JSONDecodeError as error:
        word = _WORD.match(error.doc, error.pos)
        return f"not JSON: {word.group(1) if word else error.msg}"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {type(error).__name__}"
    return message if isinstance(message, dict) else "not a JSON object"


def _error(error: Any) -> Digest:
    if not isinstance(error, dict) or error.keys() != {"class", "desc"} or not isinstance(error["desc"], str):
        return Digest(Fate.REFUSED, "broken", "error out of shape")
    kind, text = error["class"], error["desc"]
    if kind not in ERROR_CLASSES:
        return Digest(Fate.REFUSED, "broken", "error class that the protocol lacks")
    fate = Fate.NOT_NOW if kind == "CommandNotFound" else Fate.MISSHAPED if _MISSHAPED.match(text) else Fate.REFUSED
    return Digest(fate, f"{kind}: {normal(text)}")


def _hmp(answer: bytes) -> Digest:
    """Judge HMP's text: what the line editor echoed ends with the first line break."""
    text = answer.partition(b"\n")[2].decode(errors="replace")
    first = text.strip().partition("\r")[0].partition("\n")[0]
    refused = _HMP_REFUSED.match(first) is not None
    return Digest(Fate.REFUSED if refused else Fate.RETURNED, normal(first)[:60])

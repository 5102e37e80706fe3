"""A watch's journal: the events of one bring-up as lines of JSON, and the same bring-up judged again (pure).

The first line says what the watch was given (``settings``, the guest's ``shape``, and ``log``: where the console's
reader differed from a new one) and whose trial it was (``about``); each further line is one event with its name,
``t_s`` (monotonic seconds of the host that saw it) and its fields; the last line is the verdict that was recorded.
Fields that have their default are left out, bytes are text in Latin-1, a window log is packed (:func:`_packed`). Times
keep every digit: judged again, nothing differs.
"""

from __future__ import annotations

import base64
import json
import math
import struct
import types
import zlib
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from qstress.firmware import firmware_of
from qstress.firmware.streams import BootProgress, BootReader
from qstress.interposer.windows import Log, LogRecord, RecordKind
from qstress.model import Milestone, Shape, VcpuState, Verdict
from qstress.trial.events import WatchEvent, WindowLogRead
from qstress.trial.states import NOTED, TRANSITIONS, WatchState
from qstress.trial.watch import Watch, WatchSettings

FORMAT = 1
#: A journal ends after so many events; what follows is dropped, and it says so.
MOST_EVENTS = 20_000
_EVENTS: Mapping[str, type[WatchEvent]] = {
    kind.__name__: kind for kind in (*NOTED, *(kind for _, kind, _ in TRANSITIONS))
}
_RECORD = struct.Struct("<QHBQ")


class Journal:
    """What one watch is told, kept in memory until somebody wants it written."""

    def __init__(self, settings: WatchSettings, shape: Shape, log: BootReader, about: Mapping[str, object]) -> None:
        self.head = {
            "format": FORMAT, "about": dict(about), "shape": _encoded(shape), "settings": _encoded(settings),
            "log": _differing(log, shape),
        }  # fmt: skip
        self._events: list[tuple[float, WatchEvent]] = []
        self._dropped = 0

    def add(self, event: WatchEvent, now_s: float) -> None:
        """Keep *event*, which the watch is told at *now_s*."""
        if len(self._events) < MOST_EVENTS:
            self._events.append((now_s, event))
        else:
            self._dropped += 1

    def written(self, verdict: Verdict) -> bytes:
        """Return the journal as the lines of a file, with the *verdict* that is recorded."""
        lines: list[object] = [{**self.head, "dropped": self._dropped} if self._dropped else self.head]
        lines += [{"event": type(event).__name__, "t_s": at_s, **_encoded(event)} for at_s, event in self._events]
        lines.append({"verdict": _encoded(verdict)})
        return b"".join(json.dumps(line, allow_nan=False).encode() + b"\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Rejudged:
    """A journal judged again. ``recorded`` is the verdict of then, ``today`` the one of now (None: it does not come to
    one), ``skipped`` how many events the watch of now was not waiting for; ``shape`` and ``about`` say whose it is."""

    recorded: Verdict
    today: Verdict | None
    skipped: int
    shape: Shape
    about: Mapping[str, object]

    @property
    def same(self) -> bool:
        """Whether outcome, class and title are what they were."""
        now, then = self.today, self.recorded
        told = now is not None and (now.outcome, now.finding_class, now.title)
        return told == (then.outcome, then.finding_class, then.title)


def rejudged(data: bytes) -> Rejudged:
    """Feed a journal to the watch of today.

    :raises ValueError: it is no journal of this format.
    """
    try:
        head, *lines, last = [json.loads(line) for line in data.splitlines()]
        if head.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        recorded: Verdict = _decoded(Verdict, last["verdict"])
        shape: Shape = _decoded(Shape, head["shape"])
        watch = Watch(_decoded(WatchSettings, head["settings"]), _as_it_was(head["log"], shape))
        told = [(float(line["t_s"]), _decoded(_EVENTS[line["event"]], line)) for line in lines]
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, zlib.error) as error:
        raise ValueError(f"not a journal: {error!r}") from error
    skipped = _replay(watch, told)
    return Rejudged(recorded, watch.verdict, skipped, shape, head["about"])


def _replay(watch: Watch, told: Iterable[tuple[float, WatchEvent]]) -> int:
    """Tell *watch* what it waits for; return how many events that left out."""
    skipped = 0
    for at_s, event in told:
        if watch.state is WatchState.DECIDED and not isinstance(event, WindowLogRead):
            skipped += not isinstance(event, NOTED)
            continue
        try:
            watch.step(event, at_s)
        except ValueError:  # today's watch went another way
            skipped += 1
    return skipped


# ---- the console's reader


@dataclass(frozen=True, slots=True)
class PastBoot:
    """What a bring-up of a series had come to that was over and not judged yet (``model.BootProgress``)."""

    milestone: Milestone
    checkins: int
    found: int | None
    clean: bool
    restart_signs: tuple[str, ...]
    stuck: bool
    last_line: str


def _differing(log: BootReader, shape: Shape) -> dict[str, Any]:
    """Return the fields in which *log* differs from a new reader of such a guest; readers are dataclasses."""
    new = firmware_of(shape).reader(shape, None)
    names = [field.name for field in fields(log)]  # type: ignore[arg-type]
    values = {name: getattr(log, name) for name in names if getattr(log, name) != getattr(new, name)}
    return {name: _pending(value) if name == "over" else _encoded(value) for name, value in values.items()}


def _as_it_was(told: Mapping[str, Any], shape: Shape) -> BootReader:
    log = firmware_of(shape).reader(shape, None)
    for name, hint in _hints(type(log)).items():
        if name in told:
            setattr(log, name, _decoded(_OVER if name == "over" else hint, told[name]))
    return log


def _pending(over: Iterable[int | BootProgress]) -> list[Any]:
    names = [field.name for field in fields(PastBoot)]
    return [each if isinstance(each, int) else {name: _encoded(getattr(each, name)) for name in names} for each in over]


_OVER = deque[int | PastBoot]


# ---- values as JSON and back, by their types


def _encoded(value: Any) -> Any:
    if isinstance(value, Log):
        return {"head": value.head, "torn": value.torn, "overwritten": value.overwritten, **_packed(value.records)}
    if isinstance(value, VcpuState):  # the most frequent by far
        return [getattr(value, field.name) for field in fields(value)]
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _encoded(getattr(value, field.name))
            for field in fields(value)
            if getattr(value, field.name) != _default(field)
        }
    if isinstance(value, bytes | bytearray):
        return value.decode("latin-1")
    if isinstance(value, tuple | list | deque):
        return [_encoded(each) for each in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _decoded(kind: Any, value: Any) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if value is None:
        return None
    if origin in (Union, types.UnionType):
        nested = [part for part in parts if is_dataclass(part) or get_origin(part) is not None]
        plain = [part for part in parts if part not in nested and part is not types.NoneType]
        return _decoded((nested if isinstance(value, dict | list) else plain)[0], value)
    if origin is tuple:
        kinds = [parts[0]] * len(value) if parts[-1] is ... else parts
        return tuple(map(_decoded, kinds, value))
    if origin is deque:
        return deque(_decoded(parts[0], each) for each in value)
    if kind is Log:
        return Log(_unpacked(value["records"]), value["head"], value["torn"], value["overwritten"])
    if kind is VcpuState:
        return VcpuState(*value)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        return kind(**{name: _decoded(hint, value[name]) for name, hint in hints.items() if name in value})
    if kind in (bytes, bytearray):
        return kind(value, "latin-1") if kind is bytearray else value.encode("latin-1")
    return kind(value)


def _default(field: Any) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _packed(records: Iterable[LogRecord]) -> dict[str, str]:
    raw = b"".join(_RECORD.pack(*record) for record in records)
    return {"records": base64.b64encode(zlib.compress(raw)).decode()}


def _unpacked(text: str) -> tuple[LogRecord, ...]:
    raw = zlib.decompress(base64.b64decode(text))
    return tuple(LogRecord(ns, vcpu, RecordKind(kind), value) for ns, vcpu, kind, value in _RECORD.iter_unpack(raw))

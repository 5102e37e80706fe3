"""What a soak and whoever runs its trials elsewhere tell each other: pickled values, each with its length before it.

Only qstress's own values and plain ones are taken: what comes from an emulated host is as trusted as the guests that
are otherwise run here, and no more.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, is_dataclass
from enum import Enum

from qstress.model import StormCount, Trial
from qstress.trial.context import FinishedTrial, TrialContext

_LENGTH = struct.Struct("!I")
_PLAIN = {
    "builtins": {"set", "frozenset", "complex", "bytearray"},
    "collections": {"Counter", "OrderedDict", "deque", "defaultdict"},
    "_codecs": {"encode"},
}


@dataclass(frozen=True, slots=True)
class Run:
    """Run these trials, all of one cell; ``age_s`` is how long ago the soak began."""

    number: int
    trials: Sequence[Trial]
    context: TrialContext
    age_s: float


@dataclass(frozen=True, slots=True)
class Taken:
    """What was sent is kept; whether to go on."""

    number: int
    go_on: bool


@dataclass(frozen=True, slots=True)
class Began:
    """A trial of run ``number`` began, on the QEMU with this process id."""

    number: int
    trial: Trial
    pid: int


@dataclass(frozen=True, slots=True)
class Ended:
    """That trial is over."""

    number: int
    trial: Trial


@dataclass(frozen=True, slots=True)
class Kicked:
    """What kicked the vCPUs of one QEMU of a cell."""

    number: int
    cell_index: int
    count: StormCount


@dataclass(frozen=True, slots=True)
class Finished:
    """These trials are finished; ``waits``: nothing goes on there until they are :class:`Taken`."""

    number: int
    trials: Sequence[FinishedTrial]
    waits: bool


@dataclass(frozen=True, slots=True)
class Over:
    """All that was wanted of run ``number`` is done, or, with ``error``, qstress itself failed there."""

    number: int
    error: str = ""


Message = Run | Taken | Began | Ended | Kicked | Finished | Over


def encoded(message: Message) -> bytes:
    """Return *message* as it is sent."""
    body = pickle.dumps(message)
    return _LENGTH.pack(len(body)) + body


@dataclass(slots=True)
class Inbox:
    """Bytes in, messages out."""

    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield each message that *data* completes.

        :raises pickle.UnpicklingError: it holds something that is not ours.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if len(self._buffer) < _LENGTH.size + length:
                return
            body = bytes(self._buffer[_LENGTH.size : _LENGTH.size + length])
            del self._buffer[: _LENGTH.size + length]
            yield _Reader(io.BytesIO(body)).load()


def _member(kind: object, name: str) -> Enum:
    """Return the member of an enumeration. Some Python 3.11 pickle one as ``getattr(kind, name)`` (enum.py of 3.11.2,
    ``Enum.__reduce_ex__``), which is far too much to take."""
    if not (isinstance(kind, type) and issubclass(kind, Enum) and name in kind.__members__):
        raise pickle.UnpicklingError(f"an attribute of {kind!r} is not passed between hosts")
    return kind.__members__[name]


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("builtins", "getattr"):
            return _member
        if name in _PLAIN.get(module, ()):
            return super().find_class(module, name)
        found = super().find_class(module, name) if module.startswith("qstress.") and "." not in name else None
        value = isinstance(found, type) and (is_dataclass(found) or issubclass(found, Enum | tuple))
        if not value or found.__module__ != module:
            # calling any other class may do something: guest.process.Process starts a program
            raise pickle.UnpicklingError(f"{module}.{name} is not passed between hosts")
        return found


class Mailbox:
    """One end of a conversation over a way that may lose a packet, or carry it twice: what was put in arrives at the
    other end once and in order, as long as packets go on being exchanged."""

    def __init__(self) -> None:
        self._out: deque[Message] = deque()  # not known to have arrived
        self._first = 0  # the place of the first of them among all that were put in
        self._next = 0  # of what comes from the other end
        self.unsent = 0  # how many of them no packet has held yet

    def put(self, message: Message) -> None:
        """Have *message* go with the next packet."""
        self._out.append(message)
        self.unsent += 1

    def packet(self) -> bytes:
        """Return what the other end is to be given: all that may not have arrived there, and what has arrived here."""
        self.unsent = 0
        return pickle.dumps((self._next, self._first, tuple(self._out)))

    def take(self, packet: bytes) -> list[Message]:
        """Return what is new in a packet of the other end.

        :raises pickle.UnpicklingError: it holds something that is not ours.
        """
        arrived, first, messages = _Reader(io.BytesIO(packet)).load()
        for _ in range(arrived - self._first):
            self._out.popleft()
        self._first = max(self._first, arrived)
        new = messages[max(0, self._next - first) :] if first <= self._next else ()
        self._next += len(new)
        return list(new)

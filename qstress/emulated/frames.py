"""What passes between this machine and the agent in an emulated host: frames on one byte stream. Pure.

A frame is its kind, the number of the command it belongs to (0: none) and its body.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

_HEAD = struct.Struct("!cII")
#: More than this in one frame is not ours: the stream is broken.
MOST_BYTES = 1 << 26


class Kind(Enum):
    """What a frame says."""

    # to the agent
    RUN = b"E"  # JSON: argv, env, cwd, rows and columns of a terminal or null
    INPUT = b"I"  # bytes for its standard input; none: its end
    # the share of the last second in which the machine beneath had no CPU for this host, and how many s of all: decimal
    STARVED = b"T"
    SIGNAL = b"S"  # a signal's number, decimal
    OFF = b"Q"  # power off
    # both ways
    FACTS = b"F"  # the question, without a body, and the answer, JSON: what this host is
    # from the agent
    HELLO = b"H"  # it is up
    BEAT = b"B"  # JSON: uptime and load; the host lives
    OUTPUT = b"O"
    ERRORS = b"R"
    EXIT = b"X"  # the exit status, decimal, negative for a signal
    KERNEL = b"K"  # one record of /dev/kmsg


@dataclass(frozen=True, slots=True)
class Frame:
    """One message."""

    kind: Kind
    command: int = 0
    body: bytes = b""

    def encoded(self) -> bytes:
        """Return it as it goes over the stream."""
        return _HEAD.pack(self.kind.value, self.command, len(self.body)) + self.body


@dataclass(slots=True)
class Decoder:
    """Bytes in, frames out."""

    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield each frame that *data* completes.

        :raises ValueError: this is no stream of frames.
        """
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            kind, command, length = _HEAD.unpack_from(self._buffer)
            if length > MOST_BYTES:
                raise ValueError(f"a frame of {length} bytes")
            if len(self._buffer) < _HEAD.size + length:
                return
            body = bytes(self._buffer[_HEAD.size : _HEAD.size + length])
            del self._buffer[: _HEAD.size + length]
            yield Frame(Kind(kind), command, body)

"""The hammer's monitor: QMP as a lean byte stream, one line out, one line in.

An ``asyncio.Protocol`` and not ``qemu.qmp``: 63-73 us CPU a small command against 200-320 us, and the next command
can be sent from inside the callback that delivered the last reply, so a hammer at ``max`` loses no turn of the event
loop (docs/architecture.md, "Two monitors a guest"). Replies are not decoded here: they reach the hammer as the bytes
QEMU sent.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping

import anyio

from qstress.errors import RigError


def request(command: str, arguments: Mapping[str, object] | None = None) -> bytes:
    """Return one QMP command as the bytes to send."""
    message: dict[str, object] = {"execute": command}
    if arguments:
        message["arguments"] = dict(arguments)
    return json.dumps(message).encode() + b"\n"


def hmp_request(line: str) -> bytes:
    """Return one HMP line wrapped in QMP's ``human-monitor-command``."""
    return request("human-monitor-command", {"command-line": line})


class Wire(asyncio.Protocol):
    """One monitor connection; who :meth:`listen` s gets its replies. Events are dropped: the control monitor has them
    too."""

    def __init__(self) -> None:
        self._on_reply: Callable[[bytes], None] = lambda line: None
        self._on_lost: Callable[[], None] = lambda: None
        self._chunks: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self.closed = False

    @classmethod
    async def connect(cls, connection: socket.socket, *, timeout_s: float) -> Wire:
        """Take over *connection*, wait for the greeting, negotiate, and return a wire ready to send.

        :raises RigError: QEMU does not greet and negotiate within *timeout_s*, or hangs up.
        """
        ready = anyio.Event()
        greetings: list[bytes] = []

        def greet(line: bytes) -> None:
            greetings.append(line)
            if len(greetings) == 1:
                wire.send(b'{"execute":"qmp_capabilities"}\n')
            else:
                ready.set()

        connection.setblocking(False)
        wire = cls()
        wire.listen(greet, ready.set)
        await asyncio.get_running_loop().create_connection(lambda: wire, sock=connection)
        with anyio.move_on_after(timeout_s):
            await ready.wait()
        if wire.closed or len(greetings) < 2 or not greetings[1].startswith(b'{"return"'):
            wire.close()
            raise RigError(f"the hammer's monitor did not greet within {timeout_s:g} s", reason="no-monitor")
        return wire

    def listen(self, on_reply: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        """From now on give *on_reply* each reply line, and call *on_lost* once when the connection ends (at once if it
        has). Both are called from the event loop and must not block."""
        self._on_reply, self._on_lost = on_reply, on_lost
        if self.closed:
            on_lost()

    def send(self, line: bytes) -> None:
        """Send one request line (see :func:`request`); never blocks, does nothing on a lost connection."""
        if self._transport is not None and not self.closed:
            self._transport.write(line)

    def close(self) -> None:
        """Drop the connection at once."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        if b"\n" not in data:
            return
        *lines, rest = b"".join(self._chunks).split(b"\n")
        self._chunks = [rest] if rest else []
        for line in lines:
            if not line.startswith(b'{"timestamp"'):
                self._on_reply(line)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed:
            self.closed = True
            self._on_lost()

"""QEMU's gdb stub, as much of it as tests need: breakpoints, registers, and vCPUs that are left standing."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

#: For the whole of a slow guest's life: who waits here is told when something happens.
_SILENT_S = 60.0
_THREAD = re.compile(rb"thread:(?:p[0-9a-f]+\.)?([0-9a-f]+);")


class Gdb:
    """One connection to the stub; a context manager. It blocks, so use it in a thread. Thread 1 is CPU#0."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_SILENT_S)
        self._received = b""
        self._stops: list[int] = []
        self._socket.connect(str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, packet: bytes) -> bytes:
        """Send *packet* and return the reply."""
        self._send(packet)
        while True:
            reply = self._next()
            if not reply.startswith(b"T"):  # that the guest stopped is told at any time
                return reply
            self._note(reply)

    def set(self, packet: bytes) -> None:
        """Send *packet*, which is answered with OK."""
        assert (reply := self.ask(packet)) == b"OK", (packet, reply)

    def stopped_thread(self) -> int:
        """Wait until the guest stops, and return the thread that did it."""
        while not self._stops:
            self._note(self._next())
        return self._stops.pop(0)

    def go_on(self, *threads: int) -> None:
        """Let these threads go on, and no other; nothing answers that."""
        self._send(b"vCont" + b"".join(b";c:p1.%x" % thread for thread in threads))

    def _send(self, packet: bytes) -> None:
        self._socket.sendall(b"$%s#%02x" % (packet, sum(packet) % 256))

    def _next(self) -> bytes:
        while not (whole := re.search(rb"\$([^#]*)#..", self._received)):
            more = self._socket.recv(4096)
            if not more:
                raise EOFError("QEMU has closed its gdb stub")
            self._received += more
        self._received = self._received[whole.end() :]
        self._socket.sendall(b"+")
        return whole[1]

    def _note(self, reply: bytes) -> None:
        thread = _THREAD.search(reply)
        if thread is not None:
            self._stops.append(int(thread[1], 16))

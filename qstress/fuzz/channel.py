"""Connections to a guest's monitors, read by one thread with ``poll``.

No event loop: an exchange is a write and a few reads, and nothing else goes on meanwhile. But whatever waits also reads
all else that has been added (the console, stderr), because QEMU blocks under its big lock on a pipe that is full.
"""

from __future__ import annotations

import fcntl
import os
import socket
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from selectors import EVENT_READ, PollSelector

#: More than this no monitor has to say at once (a schema is 0.2 MB, 255 vCPUs' registers are 0.4 MB).
FLOOD_BYTES = 16 << 20
PROMPTS = (b"(qemu) ", b"Password: ")
_READ_BYTES = 1 << 18
_GREETING = b'{"QMP"'


class Poller(PollSelector):
    """Calls what was added for a descriptor when that can be read."""

    def add(self, fd: int, on_ready: Callable[[], object]) -> None:
        """Call *on_ready* when *fd* can be read; it must read without blocking."""
        self.register(fd, EVENT_READ, on_ready)

    def remove(self, fd: int) -> None:
        """Look at *fd* no more, if it was looked at."""
        with suppress(KeyError):
            self.unregister(fd)

    def pump(self, timeout_s: float) -> None:
        """Read what is there on every descriptor; wait for the first at most *timeout_s*."""
        for ready, _ in self.select(max(0.0, timeout_s)):
            ready.data()

    def wait(self, done: Callable[[], bool], deadline_s: float) -> bool:
        """Read whatever comes until *done*, or *deadline_s* (monotonic); return whether it is done."""
        while not done():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            self.pump(left_s)
        return True


class Channel:
    """One connection to a monitor; ``taken`` is what has come and was not used yet. None as ``sock``: closed."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self.sock: socket.socket | None = None
        self.taken = bytearray()
        self.lost = False  # QEMU hung up

    def attach(self, sock: socket.socket) -> None:
        """Speak over *sock*, which is connected and closed by :meth:`close`."""
        self.sock = sock
        sock.setblocking(False)
        self._poller.add(sock.fileno(), self._receive)

    def close(self) -> None:
        """Hang up; what the monitor still had to say is lost."""
        if self.sock is not None:
            self._poller.remove(self.sock.fileno())
            self.sock.close()
        self.sock, self.lost = None, False
        self.taken.clear()

    @property
    def flooded(self) -> bool:
        """Whether more came than a monitor has to say; what comes then is thrown away."""
        return len(self.taken) > FLOOD_BYTES

    @property
    def greeted(self) -> bool:
        """Whether QMP's greeting is there, or will not come any more."""
        return self.lost or (self.taken.startswith(_GREETING) and self.taken.endswith(b"\n"))

    @property
    def prompted(self) -> bool:
        """Whether HMP waits for a line, or will not any more."""
        return self.lost or self.taken.endswith(PROMPTS)

    @property
    def unread(self) -> bool:
        """Whether QEMU has not read all that it was sent (``SIOCOUTQ``, unix(7): it waits in QEMU's socket)."""
        with suppress(OSError):
            return self.sock is not None and any(fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4)))
        return False

    def lines(self) -> list[bytes]:
        """Take the complete lines that have come."""
        end = self.taken.rfind(b"\n")
        if end < 0:
            return []
        whole = bytes(self.taken[:end])
        del self.taken[: end + 1]
        return whole.split(b"\n")

    def send(self, data: bytes, deadline_s: float) -> bool:
        """Write *data*; return False when QEMU did not take it by *deadline_s* (monotonic), or hung up."""
        view = memoryview(data)
        while view and self.sock is not None and not self.lost:
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:  # QEMU does not read; it may itself wait for us to read what it says
                self._poller.pump(0.01)
                if time.monotonic() > deadline_s:
                    return False
            except OSError:
                return False
        return not view

    def _receive(self) -> None:
        assert self.sock is not None
        try:
            data = self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not self.flooded:
            self.taken += data
        if not data:
            self.lost = True
            self._poller.remove(self.sock.fileno())


class OutputPipe:
    """The end of what came through a pipe, or its beginning, at most *kept_bytes* of it.

    ``read_fd`` is ours; ``write_fd`` is for QEMU and has to be closed once QEMU has it.
    """

    def __init__(self, poller: Poller, *, kept_bytes: int, keep_end: bool) -> None:
        self._poller, self._kept_bytes, self._keep_end = poller, kept_bytes, keep_end
        self.read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.read_fd, False)
        self.text = bytearray()
        poller.add(self.read_fd, self.take)

    def take(self) -> bool:
        """Read what is there; return whether anything was."""
        try:
            data = os.read(self.read_fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._poller.remove(self.read_fd)
        self.text += data if self._keep_end else data[: max(0, self._kept_bytes - len(self.text))]
        del self.text[: -self._kept_bytes]
        return bool(data)

"""The debug console: an inherited pipe that is always drained, and what it has said so far."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import anyio

from qstress.model import BootReader

#: How much of a console is kept for the evidence; a guest that floods its console keeps its first bytes.
KEPT_BYTES = 256 * 1024


class Console:
    """The reading end of one guest's console, read into *log*; *on_news* is called when that says something new.

    ``last_output_s`` is when anything was printed last (monotonic).
    """

    def __init__(self, log: BootReader, on_news: Callable[[], None]) -> None:
        self._read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_fd, False)
        self._on_news = on_news
        self._on_output: Callable[[bytes], object] | None = None
        self._kept = bytearray()
        self._heard = anyio.Event()
        self.log = log
        self.last_output_s = time.monotonic()

    def restart(self, log: BootReader) -> None:
        """Begin another boot with *log*: what was said so far belongs to the last one."""
        self.drain()
        self._kept.clear()
        self.log = log
        self.last_output_s = time.monotonic()

    def listen(self, on_output: Callable[[bytes], object] | None) -> None:
        """Have *on_output* feed the log from now on, with all that is printed; None: nobody else does any more."""
        self._on_output = on_output

    def close_write_end(self) -> None:
        """Drop our copy of QEMU's end, so that its exit is seen as end of file."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def close(self) -> None:
        """Release both ends."""
        self.close_write_end()
        os.close(self._read_fd)

    @property
    def text(self) -> bytes:
        """What was printed, at most the first :data:`KEPT_BYTES`."""
        return bytes(self._kept)

    async def pump(self, *, coalesce_s: float = 0.0) -> None:
        """Drain the pipe until QEMU closes it. One task a console runs this.

        Under KVM each byte is an exit of its own, 0.1 ms apart: looking at most every *coalesce_s* seconds saves a
        wake-up a byte, 2,000 a boot.
        """
        while True:
            await anyio.wait_readable(self._read_fd)
            if not self.drain():
                return
            if coalesce_s:
                await anyio.sleep(coalesce_s)

    async def output(self, timeout_s: float) -> bool:
        """Wait for the guest to print anything; return False when it did not within *timeout_s*."""
        self._heard = anyio.Event()
        with anyio.move_on_after(timeout_s):
            await self._heard.wait()
        return self._heard.is_set()

    def drain(self) -> bool:
        """Read what is there without waiting; return False at end of file."""
        while True:
            try:
                data = os.read(self._read_fd, 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            self.last_output_s = time.monotonic()
            self._kept += data[: max(0, KEPT_BYTES - len(self._kept))]
            self._heard.set()
            if self._on_output is not None:
                self._on_output(data)
            elif self.log.feed(data):
                self._on_news()

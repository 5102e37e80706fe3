"""The debug console: an inherited pipe that is always drained, and what it has said so far."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import anyio

from qstress.model import BootReader, Milestone

#: How much of a console is kept for the evidence; a guest that floods its console keeps its first bytes.
KEPT_BYTES = 256 * 1024


class Console:
    """The reading end of one guest's console, read into *log*; *on_milestone* is called when that says something new.

    ``reached_s`` holds when each milestone was seen, ``last_output_s`` when anything was printed, ``progressed_s`` when
    that was more than the firmware's own word that APs are missing (monotonic), ``longest_silence_s`` how long nothing
    was, at most.
    """

    def __init__(self, log: BootReader, on_milestone: Callable[[], None]) -> None:
        self._read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_fd, False)
        self._on_milestone = on_milestone
        self._kept = bytearray()
        self._heard = anyio.Event()
        self.log = log
        self.last_output_s = self.progressed_s = time.monotonic()
        self.reached_s: dict[Milestone, float] = {}
        self.longest_silence_s = 0.0

    def restart(self, log: BootReader) -> None:
        """Begin another boot with *log*: what was said so far belongs to the last one."""
        self.drain()
        self._kept.clear()
        self.reached_s.clear()
        self.log = log
        self.last_output_s = self.progressed_s = time.monotonic()

    def progressed(self) -> None:
        """Note that the boot came further by another sign than output."""
        self.last_output_s = self.progressed_s = time.monotonic()
        self._note_milestones()

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
            now_s = time.monotonic()
            self.longest_silence_s = max(self.longest_silence_s, now_s - self.last_output_s)
            self.last_output_s = now_s
            self._kept += data[: max(0, KEPT_BYTES - len(self._kept))]
            self._heard.set()
            news = self.log.feed(data)
            if not self.log.stuck:
                self.progressed_s = self.last_output_s
            if news:
                self._note_milestones()

    def _note_milestones(self) -> None:
        for milestone in Milestone:  # one read may hold several
            if Milestone.START < milestone <= self.log.milestone:
                self.reached_s.setdefault(milestone, self.last_output_s)
        self._on_milestone()

"""What a guest prints: inherited pipes that are always drained, one a stream, and what they have said so far."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import anyio

from qstress.firmware.streams import BootReader, Stream

#: How much of each stream is kept for the evidence. A guest that floods its debug console keeps its first bytes, one
#: that floods its serial port the last ones: there the kernel's complaint follows pages of its talk.
KEPT_BYTES = 256 * 1024


@dataclass(slots=True)
class _Pipe:
    """One stream: our end, QEMU's end until it has been handed over (-1 after that), and what came."""

    read_fd: int
    write_fd: int
    kept: bytearray = field(default_factory=bytearray)


class Console:
    """The reading ends of one guest's *streams*, read into *log*; *on_news* is called when that says something new.

    ``last_output_s`` is when anything was printed last (monotonic).
    """

    def __init__(
        self, log: BootReader, on_news: Callable[[], None], streams: Iterable[Stream] = (Stream.DEBUG,)
    ) -> None:
        self._pipes: dict[Stream, _Pipe] = {}
        for stream in streams:
            self._pipes[stream] = _Pipe(*os.pipe2(os.O_CLOEXEC))
            os.set_blocking(self._pipes[stream].read_fd, False)
        self._on_news = on_news
        self._on_output: Callable[[bytes, Stream], object] | None = None
        self._heard = anyio.Event()
        self.log = log
        self.last_output_s = time.monotonic()

    def restart(self, log: BootReader) -> None:
        """Begin another boot with *log*: what was said so far belongs to the last one."""
        self.drain()
        for pipe in self._pipes.values():
            pipe.kept.clear()
        self.log = log
        self.last_output_s = time.monotonic()

    def listen(self, on_output: Callable[[bytes, Stream], object] | None) -> None:
        """Have *on_output* feed the log from now on, with all that is printed; None: nobody else does any more."""
        self._on_output = on_output

    @property
    def write_fds(self) -> dict[Stream, int]:
        """QEMU's ends, by stream; empty once they have been dropped."""
        return {stream: pipe.write_fd for stream, pipe in self._pipes.items() if pipe.write_fd >= 0}

    def close_write_ends(self) -> None:
        """Drop our copies of QEMU's ends, so that its exit is seen as end of file."""
        for pipe in self._pipes.values():
            if pipe.write_fd >= 0:
                os.close(pipe.write_fd)
                pipe.write_fd = -1

    def close(self) -> None:
        """Release all ends."""
        self.close_write_ends()
        for pipe in self._pipes.values():
            os.close(pipe.read_fd)

    @property
    def text(self) -> bytes:
        """What was printed on the debug console, at most the first :data:`KEPT_BYTES`."""
        return self._kept(Stream.DEBUG)

    @property
    def serial(self) -> bytes:
        """What was printed on the serial port, at most the last :data:`KEPT_BYTES`."""
        return self._kept(Stream.SERIAL)

    async def pump(self, *, coalesce_s: float = 0.0) -> None:
        """Drain all pipes until QEMU closes them. One task a console runs this.

        Under KVM each byte is an exit of its own, 0.1 ms apart: looking at most every *coalesce_s* seconds saves a
        wake-up a byte, 2,000 a boot.
        """
        async with anyio.create_task_group() as tasks:
            for stream in self._pipes:
                tasks.start_soon(self._pump, stream, coalesce_s)

    async def output(self, timeout_s: float) -> bool:
        """Wait for the guest to print anything; return False when it did not within *timeout_s*."""
        self._heard = anyio.Event()
        with anyio.move_on_after(timeout_s):
            await self._heard.wait()
        return self._heard.is_set()

    def drain(self) -> None:
        """Read what is there without waiting."""
        for stream in self._pipes:
            self._drain(stream)

    def _kept(self, stream: Stream) -> bytes:
        return bytes(self._pipes[stream].kept) if stream in self._pipes else b""

    async def _pump(self, stream: Stream, coalesce_s: float) -> None:
        while True:
            await anyio.wait_readable(self._pipes[stream].read_fd)
            if not self._drain(stream):
                return
            if coalesce_s:
                await anyio.sleep(coalesce_s)

    def _drain(self, stream: Stream) -> bool:
        """Read what is there of *stream*; return False at end of file."""
        while True:
            try:
                data = os.read(self._pipes[stream].read_fd, 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            self.last_output_s = time.monotonic()
            self._keep(stream, data)
            self._heard.set()
            if self._on_output is not None:
                self._on_output(data, stream)
            elif self.log.feed(data, stream):
                self._on_news()

    def _keep(self, stream: Stream, data: bytes) -> None:
        kept = self._pipes[stream].kept
        if stream is Stream.DEBUG:
            kept += data[: max(0, KEPT_BYTES - len(kept))]
        else:
            kept += data
            del kept[: max(0, len(kept) - KEPT_BYTES)]

"""A scripted fake monitor: what QEMU says is written by the test, byte by byte where that matters."""

from __future__ import annotations

import socket

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from qstress.errors import RigError
from qstress.guest.wire import Wire, hmp_request, request

GREETING = b'{"QMP": {"version": {}, "capabilities": ["oob"]}}\r\n'


class FakeMonitor:
    """The other end of a wire."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self.lines = BufferedByteReceiveStream(stream)

    async def heard(self) -> bytes:
        return await self.lines.receive_until(b"\n", 1 << 20)

    async def greet(self) -> None:
        await self.stream.send(GREETING)
        assert await self.heard() == b'{"execute":"qmp_capabilities"}'
        await self.stream.send(b'{"return": {}}\r\n')


class Ears:
    """Collects what a wire delivers."""

    def __init__(self) -> None:
        self.replies: list[bytes] = []
        self.lost = anyio.Event()
        self._more = anyio.Event()

    def on_reply(self, line: bytes) -> None:
        self.replies.append(line)
        self._more.set()

    async def wait_for(self, count: int) -> None:
        while len(self.replies) < count:
            self._more = anyio.Event()
            await self._more.wait()


async def connected(ears: Ears) -> tuple[Wire, FakeMonitor]:
    ours, theirs = socket.socketpair()
    monitor = FakeMonitor(await SocketStream.from_socket(theirs))
    wires: list[Wire] = []

    async def connect() -> None:
        wires.append(await Wire.connect(ours, timeout_s=10))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connect)
        await monitor.greet()
    wires[0].listen(ears.on_reply, ears.lost.set)
    return wires[0], monitor


async def test_replies_arrive_whole_however_they_are_cut_and_events_are_dropped() -> None:
    ears = Ears()
    wire, monitor = await connected(ears)
    text = b'{"return": "a"}\r\n{"timestamp": {}, "event": "RESET"}\r\n{"error": {"class": "x"}}\r\n'
    for i in range(len(text)):
        await monitor.stream.send(text[i : i + 1])
    await ears.wait_for(2)
    assert ears.replies == [b'{"return": "a"}\r', b'{"error": {"class": "x"}}\r']
    wire.close()
    await monitor.stream.aclose()


async def test_a_large_reply_arrives_whole() -> None:
    ears = Ears()
    wire, monitor = await connected(ears)
    big = b'{"return": "' + b"x" * 400_000 + b'"}\r\n'
    await monitor.stream.send(big)
    await ears.wait_for(1)
    assert ears.replies == [big[:-1]]
    wire.close()
    await monitor.stream.aclose()


async def test_what_is_sent_is_one_line() -> None:
    ears = Ears()
    wire, monitor = await connected(ears)
    wire.send(hmp_request("info registers -a"))
    assert (
        await monitor.heard()
        == b'{"execute": "human-monitor-command", "arguments": {"command-line": "info registers -a"}}'
    )
    wire.send(request("query-status"))
    assert await monitor.heard() == b'{"execute": "query-status"}'
    wire.close()
    await monitor.stream.aclose()


async def test_a_monitor_that_goes_away_is_told_once_and_sending_is_harmless() -> None:
    ears = Ears()
    wire, monitor = await connected(ears)
    await monitor.stream.aclose()
    await ears.lost.wait()
    assert wire.closed
    wire.send(request("query-status"))
    late = anyio.Event()
    wire.listen(ears.on_reply, late.set)
    assert late.is_set()


@pytest.mark.parametrize("says", [b"", b"SSH-2.0-OpenSSH\r\n"])
async def test_no_greeting_is_a_rig_error(says: bytes) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(says)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(RigError, match="did not greet"):
        await Wire.connect(ours, timeout_s=0.2)
    ours.close()
    theirs.close()

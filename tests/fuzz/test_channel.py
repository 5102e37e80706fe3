"""Channels and pipes: what comes is read by whatever waits, and only so much of it is kept."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest

from qstress.fuzz.channel import FLOOD_BYTES, Channel, OutputPipe, Poller


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket, Poller]]:
    """A channel, QEMU's end of it, and its poller."""
    poller = Poller()
    channel = Channel(poller)
    ours, theirs = socket.socketpair()
    channel.attach(ours)
    with theirs:
        yield channel, theirs, poller
        channel.close()


def soon() -> float:
    return time.monotonic() + 30.0


Ends = tuple[Channel, socket.socket, Poller]


def test_lines_are_taken_when_they_are_whole(ends: Ends) -> None:
    channel, theirs, poller = ends
    theirs.sendall(b"one\r\ntwo\r\nthr")
    assert poller.wait(lambda: channel.taken.endswith(b"thr"), soon())
    assert channel.lines() == [b"one\r", b"two\r"]
    assert channel.lines() == []
    assert channel.taken == b"thr"


def test_a_greeting_and_a_prompt_are_seen(ends: Ends) -> None:
    channel, theirs, poller = ends
    assert not channel.greeted
    theirs.sendall(b'{"QMP": {}}\r\n')
    assert poller.wait(lambda: channel.greeted, soon())
    assert not channel.prompted
    theirs.sendall(b"(qemu) ")
    assert poller.wait(lambda: channel.prompted, soon())


def test_what_qemu_hangs_up_on_is_lost_and_what_we_close_is_not(ends: Ends) -> None:
    channel, theirs, poller = ends
    theirs.close()
    assert poller.wait(lambda: channel.lost, soon())
    assert not channel.send(b"x", soon())
    channel.close()
    assert (channel.sock, channel.lost) == (None, False)
    assert not channel.send(b"x", soon())


def test_a_message_that_is_not_taken_in_time_is_not_sent_and_unread(ends: Ends) -> None:
    channel, theirs, _ = ends
    unread = [channel.unread]
    assert channel.send(b"x", soon())
    unread.append(channel.unread)
    theirs.recv(1)
    assert [*unread, channel.unread] == [False, True, False]
    assert not channel.send(bytes(64 << 20), time.monotonic())


def test_what_is_said_while_we_send_is_read(ends: Ends) -> None:
    """Else both ends wait for the other one to read."""
    channel, theirs, poller = ends
    theirs.sendall(b"x")
    assert not channel.send(bytes(64 << 20), time.monotonic())
    assert channel.taken == b"x"
    assert not poller.wait(lambda: False, time.monotonic())


def test_more_than_a_monitor_has_to_say_is_thrown_away(ends: Ends) -> None:
    channel, theirs, poller = ends
    channel.taken += bytes(FLOOD_BYTES + 1)
    theirs.sendall(b"more")
    poller.pump(30.0)
    assert channel.flooded
    assert len(channel.taken) == FLOOD_BYTES + 1


@pytest.mark.parametrize(("keep_end", "kept"), [(True, b"6789"), (False, b"0123")])
def test_of_a_pipe_the_end_or_the_beginning_is_kept(keep_end: bool, kept: bytes) -> None:
    poller = Poller()
    pipe = OutputPipe(poller, kept_bytes=4, keep_end=keep_end)
    for data in (b"012345", b"6789"):
        os.write(pipe.write_fd, data)
        poller.pump(30.0)
    assert pipe.text == kept
    assert not pipe.take()
    os.close(pipe.write_fd)
    poller.pump(30.0)  # its end
    poller.pump(0.0)
    os.close(pipe.read_fd)

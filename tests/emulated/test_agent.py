from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qstress.emulated.agent import Agent
from qstress.emulated.frames import Decoder, Frame, Kind


class Outside:
    """The machine outside: talks to an agent that runs in a thread here."""

    def __init__(self, stolen: Path | None = None) -> None:
        self._socket, theirs = socket.socketpair()
        self._theirs = theirs
        theirs.setblocking(False)
        self._decoder = Decoder()
        self._frames: list[Frame] = []
        self.thread = threading.Thread(target=Agent(theirs.fileno(), stolen).run)
        self.thread.start()

    def send(self, kind: Kind, command: int = 0, body: bytes = b"") -> None:
        self._socket.sendall(Frame(kind, command, body).encoded())

    def run(self, command: int, *argv: str, terminal: list[int] | None = None) -> None:
        asked = {"argv": list(argv), "env": dict(os.environ), "cwd": "/", "terminal": terminal}
        self.send(Kind.RUN, command, json.dumps(asked).encode())

    def until(self, kind: Kind, command: int = 0) -> list[Frame]:
        """Return the frames up to the first of *kind* for *command*, heartbeats and kernel log left out."""
        got: list[Frame] = []
        while not (got and got[-1].kind is kind and got[-1].command == command):
            while not self._frames:
                data = self._socket.recv(1 << 16)
                assert data, "the agent is gone"
                self._frames = list(self._decoder.feed(data))
            frame = self._frames.pop(0)
            if frame.kind is kind or frame.kind not in (Kind.BEAT, Kind.KERNEL):
                got.append(frame)
        return got

    def ended(self, command: int) -> tuple[bytes, bytes, int]:
        """Return what *command* printed, and its exit status."""
        frames = [frame for frame in self.until(Kind.EXIT, command) if frame.command == command]
        out = b"".join(frame.body for frame in frames if frame.kind is Kind.OUTPUT)
        err = b"".join(frame.body for frame in frames if frame.kind is Kind.ERRORS)
        return out, err, int(frames[-1].body)

    def close(self) -> None:
        self._socket.close()
        self.thread.join()
        self._theirs.close()


@pytest.fixture
def outside() -> Iterator[Outside]:
    outside = Outside()
    yield outside
    outside.close()


def test_it_says_what_host_it_is_and_that_it_lives(outside: Outside) -> None:
    outside.until(Kind.HELLO)
    outside.send(Kind.FACTS)
    assert json.loads(outside.until(Kind.FACTS)[-1].body)["kernel"] == os.uname().release
    assert json.loads(outside.until(Kind.BEAT)[-1].body)["uptime_s"] > 0


def test_output_errors_and_status(outside: Outside) -> None:
    outside.run(1, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert outside.ended(1) == (b"out\n", b"err\n", 3)


def test_input_reaches_it_whole_and_ends(outside: Outside) -> None:
    data = os.urandom(1 << 20)
    outside.run(1, "sha256sum")
    for at in range(0, len(data), 50_000):
        outside.send(Kind.INPUT, 1, data[at : at + 50_000])
    outside.send(Kind.INPUT, 1)
    import hashlib

    assert outside.ended(1)[0].split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_a_command_that_does_not_read_its_input(outside: Outside) -> None:
    outside.run(1, "true")
    outside.send(Kind.INPUT, 1, b"x" * 300_000)
    outside.send(Kind.INPUT, 1)
    assert outside.ended(1)[2] == 0


def test_two_at_once(outside: Outside) -> None:
    outside.run(1, "cat")
    outside.run(2, "echo", "two")
    assert outside.ended(2) == (b"two\n", b"", 0)
    outside.send(Kind.INPUT, 1, b"one")
    outside.send(Kind.INPUT, 1)
    assert outside.ended(1) == (b"one", b"", 0)


def test_a_signal_reaches_the_command_and_its_children(outside: Outside) -> None:
    outside.run(1, "sh", "-c", "sleep 1000 & echo up; wait")
    outside.until(Kind.OUTPUT, 1)
    outside.send(Kind.SIGNAL, 1, str(int(signal.SIGTERM)).encode())
    assert outside.ended(1)[2] == -signal.SIGTERM


def test_a_terminal_where_there_is_one(outside: Outside) -> None:
    outside.run(1, "sh", "-c", "stty size; test -t 0 && echo terminal", terminal=[33, 99])
    out, _, status = outside.ended(1)
    assert (out, status) == (b"33 99\r\nterminal\r\n", 0)


def test_what_cannot_be_run(outside: Outside) -> None:
    outside.run(1, "/no/such/program")
    _, err, status = outside.ended(1)
    assert b"/no/such/program" in err
    assert status == 127


def test_what_the_machine_beneath_takes_is_noted(tmp_path: Path) -> None:
    outside = Outside(tmp_path / "stolen")
    outside.send(Kind.STARVED, body=b"0.250 3.5")
    outside.run(1, "true")
    outside.ended(1)
    outside.close()
    assert (tmp_path / "stolen").read_text() == "0.250 3.5"


def test_it_ends_when_told_to(outside: Outside) -> None:
    outside.send(Kind.OFF)
    outside.thread.join()


def test_it_ends_when_nobody_holds_the_other_end() -> None:
    outside = Outside()
    outside.until(Kind.HELLO)
    outside.close()
    assert not outside.thread.is_alive()

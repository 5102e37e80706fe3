"""The client of the gdb stub against a scripted one; QEMU's own: tests/live/test_ovmf.py."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from qstress.errors import GuestError
from qstress.guest.gdb import Gdb


def packet(content: bytes) -> bytes:
    return b"$%s#%02x" % (content, sum(content) & 0xFF)


class Stub:
    """The other end: what it was sent, and what it is going to say."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.gdb = Gdb(self.ours, 4, timeout_s=10.0)

    def will_say(self, *contents: bytes) -> None:
        self.theirs.sendall(b"".join(b"+" + packet(content) for content in contents))

    @property
    def heard(self) -> list[bytes]:
        """The packets and interrupts that came, without the acknowledgements."""
        data = self.theirs.recv(65536).replace(b"+$", b"$").rstrip(b"+")
        return [part for part in data.replace(b"$", b"\n$").split(b"\n") if part and part != b"+"]


@pytest.fixture
def stub() -> Iterator[Stub]:
    made = Stub()
    with closing(made.ours), closing(made.theirs):
        yield made


async def test_it_asks_for_threads_and_the_registers_before_anything_else(stub: Stub) -> None:
    stub.will_say(b"PacketSize=1000;multiprocess+", b"l<?xml?>", b"T02thread:p01.01;")
    await stub.gdb.attach()
    assert stub.heard[0] == packet(b"qSupported:multiprocess+;vContSupported+")
    assert stub.theirs.fileno() >= 0


@pytest.mark.parametrize(
    ("left_out", "sent"),
    [
        ((), b"vCont;c:p1.1;c:p1.2;c:p1.3;c:p1.4"),
        ((2,), b"vCont;c:p1.1;c:p1.2;c:p1.4"),
        ((1, 3), b"vCont;c:p1.1;c:p1.3"),
    ],
)
async def test_those_that_are_left_out_are_not_named(stub: Stub, left_out: tuple[int, ...], sent: bytes) -> None:
    await stub.gdb.resume(without=left_out)
    assert stub.heard == [packet(sent)]


async def test_an_interrupt_stops_it_and_the_stop_says_which_vcpu_it_was(stub: Stub) -> None:
    stub.will_say(b"T02thread:p01.01;")
    await stub.gdb.stop()
    assert stub.heard == [b"\x03"]
    stub.will_say(b"T05thread:p01.0c;")
    assert await stub.gdb.stopped() == 11


async def test_a_stop_that_comes_in_pieces_is_understood(stub: Stub) -> None:
    whole = b"+" + packet(b"T05thread:p01.03;")
    stub.theirs.sendall(whole[:9])
    stub.theirs.sendall(whole[9:])
    assert await stub.gdb.stopped() == 2


async def test_a_vcpu_is_sent_to_the_reset_vector(stub: Stub) -> None:
    stub.will_say(b"OK", b"OK", b"OK", b"OK", b"OK")
    await stub.gdb.set_breakpoint(0x9F000, on=True)
    await stub.gdb.set_breakpoint(0x9F000, on=False)
    await stub.gdb.move_to_reset_vector(3)
    assert stub.heard == [
        packet(b"Z0,9f000,1"), packet(b"z0,9f000,1"), packet(b"Hgp1.4"), packet(b"P10=f0ff000000000000"),
        packet(b"P12=00f00000"),
    ]  # fmt: skip


@pytest.mark.parametrize("answer", [b"E22", b""])
async def test_what_is_refused_is_told(stub: Stub, answer: bytes) -> None:
    stub.will_say(answer)
    with pytest.raises(GuestError, match=r"refuses Z0,9f000,1"):
        await stub.gdb.set_breakpoint(0x9F000, on=True)


async def test_a_stop_without_a_thread_is_no_stop(stub: Stub) -> None:
    stub.will_say(b"W00")
    with pytest.raises(GuestError, match="which vCPU"):
        await stub.gdb.stopped()


async def test_one_that_hangs_up_or_is_silent_is_told() -> None:
    made = Stub()
    made.theirs.close()
    with closing(made.ours), pytest.raises(GuestError, match=r"hung up|takes nothing"):
        await made.gdb.attach()
    silent = Stub()
    silent.gdb = Gdb(silent.ours, 4, timeout_s=0.0)
    with closing(silent.ours), closing(silent.theirs), pytest.raises(GuestError):
        await silent.gdb.stop()

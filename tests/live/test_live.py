"""What ``live_guest`` promises: everything connected before the guest runs, nothing left afterwards."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import anyio
import pytest

from qstress.errors import RigError
from qstress.guest.live import live_guest
from qstress.guest.wire import request
from qstress.model import Accel
from tests.live.rig import planned, stock

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]
SHAPE = planned(Accel.TCG).cell.stratum.shape


def nothing() -> None:
    """Nobody listens."""


async def test_it_is_handed_out_paused_with_every_monitor_answering() -> None:
    replies: list[bytes] = []
    heard = anyio.Event()

    def on_reply(line: bytes) -> None:
        replies.append(line)
        heard.set()

    async with live_guest(stock(), SHAPE, monitors=1, env={}, on_change=nothing) as guest:
        guest.wires[0].listen(on_reply, nothing)
        status = await guest.control.execute("query-status", timeout_s=30)
        assert isinstance(status, dict)
        assert (status["running"], status["status"]) == (False, "prelaunch")
        assert guest.console.text == b""
        guest.wires[0].send(request("query-status"))
        await heard.wait()
        assert b"prelaunch" in replies[0]
        assert sorted(await guest.vcpu_threads(timeout_s=30)) == [0, 1, 2, 3]


async def test_nothing_is_left_not_even_a_path() -> None:
    fds, files = set(os.listdir("/proc/self/fd")), set(os.listdir("/tmp"))
    sockets = Path("/proc/net/unix").read_text()
    async with live_guest(stock(), SHAPE, env={}, on_change=nothing) as guest:
        pid = guest.process.pid
        open_sockets = [
            path for path in Path("/proc/net/unix").read_text().split() if path.startswith("/") and path not in sockets
        ]
        await guest.cont()
    assert not Path(f"/proc/{pid}").exists()
    assert set(os.listdir("/proc/self/fd")) == fds
    assert {name for name in set(os.listdir("/tmp")) - files if "qstress" in name} == set()
    assert not any("qstress" in path for path in open_sockets)


@pytest.mark.parametrize("polite", [True, False])
async def test_the_ladder_ends_a_stopped_qemu_too(polite: bool) -> None:
    async with live_guest(stock(), SHAPE, env={}, on_change=nothing) as guest:
        guest.process.send_signal(signal.SIGSTOP)
        await guest.end(polite=polite, grace_s=0.2)
        assert guest.process.returncode == -signal.SIGKILL


async def test_quit_is_the_first_rung() -> None:
    async with live_guest(stock(), SHAPE, env={}, on_change=nothing) as guest:
        await guest.end()
        assert guest.process.returncode == 0


async def test_a_refusal_carries_qemus_words_and_leaves_nothing() -> None:
    refusing = stock(args=("-device", "no-such-device"))
    with pytest.raises(ExceptionGroup) as caught:
        async with live_guest(refusing, SHAPE, env={}, on_change=nothing):
            pytest.fail("it started")
    assert caught.group_contains(RigError, match="no-such-device")


async def test_the_guest_has_no_descriptor_that_is_not_its_own() -> None:
    ours, theirs = socket.socketpair()
    async with live_guest(stock(), SHAPE, env={}, on_change=nothing) as guest:
        links = [
            os.readlink(f"/proc/{guest.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{guest.process.pid}/fd")
        ]
        inode = os.readlink(f"/proc/self/fd/{theirs.fileno()}")
        assert inode not in links
    ours.close()
    theirs.close()

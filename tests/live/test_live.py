"""What ``live_guest`` promises: everything connected before the guest runs, nothing left afterwards."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
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


async def test_one_that_resets_itself_and_nothing_hammers_runs_at_once_and_is_left_alone() -> None:
    shape = planned(Accel.TCG, firmware="smpscan", restart="reset").cell.stratum.shape
    over = anyio.Event()
    async with live_guest(stock(), shape, env={}, on_change=lambda: over.set()) as guest:
        await over.wait()  # nobody said that it may run
        assert not guest.paused
        assert guest.events == []
        await guest.control.execute("stop", timeout_s=30)
        assert [event["event"] for event in guest.events] == ["STOP"]


def bound_sockets(*pids: int) -> list[str]:
    """Return the paths of the Unix sockets that these processes hold. Other tests run beside this one and have their
    own, so neither the whole table nor all of the temporary folder says anything about us."""
    held = {
        os.readlink(f"/proc/{pid}/fd/{fd}").removeprefix("socket:").strip("[]")
        for pid in pids
        for fd in os.listdir(f"/proc/{pid}/fd")
        if Path(f"/proc/{pid}/fd/{fd}").is_symlink()  # the one that lists them is closed again
    }
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    assert held & {row[6] for row in rows}
    return [row[7] for row in rows if row[6] in held and len(row) > 7]


async def test_nothing_is_left_not_even_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    fds = set(os.listdir("/proc/self/fd"))
    async with live_guest(stock(), SHAPE, env={}, on_change=nothing) as guest:
        pid = guest.process.pid
        assert bound_sockets(os.getpid(), pid) == []
        await guest.cont()
    assert not Path(f"/proc/{pid}").exists()
    assert set(os.listdir("/proc/self/fd")) == fds
    assert os.listdir(tmp_path) == []


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

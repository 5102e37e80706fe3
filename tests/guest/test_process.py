"""Real processes (the shell's), since what is tested is what the kernel does to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from qstress.errors import RigError
from qstress.guest.argv import guarded
from qstress.guest.process import Process


@asynccontextmanager
async def started(*argv: str) -> AsyncIterator[Process]:
    with Process(argv, env=dict(os.environ), pass_fds=()) as process:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(process.watch)
            yield process
            tasks.cancel_scope.cancel()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
    except FileNotFoundError:
        return True


async def test_it_tells_status_and_last_words() -> None:
    async with started("sh", "-c", "echo out; echo err >&2; exit 3") as process:
        await process.exited.wait()
        assert process.returncode == 3
        assert process.said() == "out\nerr\n"


async def test_much_output_never_blocks_it_and_the_end_is_kept() -> None:
    async with started("sh", "-c", "yes x | head -c 3000000; echo last") as process:
        await process.exited.wait()
        assert process.said().endswith("x\nlast\n")
        assert len(process.said()) == 64 * 1024


async def test_ending_is_certain_also_for_who_ignores_term_or_is_stopped() -> None:
    async with started("sh", "-c", 'trap "" TERM; echo ready; while :; do sleep 1; done') as stubborn:
        while "ready" not in stubborn.said():
            await anyio.sleep(0.01)
        await stubborn.end(grace_s=0.1)
        assert stubborn.returncode == -signal.SIGKILL
    async with started("sleep", "1000") as stopped:
        stopped.send_signal(signal.SIGSTOP)
        await anyio.to_thread.run_sync(os.waitid, os.P_PID, stopped.pid, os.WSTOPPED)
        await stopped.end(grace_s=0.1)
        assert stopped.returncode == -signal.SIGKILL


async def test_leaving_the_block_kills_and_reaps() -> None:
    with Process(("sleep", "1000"), env=dict(os.environ), pass_fds=()) as process:
        pid = process.pid
        assert process.returncode is None
    assert not Path(f"/proc/{pid}").exists()


async def test_no_descriptor_is_left() -> None:
    before = set(os.listdir("/proc/self/fd"))
    async with started("true") as process:
        await process.exited.wait()
    assert set(os.listdir("/proc/self/fd")) == before


async def test_a_host_without_setpriv_is_a_rig_error_that_names_the_package() -> None:
    with pytest.raises(RigError, match="util-linux"):
        Process(("true",), env={"PATH": "/nonexistent"}, pass_fds=())


def test_whoever_lost_its_parent_before_it_could_be_guarded_does_not_start() -> None:
    for parent_pid, said in ((os.getpid(), "ran\n"), (os.getppid(), "")):
        argv = guarded(("echo", "ran"), parent_pid=parent_pid)
        assert subprocess.run(argv, capture_output=True, text=True, check=False).stdout == said


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_it_dies_with_its_parent(how: signal.Signals) -> None:
    code = (
        "import os, sys; from qstress.guest.process import Process\n"
        "process = Process(('sleep', '1000'), env=dict(os.environ), pass_fds=())\n"
        "print(process.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.send_signal(how)
        parent.wait()
    while not gone(pid):  # the test's own time limit is the deadline
        await anyio.sleep(0.01)

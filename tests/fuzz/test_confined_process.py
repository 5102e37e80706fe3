"""A process behind bubblewrap, or without it: found, told of, and gone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from qstress.errors import RigError
from qstress.fuzz import confined_process
from qstress.fuzz.confined_process import ConfinedProcess
from qstress.fuzz.fuzzed_guest import guest_environment
from tests.fuzz.guests import confined

SAYS_AND_STAYS = ("sh", "-c", "echo here; exec sleep 1000")


def started(*argv: str, sandboxed: bool = True) -> tuple[ConfinedProcess, int]:
    """The process and a descriptor from which what it says can be read."""
    read_fd, fd = os.pipe()
    made = ConfinedProcess(
        argv, confined() if sandboxed else None, env=guest_environment(()), pass_fds=(), output_fd=fd
    )
    os.close(fd)
    return made, read_fd


def end_of(process: ConfinedProcess) -> int:
    deadline_s = time.monotonic() + 30
    while (code := process.returncode) is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    return code


@pytest.mark.parametrize("sandboxed", [True, False])
def test_it_runs_is_found_and_is_gone_when_closed(sandboxed: bool) -> None:
    fds = set(os.listdir("/proc/self/fd"))
    made, read_fd = started(*SAYS_AND_STAYS, sandboxed=sandboxed)
    assert os.read(read_fd, 99) == b"here\n"
    pid = made.find_qemu()
    assert Path(f"/proc/{pid}/cmdline").read_bytes() in (
        b"sleep\x001000\0",
        b"sh\0-c\0" + SAYS_AND_STAYS[2].encode() + b"\0",
    )
    assert made.returncode is None
    made.close()
    os.close(read_fd)
    assert not Path(f"/proc/{pid}").exists()
    assert set(os.listdir("/proc/self/fd")) == fds


@pytest.mark.parametrize("sandboxed", [True, False])
def test_a_signal_is_told_as_such_and_a_status_as_it_is(sandboxed: bool) -> None:
    for script, code in (("kill -SEGV $$", -signal.SIGSEGV), ("exit 3", 3)):
        made, read_fd = started("sh", "-c", script, sandboxed=sandboxed)
        assert end_of(made) == code
        made.close()
        os.close(read_fd)


def test_nothing_is_left_when_it_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> subprocess.Popen[bytes]:
        raise RigError("no more processes", reason="spawn")

    monkeypatch.setattr(confined_process, "spawn", refuse)
    fds = set(os.listdir("/proc/self/fd"))
    for confinement in (confined(), None):
        with pytest.raises(RigError, match="no more processes"):
            ConfinedProcess(("true",), confinement, env={}, pass_fds=(), output_fd=1)
    assert set(os.listdir("/proc/self/fd")) == fds

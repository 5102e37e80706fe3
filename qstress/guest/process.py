"""A QEMU process of ours: start it so that it cannot outlive us, wait for it by pidfd, end it for certain.

``subprocess.Popen`` from the loop's thread (vfork: 0.6 ms against 10 ms with a ``preexec_fn``); its words go to a
memfd, because a pipe that nobody reads would block it: one QEMU with 64 vCPUs prints 68 warnings at start.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import anyio

from qstress.errors import RigError
from qstress.guest.argv import guarded

#: How much of QEMU's stderr is kept, from its end.
STDERR_BYTES = 64 * 1024
#: How large a core may be: what a guest has touched of its memory, and little more.
CORE_BYTES = 1 << 30


def spawn(
    argv: Sequence[str], *, env: Mapping[str, str], pass_fds: Sequence[int], output_fd: int, folder: str = "/"
) -> subprocess.Popen[bytes]:
    """Start *argv* in its own session so that it cannot outlive us, inheriting only *pass_fds*.

    :param env: its whole environment.
    :param output_fd: where its stdout and stderr go.
    :param folder: its working directory.
    :raises RigError: reason ``spawn``: ``setpriv`` is missing or the host refuses another process.
    """
    try:
        return subprocess.Popen(
            guarded(argv, parent_pid=os.getpid(), core_bytes=CORE_BYTES), stdin=subprocess.DEVNULL,
            stdout=output_fd, stderr=output_fd, env=dict(env), cwd=folder,
            pass_fds=tuple(pass_fds), start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        remedy = " (Debian package util-linux)" if isinstance(error, FileNotFoundError) else ""
        raise RigError(f"cannot start a process: {error}{remedy}", reason="spawn") from error


def _folder() -> str:
    try:
        return tempfile.mkdtemp(prefix="qstress-")
    except OSError as error:
        raise RigError(f"cannot make a folder for a process: {error}", reason="spawn") from error


class Process:
    """One child process; use as a context manager, which always ends it.

    ``folder`` is its working directory, empty but for a core, where the host's pattern lets the kernel write one there.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], pass_fds: Sequence[int]) -> None:
        """Start *argv* as :func:`spawn` does.

        :raises RigError: ``setpriv`` is missing or the host refuses another process.
        """
        self._stderr_fd = os.memfd_create("qstress-stderr", os.MFD_CLOEXEC)
        with ExitStack() as undo:
            undo.callback(os.close, self._stderr_fd)
            self.folder = Path(_folder())
            undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._popen = spawn(argv, env=env, pass_fds=pass_fds, output_fd=self._stderr_fd, folder=str(self.folder))
            try:
                self._pidfd = os.pidfd_open(self._popen.pid)
            except OSError as error:
                raise RigError(f"cannot watch a process: {error}", reason="spawn") from error
            undo.pop_all()
        self.exited = anyio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        """Kill what is left and release the descriptors; returns when the process is reaped."""
        if self._popen.poll() is None:
            self.send_signal(signal.SIGKILL)
            self._popen.wait()
        os.close(self._pidfd)
        os.close(self._stderr_fd)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """QEMU's pid (``setpriv`` and the shell became it by ``exec``)."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs, else its exit status, negative for a signal."""
        return self._popen.poll()

    @property
    def rss_bytes(self) -> int:
        """How much memory it uses (``/proc/PID/statm``, resident pages); 0 when it is gone."""
        try:
            with open(f"/proc/{self.pid}/statm") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0

    def said(self) -> str:
        """Return the end of what the process printed on stdout and stderr."""
        size = os.fstat(self._stderr_fd).st_size
        return os.pread(self._stderr_fd, STDERR_BYTES, max(0, size - STDERR_BYTES)).decode(errors="replace")

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal through the pidfd: it can never reach another process with the same pid."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    async def watch(self) -> None:
        """Wait until the process has ended, reap it and set :attr:`exited`."""
        waiter = os.dup(self._pidfd)  # the loop lets one task wait for a descriptor
        try:
            await anyio.wait_readable(waiter)
        finally:
            os.close(waiter)
        self._popen.wait()
        self.exited.set()

    async def end(self, *, grace_s: float | None = 2.0) -> None:
        """End the process for certain: TERM, then KILL after *grace_s*; KILL at once when that is None.

        A stopped (SIGSTOP) QEMU does not see TERM; KILL ends that one too. Needs no other task to run, so that it
        also works while everything is being cancelled.
        """
        if grace_s is not None:
            self.send_signal(signal.SIGTERM)
            with anyio.move_on_after(grace_s):
                await self.watch()
                return
        self.send_signal(signal.SIGKILL)
        await self.watch()

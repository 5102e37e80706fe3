"""The process of a confined QEMU: started behind bubblewrap, found again inside, and killed for certain."""

from __future__ import annotations

import json
import os
import select
import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

from qstress.errors import RigError
from qstress.fuzz.confine import Confinement, confined, limited
from qstress.guest.process import spawn
from qstress.observe.usage import child_of

#: How long a QEMU that was killed, or hung up on a monitor, may take to be gone.
ENDING_S = 10.0


class ConfinedProcess:
    """One QEMU; :meth:`close` kills it.

    Not :class:`qstress.guest.process.Process`, which keeps all that QEMU says: a fuzzed one can be told to log without
    end. Our environment stays ours: QEMU can read that of bubblewrap, which is process 1 to it.

    :param confinement: None runs it without bubblewrap, in a folder of its own.
    :param env: QEMU's whole environment.
    :param output_fd: where all that it prints goes.
    :raises RigError: the host refuses another process.
    """

    def __init__(
        self, argv: Sequence[str], confinement: Confinement | None, *, env: Mapping[str, str], pass_fds: Sequence[int],
        output_fd: int,
    ) -> None:  # fmt: skip
        self._confined = confinement is not None
        self._init_fd = self._status_fd = -1
        with ExitStack() as handed, ExitStack() as kept:
            if confinement is None:
                folder = kept.enter_context(tempfile.TemporaryDirectory(prefix="qstress-fuzz-"))
                settings = [f"{name}={value}" for name, value in env.items()]
                words = ("env", "-i", f"--chdir={folder}", *settings, *limited(argv))
            else:
                self._status_fd, status_fd = os.pipe2(os.O_CLOEXEC)
                os.set_blocking(self._status_fd, False)
                kept.callback(os.close, self._status_fd)
                handed.callback(os.close, status_fd)
                file_fds = [handed.enter_context(open(path, "rb")).fileno() for path in confinement.files]
                words = confined(argv, confinement, env=env, status_fd=status_fd, file_fds=file_fds)
                pass_fds = (*pass_fds, status_fd, *file_fds)
            ours = {"PATH": os.environ.get("PATH", "")}
            self._popen = spawn(words, env=ours, pass_fds=pass_fds, output_fd=output_fd)
            kept.callback(self._kill)
            self._stack = kept.pop_all()

    def close(self) -> None:
        """Kill QEMU and release everything; returns when it is gone."""
        self._stack.close()

    @property
    def returncode(self) -> int | None:
        """None while it runs, else its exit status, negative for a signal."""
        code = self._popen.poll()
        return 128 - code if self._confined and code is not None and code > 128 else code  # bubblewrap tells as a shell

    def find_qemu(self) -> int:
        """Return QEMU's pid once it runs: bubblewrap's child is the namespace's init, QEMU its only child.

        :raises RigError: it is not there.
        """
        if not self._confined:
            return self._popen.pid
        init = json.loads(os.read(self._status_fd, 4096).splitlines()[0])["child-pid"]
        self._init_fd = os.pidfd_open(init)
        if pid := child_of(init):
            return pid
        raise RigError("QEMU is not there behind bubblewrap", reason="qemu-start")

    def _kill(self) -> None:
        self._popen.kill()
        self._popen.wait()
        if self._init_fd >= 0:  # QEMU is gone when its namespace's init is, which dies last (pid_namespaces(7))
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init_fd, signal.SIGKILL)
            select.select([self._init_fd], [], [], ENDING_S)
            os.close(self._init_fd)

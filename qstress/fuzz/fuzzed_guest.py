"""A confined QEMU with its monitors: started, spoken to, looked at, and gone when the block is left."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Self

from qstress.errors import RigError
from qstress.fuzz.channel import Channel, OutputPipe, Poller
from qstress.fuzz.confine import SECCOMP, Confinement
from qstress.fuzz.confined_process import ConfinedProcess
from qstress.fuzz.exchange import GuestExit
from qstress.fuzz.ops import Footprint, To
from qstress.fuzz.pool import OURS
from qstress.guest.argv import DEBUG_PORT
from qstress.observe import usage

#: How long QEMU may take to greet; a loaded host is not a fault.
START_TIMEOUT_S = 60.0
#: How long a guest may take to answer, once it is known that an answer comes at all.
REPLY_S = 10.0
_KEPT_BYTES = 64 * 1024


def guest_environment(added: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return QEMU's whole environment: nothing of ours but a path and a locale, and what its build adds."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/tmp", **dict(added)}


@dataclass(frozen=True, slots=True)
class GuestSetup:
    """How guests run on this host: how they are confined, their environment, and the deadline of a reply.

    Without ``confinement`` QEMU runs without bubblewrap, in a folder of its own; ``env`` is its whole environment,
    ``pass_fds`` are descriptors that it inherits under the same numbers.
    """

    confinement: Confinement | None
    env: Mapping[str, str]
    reply_s: float = REPLY_S
    pass_fds: tuple[int, ...] = ()

    def guest(self, binary: str, arguments: Sequence[str]) -> FuzzedGuest:
        """Return a guest of *binary*, to be entered."""
        return FuzzedGuest((binary, *arguments), self)


class FuzzedGuest:
    """One live QEMU, paused; use as a context manager.

    :param argv: binary and arguments that define the guest (:func:`qstress.guest.argv.guest_arguments`).
    """

    def __init__(self, argv: Sequence[str], setup: GuestSetup) -> None:
        self._argv, self._setup = tuple(argv), setup
        self._stack = ExitStack()
        self._listeners: dict[To, int] = {}
        self._asked = 0
        self.poller = Poller()
        self.channels = {To.QMP: Channel(self.poller), To.HMP: Channel(self.poller)}
        self.control = Channel(self.poller)
        self.qemu_pid = 0

    def __enter__(self) -> Self:
        """Start QEMU and wait for its control monitor.

        :raises RigError: it does not start, or the host refuses.
        """
        with self._stack:  # releases everything where the start fails
            self._start()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        """Kill QEMU and release everything."""
        self._stack.close()

    def open(self, to: To, deadline_s: float) -> bytes | None:
        """Connect to a monitor and return its greeting; None when there is none by *deadline_s* (monotonic)."""
        channel = self.channels[to]
        channel.close()
        sock = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            # the socket's path is gone, so that nothing is left on disk and nobody else can connect
            sock.connect(f"/proc/self/fd/{self._listeners[to]}")
        channel.attach(sock)
        if not self.poller.wait(lambda: channel.greeted if to is To.QMP else channel.prompted, deadline_s):
            return None
        if to is To.QMP:
            return channel.lines()[0]
        greeting = bytes(channel.taken)
        channel.taken.clear()
        return greeting

    def ask(
        self, command: str, arguments: Mapping[str, object] | None = None, *, timeout_s: float, oob: bool = False
    ) -> Any:
        """Run a command on the control monitor and return what it returns; None when it does not answer in time.

        QEMU's own refusal counts as an answer: it returns the error's object.
        """
        self._asked += 1
        message = {"exec-oob" if oob else "execute": command, "arguments": dict(arguments or {}), "id": self._asked}
        deadline_s = time.monotonic() + timeout_s
        if not self.control.send(json.dumps(message).encode() + b"\n", deadline_s):
            return None
        found: dict[Any, Any] = {}

        def answered() -> bool:
            for reply in map(json.loads, self.control.lines()):
                found[reply.get("id")] = reply.get("return", reply.get("error"))
            return self._asked in found or self.control.lost

        self.poller.wait(answered, deadline_s)
        return found.get(self._asked)

    def ended(self, within_s: float = 0.0) -> GuestExit | None:
        """Return how QEMU ended, waiting for that at most *within_s*; None while it runs."""
        deadline_s = time.monotonic() + within_s
        while (code := self._process.returncode) is None:
            if time.monotonic() >= deadline_s:
                return None
            self.poller.pump(min(0.05, max(0.0, deadline_s - time.monotonic())))
        while self._output.take():
            pass
        return GuestExit(code, self.said)

    @property
    def console_text(self) -> bytes:
        """The beginning of what the firmware printed."""
        return bytes(self._console.text)

    @property
    def said(self) -> str:
        """The end of what QEMU printed."""
        return self._output.text.decode(errors="replace")

    def footprint(self) -> Footprint:
        """Return how many descriptors QEMU has open and how much private memory it uses (0 and 0 when it is gone)."""
        descriptors, private_bytes = usage.open_descriptors(self.qemu_pid), usage.private_bytes(self.qemu_pid)
        return Footprint(descriptors, private_bytes) if descriptors and private_bytes else Footprint(0, 0)

    def _start(self) -> None:
        for channel in (self.control, *self.channels.values()):
            self._stack.callback(channel.close)
        # what is handed to QEMU must not be closed before QEMU has it, nor stay open after
        with ExitStack() as handed:
            self._output = self._pipe(handed, keep_end=True)
            self._console = self._pipe(handed, keep_end=False)
            arguments, inherited = [*self._argv], [self._console.write_fd, *self._setup.pass_fds]
            for to in self.channels:
                self._listeners[to], theirs = self._listener(to)
                handed.callback(theirs.close)
                inherited.append(theirs.fileno())
                mode = "control" if to is To.QMP else "readline"
                arguments += ["-chardev", f"socket,id={OURS}{to},fd={theirs.fileno()},server=on,wait=off"]
                arguments += ["-mon", f"chardev={OURS}{to},mode={mode}"]
            ours, theirs = socket.socketpair()
            self.control.attach(ours)
            handed.callback(theirs.close)
            inherited.append(theirs.fileno())
            arguments += ["-chardev", f"socket,id={OURS}control,fd={theirs.fileno()}"]
            arguments += ["-mon", f"chardev={OURS}control,mode=control"]
            arguments += ["-add-fd", f"fd={self._console.write_fd},set=1"]
            arguments += ["-chardev", f"file,id={OURS}console,path=/dev/fdset/1,append=on"]
            arguments += ["-device", f"isa-debugcon,iobase={DEBUG_PORT:#x},chardev={OURS}console"]
            arguments += ["-S", "-sandbox", SECCOMP]
            self._process = ConfinedProcess(
                arguments, self._setup.confinement, env=self._setup.env, pass_fds=inherited,
                output_fd=self._output.write_fd,
            )  # fmt: skip
            self._stack.callback(self._process.close)
        self._greet()
        self.qemu_pid = self._process.find_qemu()

    def _greet(self) -> None:
        """Wait for the control monitor's greeting and negotiate out-of-band commands."""
        control, deadline_s = self.control, time.monotonic() + START_TIMEOUT_S
        greeted = self.poller.wait(lambda: control.greeted or self.ended() is not None, deadline_s)
        oob = b'{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}\n'
        if greeted and control.lines() and control.send(oob, deadline_s):
            self.poller.wait(lambda: b"\n" in control.taken or control.lost, deadline_s)
            if not control.lost:
                return
        ended = self.ended(within_s=1.0)
        what = f"ended with status {ended.returncode}" if ended else "did not open its monitor"
        words = " | ".join(self.said.splitlines()[-3:])
        raise RigError(f"{self._argv[0]} {what}: {words or 'it said nothing'}", reason="qemu-start")

    def _listener(self, to: To) -> tuple[int, socket.socket]:
        """Return an O_PATH descriptor to connect to, and the listening socket, whose path is gone already."""
        theirs = socket.socket(socket.AF_UNIX)
        with tempfile.TemporaryDirectory(prefix="qstress-") as folder:
            path = os.path.join(folder, to.value)
            theirs.bind(path)
            theirs.listen(4)
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        self._stack.callback(os.close, fd)
        return fd, theirs

    def _pipe(self, handed: ExitStack, *, keep_end: bool) -> OutputPipe:
        pipe = OutputPipe(self.poller, kept_bytes=_KEPT_BYTES, keep_end=keep_end)
        self._stack.callback(os.close, pipe.read_fd)
        handed.callback(os.close, pipe.write_fd)
        return pipe

"""An emulated host from outside: boot it, run commands in it, know when it is dead, end it for certain.

No event loop: a command inside is served by whoever calls :meth:`EmulatedHost.execute`, which may be a thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from qstress.config.binary import qemu_version
from qstress.emulated.command import Descriptors, Machine, emulator_arguments
from qstress.emulated.cpio import initramfs
from qstress.emulated.frames import Decoder, Frame, Kind
from qstress.emulated.kernel import Kernel, read_module
from qstress.emulated.watchdog import is_dead, last_words, starved_s, telling_line
from qstress.errors import RigError
from qstress.firmware.kernels import kernels_folder
from qstress.guest.argv import guarded
from qstress.host.facts import EMULATED_HOST
from qstress.observe.usage import STOLEN

INIT_SOURCE = Path(__file__).with_name("init.c")
_CONSOLE_BYTES = 256 * 1024
_CHUNK = 1 << 16
_TICK_S = 1.0


class HostLost(RigError):
    """The emulated host died, or was killed. ``console``: its last words."""

    def __init__(self, message: str, console: Sequence[str]) -> None:
        super().__init__(message, reason="emulated-host")
        self.console = tuple(console)


@dataclass(frozen=True, slots=True)
class Streams:
    """Our descriptors for a command inside: where its input comes from (None: it has none), where what it prints goes.

    ``terminal``: rows and columns of the terminal that it gets; None: pipes.
    """

    stdin: int | None
    stdout: int
    stderr: int
    terminal: tuple[int, int] | None = None


@dataclass(slots=True)
class _Life:
    """When the host was last heard, how long each of its threads had waited for a CPU at the last look, and how long it
    had been starved in all by then."""

    heard_s: float
    looked_s: float
    starved_s: float = 0.0
    waited: dict[int, float] = field(default_factory=dict)


class EmulatedHost:
    """A booted emulated host; a context manager. ``on_kernel`` gets each record of its kernel's log."""

    def __init__(self, kernel: Kernel, machine: Machine, qemu: str) -> None:
        """Start it; :meth:`wait` until it is up.

        :raises RigError: there is no such QEMU, no compiler for its init, or the machine refuses a process.
        """
        self.kernel = kernel
        self.machine = machine
        self.qemu = qemu
        self._up = False
        self.on_kernel: Callable[[bytes], None] = lambda record: None
        self._decoder = Decoder()
        self._out = bytearray()
        self._frames: deque[Frame] = deque()
        self._started = 0
        with ExitStack() as stack:
            ours, theirs = socket.socketpair()
            stack.enter_context(theirs)
            self._channel = ours
            self._console = os.memfd_create("qstress-host-console", os.MFD_CLOEXEC)
            archive = stack.enter_context(os.fdopen(os.memfd_create("qstress-initramfs", os.MFD_CLOEXEC), "wb"))
            archive.write(_initramfs(kernel, self._about()))
            archive.flush()
            # QEMU takes a descriptor only that is open for just what it wants it for: writing
            console = os.open(f"/proc/self/fd/{self._console}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            stack.callback(os.close, console)
            fds = Descriptors(theirs.fileno(), console, archive.fileno())
            argv = emulator_arguments(qemu, machine, str(kernel.boots), fds)
            try:
                self._process = subprocess.Popen(
                    guarded(argv, parent_pid=os.getpid()), stdin=subprocess.DEVNULL, stdout=console,
                    stderr=console, cwd="/", pass_fds=(fds.channel, fds.console, fds.initramfs),
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise RigError(f"cannot start an emulated host: {error}", reason="emulated-host") from error
        self._channel.setblocking(False)
        self._life = _Life(time.monotonic(), time.monotonic())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _about(self) -> dict[str, object]:
        """What the inside cannot know: recorded with every run."""
        return {
            "kernel_sha256": self.kernel.sha256, "qemu": self.qemu, "qemu_version": qemu_version(Path(self.qemu), {}),
            "cpus": self.machine.cpus, "memory_bytes": self.machine.memory_bytes,
        }  # fmt: skip

    @property
    def pid(self) -> int:
        """The process id of the QEMU that it runs in."""
        return self._process.pid

    def wait(self) -> None:
        """Wait until its agent speaks.

        :raises HostLost: it died before, or never spoke.
        """
        self._answer(Kind.HELLO)
        self._up = True

    def facts(self) -> dict[str, object]:
        """Return what ``host_facts`` says inside.

        :raises HostLost: it died.
        """
        self._send(Frame(Kind.FACTS))
        facts: dict[str, object] = json.loads(self._answer(Kind.FACTS))
        return facts

    def _answer(self, kind: Kind) -> bytes:
        while True:
            self._turn([])
            while self._frames:
                frame = self._frames.popleft()
                if frame.kind is kind:
                    return frame.body

    def execute(
        self, argv: Sequence[str], streams: Streams, *, env: Mapping[str, str] | None = None, cwd: str | None = None,
        signals: int | None = None,
    ) -> int:  # fmt: skip
        """Run *argv* inside and serve it until it ends; return its exit status, 128 + n where signal n ended it.

        :param env: its environment; ours by default.
        :param cwd: where it runs; where we are by default.
        :param signals: a descriptor from which signal numbers come, one byte each: the first is passed on, a second
            kills the host.
        :raises HostLost: the host died meanwhile.
        """
        self._started += 1
        number = self._started
        asked = {
            "argv": list(argv), "env": dict(os.environ if env is None else env), "cwd": cwd or os.getcwd(),
            "terminal": streams.terminal,
        }  # fmt: skip
        self._send(Frame(Kind.RUN, number, json.dumps(asked).encode()))
        if streams.stdin is None:
            self._send(Frame(Kind.INPUT, number))
        stdin, passed_on = streams.stdin, 0
        while True:
            readable = [] if stdin is None or len(self._out) > _CHUNK else [stdin]
            for fd in self._turn(readable if signals is None else [*readable, signals]):
                if fd == signals:
                    passed_on += 1
                    if passed_on > 1:
                        self.close()
                        return 128 + signal.SIGINT
                    self._send(Frame(Kind.SIGNAL, number, str(os.read(fd, 1)[0]).encode()))
                else:
                    data = os.read(fd, _CHUNK)
                    self._send(Frame(Kind.INPUT, number, data))
                    stdin = stdin if data else None
            while self._frames:
                frame = self._frames.popleft()
                if frame.command != number:
                    continue
                if frame.kind is Kind.EXIT:
                    status = int(frame.body)
                    return status if status >= 0 else 128 - status
                _write_all(streams.stdout if frame.kind is Kind.OUTPUT else streams.stderr, frame.body)
                self._life.heard_s = time.monotonic()  # whoever reads may have been slow: that was not the host

    def close(self) -> None:
        """End it for certain; nothing that it wrote is kept, so it need not be shut down. Never raises."""
        self.kill()
        self._channel.close()
        if self._console >= 0:
            self._words = self.console()
            os.close(self._console)
            self._console = -1

    def kill(self) -> None:
        """Kill its QEMU; whoever executes something in it learns that it is lost."""
        self._process.kill()
        self._process.wait()

    def console(self) -> list[str]:
        """Return the last lines of its console, and of what its QEMU printed."""
        if self._console < 0:
            return self._words
        size = os.fstat(self._console).st_size
        text = os.pread(self._console, _CONSOLE_BYTES, max(0, size - _CONSOLE_BYTES))
        return last_words(text.decode(errors="replace"))

    _words: list[str]

    def _send(self, frame: Frame) -> None:
        self._out += frame.encoded()

    def _turn(self, readable: Sequence[int]) -> list[int]:
        """Wait for something to happen, at most a second; take in frames; return which of *readable* can be read.

        :raises HostLost: the host is gone or dead.
        """
        poll = select.poll()
        poll.register(self._channel, select.POLLIN | (select.POLLOUT if self._out else 0))
        for fd in readable:
            poll.register(fd, select.POLLIN)
        ready = dict(poll.poll(_TICK_S * 1000))
        event = ready.pop(self._channel.fileno(), 0)
        if event & select.POLLOUT:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                del self._out[: self._channel.send(self._out[:_CHUNK])]
        if event & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self._hear()
        elif not ready:
            self._look()
        return list(ready)

    def _hear(self) -> None:
        try:
            data = self._channel.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._process.wait()
            raise self._lost(f"its QEMU ended ({_how(self._process.returncode)})")
        self._note_that_it_lives()
        for frame in self._decoder.feed(data):
            if frame.kind is Kind.KERNEL:
                self.on_kernel(frame.body)
            elif frame.kind is not Kind.BEAT:
                self._frames.append(frame)

    def _note_that_it_lives(self) -> None:
        """Once a second, tell it how much of that time the machine beneath had no CPU for it."""
        before, self._life.heard_s = self._life, time.monotonic()
        wall_s = self._life.heard_s - before.looked_s
        if wall_s >= _TICK_S:
            waited = _waited(self.pid)
            lost_s = min(wall_s, starved_s(before.waited, waited)) if before.waited else 0.0
            self._life = _Life(before.heard_s, before.heard_s, before.starved_s + lost_s, waited)
            self._send(Frame(Kind.STARVED, body=f"{lost_s / wall_s:.3f} {self._life.starved_s:.3f}".encode()))

    def _look(self) -> None:
        """Nothing was heard for a tick: see whether anything ever will be."""
        silent_s = time.monotonic() - self._life.heard_s
        if is_dead(silent_s, starved_s(self._life.waited, _waited(self.pid)), booting=not self._up):
            how = "its QEMU is stopped" if self._is_stopped() else "it is frozen, or never came up"
            self.kill()
            raise self._lost(f"nothing was heard of it for {silent_s:.0f} s, while it could have run: {how}")

    def _is_stopped(self) -> bool:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2][:1] in ("T", "t")
        except OSError:
            return False

    def _lost(self, how: str) -> HostLost:
        words = self.console()
        return HostLost(f"the emulated host is lost: {how}; last on its console: {telling_line(words)}", words)


@contextlib.contextmanager
def booted(kernel: Kernel, machine: Machine, *, qemu: str = "qemu-system-x86_64") -> Iterator[EmulatedHost]:
    """Boot an emulated host, wait until it is up, and end it with the block.

    :raises RigError: it cannot be started; :class:`HostLost`: it died.
    """
    binary = shutil.which(qemu)
    if binary is None:
        raise RigError(f"an emulated host needs {qemu}, which is not on PATH", reason="qemu-missing")
    with EmulatedHost(kernel, machine, binary) as host:
        host.wait()
        yield host


def _initramfs(kernel: Kernel, about: Mapping[str, object]) -> bytes:
    """Return it with the agent of this very qstress: without ``site``, but with the paths that we have."""
    modules = [(read_module(path), parameters) for path, parameters in kernel.modules]
    given = (json.dumps(about), str(EMULATED_HOST), str(STOLEN))
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; from qstress.emulated.agent import run_agent; run_agent(*{given!r})"
    )
    return initramfs(_init().read_bytes(), modules, (sys.executable, "-S", "-c", code))


def _init() -> Path:
    """Return the init program, compiled on first use.

    :raises RigError: reason ``no-compiler`` or ``compile``.
    """
    import hashlib

    folder = kernels_folder().parent
    path = folder / f"init-{hashlib.sha256(INIT_SOURCE.read_bytes()).hexdigest()[:16]}"
    if path.exists():
        return path
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".init-", dir=folder) as scratch:
            made = Path(scratch) / "init"
            command = ["cc", "-static", "-O2", "-o", str(made), str(INIT_SOURCE)]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if done.returncode:
                remedy = "; on Debian or Ubuntu, install libc6-dev"
                raise RigError(f"cc cannot build an emulated host's init{remedy}: {done.stderr}", reason="compile")
            os.replace(made, path)
    except FileNotFoundError as error:
        remedy = "on Debian or Ubuntu, install the packages gcc and libc6-dev"
        raise RigError(f"an emulated host needs a C compiler; {remedy}", reason="no-compiler") from error
    return path


def _waited(pid: int) -> dict[int, float]:
    """Return for how long each thread of *pid* was ready and had no CPU, in seconds."""
    waited: dict[int, float] = {}
    with contextlib.suppress(OSError):
        for tid in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                words = Path(f"/proc/{pid}/task/{tid}/schedstat").read_text().split()
                waited[int(tid)] = int(words[1]) / 1e9
    return waited


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    with contextlib.suppress(BrokenPipeError):
        while view:
            view = view[os.write(fd, view) :]


def _how(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    return f"exit status {returncode}"

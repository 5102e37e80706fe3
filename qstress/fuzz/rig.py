"""A confined QEMU with its monitors: started, spoken to, looked at, and gone when the block is left.

One thread and ``poll``, no event loop: an exchange is a write and a few reads, and nothing else goes on meanwhile. But
whatever waits also drains the console and stderr, because QEMU blocks under its big lock on a pipe that is full.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Self

from qstress.errors import RigError
from qstress.firmware.seabios import BootLog
from qstress.fuzz.confine import SECCOMP, Confinement, confined, limited
from qstress.fuzz.ops import Footprint, To
from qstress.fuzz.played import Ended
from qstress.fuzz.pool import OURS
from qstress.guest.argv import DEBUG_PORT, guarded

#: How long QEMU may take to greet; a loaded host is not a fault.
START_TIMEOUT_S = 60.0
#: How long a QEMU that hung up on a monitor may take to be gone.
ENDING_S = 10.0
_KEPT_BYTES = 64 * 1024
#: More than this no monitor has to say at once (a schema is 0.2 MB, 255 vCPUs' registers are 0.4 MB).
FLOOD_BYTES = 16 << 20
_READ_BYTES = 1 << 18
_GREETING = b'{"QMP"'
PROMPTS = (b"(qemu) ", b"Password: ")


class Channel:
    """One connection to a monitor; ``taken`` is what has come and was not used yet. None as ``sock``: closed."""

    def __init__(self, to: str) -> None:
        self.to = to
        self.sock: socket.socket | None = None
        self.taken = bytearray()
        self.lost = False  # QEMU hung up

    @property
    def flooded(self) -> bool:
        """Whether more came than a monitor has to say; what comes then is thrown away."""
        return len(self.taken) > FLOOD_BYTES

    def lines(self) -> list[bytes]:
        """Take the complete lines that have come."""
        end = self.taken.rfind(b"\n")
        if end < 0:
            return []
        whole = bytes(self.taken[:end])
        del self.taken[: end + 1]
        return whole.split(b"\n")


class Rig:
    """One live QEMU, paused; use as a context manager.

    :param argv: binary and arguments that define the guest (:func:`qstress.guest.argv.guest_arguments`).
    :param confinement: None runs it without bubblewrap, in a folder of its own.
    :param env: QEMU's whole environment.
    """

    def __init__(self, argv: Sequence[str], confinement: Confinement | None, *, env: Mapping[str, str]) -> None:
        self._argv = tuple(argv)
        self._confinement = confinement
        self._env = dict(env)
        self._stack = ExitStack()
        self._poll = select.poll()
        self._on_ready: dict[int, Callable[[], object]] = {}
        self._listeners: dict[To, int] = {}
        self._asked = 0
        self.channels = {To.QMP: Channel("qmp"), To.HMP: Channel("hmp")}
        self.control = Channel("control")
        self.console = BootLog()
        self.console_text = bytearray()
        self.said = bytearray()
        self.qemu_pid = 0
        self._init_fd = -1

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill QEMU and release everything."""
        self._stack.close()

    # what a player does

    def open(self, to: To, deadline_s: float) -> bytes | None:
        """Connect to a monitor and return its greeting; None when there is none by *deadline_s* (monotonic)."""
        channel = self.channels[to]
        self.close(to)
        channel.sock = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            # the socket's path is gone, so that nothing is left on disk and nobody else can connect
            channel.sock.connect(f"/proc/self/fd/{self._listeners[to]}")
        self._watch(channel)
        greeted = self._greeted if to is To.QMP else self.prompted
        if not self.wait(lambda: greeted(channel), deadline_s):
            return None
        if to is To.QMP:
            return channel.lines()[0]
        greeting = bytes(channel.taken)
        channel.taken.clear()
        return greeting

    def close(self, to: To) -> None:
        """Hang up on a monitor; what it still had to say is lost."""
        channel = self.channels[to]
        if channel.sock is not None:
            self._forget(channel.sock.fileno())
            channel.sock.close()
        channel.sock, channel.lost = None, False
        channel.taken.clear()

    def send(self, to: To, data: bytes, deadline_s: float) -> bool:
        """Write *data* to a monitor; return False when it did not take it by *deadline_s*, or hung up."""
        return self._send(self.channels[to], data, deadline_s)

    def wait(self, done: Callable[[], bool], deadline_s: float) -> bool:
        """Read whatever comes until *done*, or *deadline_s* (monotonic); return whether it is done."""
        while not done():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            self.pump(left_s)
        return True

    def pump(self, timeout_s: float) -> None:
        """Read what is there on every channel; wait for the first at most *timeout_s*."""
        for fd, _ in self._poll.poll(max(0.0, timeout_s) * 1000):
            if on_ready := self._on_ready.get(fd):
                on_ready()

    @staticmethod
    def prompted(channel: Channel) -> bool:
        """Whether HMP waits for a line."""
        return channel.lost or channel.taken.endswith(PROMPTS)

    # what oracles look at

    def unread(self, to: To) -> bool:
        """Whether QEMU has not read all that a monitor was sent (``SIOCOUTQ``, unix(7): it waits in QEMU's socket)."""
        sock = self.channels[to].sock
        with suppress(OSError):
            return sock is not None and int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder) > 0
        return False

    def ask(
        self, command: str, arguments: Mapping[str, object] | None = None, *, timeout_s: float, oob: bool = False
    ) -> Any:
        """Run a command on the control monitor and return what it returns; None when it does not answer in time.

        QEMU's own refusal counts as an answer: it returns the error's object.
        """
        self._asked += 1
        message = {"exec-oob" if oob else "execute": command, "arguments": dict(arguments or {}), "id": self._asked}
        deadline_s = time.monotonic() + timeout_s
        if not self._send(self.control, json.dumps(message).encode() + b"\n", deadline_s):
            return None
        found: list[Any] = []

        def answered() -> bool:
            for line in self.control.lines():
                reply = json.loads(line)
                if reply.get("id") == self._asked:
                    found.append(reply.get("return", reply.get("error")))
            return bool(found) or self.control.lost

        self.wait(answered, deadline_s)
        return found[0] if found else None

    def ended(self, within_s: float = 0.0) -> Ended | None:
        """Return how QEMU ended, waiting for that at most *within_s*; None while it runs."""
        deadline_s = time.monotonic() + within_s
        while (code := self._process.poll()) is None:
            if time.monotonic() >= deadline_s:
                return None
            self.pump(min(0.05, max(0.0, deadline_s - time.monotonic())))
        while self._take_output():
            pass
        if self._confinement is not None and code > 128:
            code = 128 - code  # bubblewrap passes a signal on as a shell does
        return Ended(code, self.said.decode(errors="replace"))

    def footprint(self) -> Footprint:
        """Return how many descriptors QEMU has open and how much private memory it uses (0 and 0 when it is gone)."""
        try:
            descriptors = len(os.listdir(f"/proc/{self.qemu_pid}/fd"))
            with open(f"/proc/{self.qemu_pid}/status") as status:
                anon = next((int(line.split()[1]) for line in status if line.startswith("RssAnon:")), 0)
        except OSError:
            return Footprint(0, 0)
        return Footprint(descriptors, anon * 1024)

    def times_s(self) -> tuple[float, float]:
        """Return how long QEMU's main thread has run, and how long that of its threads which waited longest has waited
        for a core (``schedstat``): any of them may be the one that the others wait for."""
        ran, waited = 0.0, 0.0
        with suppress(OSError, ValueError):
            for tid in os.listdir(f"/proc/{self.qemu_pid}/task"):
                with open(f"/proc/{self.qemu_pid}/task/{tid}/schedstat") as stat:
                    ran_ns, waited_ns = map(int, stat.read().split()[:2])
                waited = max(waited, waited_ns / 1e9)
                ran = ran_ns / 1e9 if int(tid) == self.qemu_pid else ran
        return ran, waited

    def waits(self) -> tuple[str, ...]:
        """Return a line for each thread of QEMU: its name, and what it waits for in the kernel (``0``: it runs)."""
        told = []
        with suppress(OSError):
            for tid in sorted(os.listdir(f"/proc/{self.qemu_pid}/task"), key=int):
                with open(f"/proc/{self.qemu_pid}/task/{tid}/comm") as comm:
                    name = comm.read().strip()
                with open(f"/proc/{self.qemu_pid}/task/{tid}/wchan") as wchan:
                    told.append(f"{name}: {wchan.read()}")
        return tuple(told)

    def threads(self, inner: Mapping[int, int]) -> dict[int, int]:
        """Translate thread ids as a monitor tells them, those of QEMU's PID namespace, to the host's.

        :param inner: vCPU index -> thread id.  Source: proc(5), ``NSpid``, innermost last.
        """
        outer: dict[int, int] = {}
        with suppress(OSError):
            for tid in os.listdir(f"/proc/{self.qemu_pid}/task"):
                outer[_namespace_id(f"/proc/{self.qemu_pid}/task/{tid}/status")] = int(tid)
        return {index: outer[tid] for index, tid in inner.items() if tid in outer}

    # the start

    def _start(self) -> None:
        stack, inherited = self._stack, []
        # the descriptors must not be closed before QEMU has them, nor stay open after
        with ExitStack() as handed:
            arguments = list(self._argv)
            for to in self.channels:
                self._listeners[to], theirs = self._listener(to)
                handed.callback(theirs.close)
                inherited.append(theirs.fileno())
                mode = "control" if to is To.QMP else "readline"
                name = f"{OURS}{to}"
                arguments += ["-chardev", f"socket,id={name},fd={theirs.fileno()},server=on,wait=off"]
                arguments += ["-mon", f"chardev={name},mode={mode}"]
            self.control.sock, theirs = socket.socketpair()
            handed.callback(theirs.close)
            inherited.append(theirs.fileno())
            arguments += ["-chardev", f"socket,id={OURS}control,fd={theirs.fileno()}"]
            arguments += ["-mon", f"chardev={OURS}control,mode=control"]
            console_fd, output_fd, status_fd = (self._pipe(handed, inherited) for _ in range(3))
            arguments += ["-add-fd", f"fd={console_fd[1]},set=1"]
            arguments += ["-chardev", f"file,id={OURS}console,path=/dev/fdset/1,append=on"]
            arguments += ["-device", f"isa-debugcon,iobase={DEBUG_PORT:#x},chardev={OURS}console"]
            arguments += ["-S", "-sandbox", SECCOMP]
            argv = self._command_line(arguments, status_fd[1], handed, inherited)
            self._process = self._spawn(argv, inherited, output_fd[1])
        self._on(console_fd[0], lambda: self._read_console(console_fd[0]))
        self._on(output_fd[0], self._take_output)
        self._output_fd, self._status_fd = output_fd[0], status_fd[0]
        self._watch(self.control)
        stack.callback(self.control.sock.close)
        for to in self.channels:
            stack.callback(self.close, to)
        self._greet()
        self.qemu_pid = self._find_qemu()

    def _spawn(self, argv: Sequence[str], inherited: Sequence[int], output_fd: int) -> subprocess.Popen[bytes]:
        """Start *argv*, to be killed when the block is left.

        Not :class:`qstress.guest.process.Process`, which keeps all that QEMU says: a fuzzed one can be told to log
        without end. Our environment stays ours: QEMU can read that of bubblewrap, which is process 1 to it.
        """
        try:
            process = subprocess.Popen(
                guarded(argv, parent_pid=os.getpid()), stdin=subprocess.DEVNULL, stdout=output_fd, stderr=output_fd,
                cwd="/", pass_fds=tuple(inherited), start_new_session=True, env={"PATH": os.environ.get("PATH", "")},
            )  # fmt: skip
        except OSError as error:
            raise RigError(f"cannot start a process: {error}", reason="spawn") from error

        def kill() -> None:
            process.kill()
            process.wait()
            if self._init_fd >= 0:  # QEMU is gone when its namespace's init is, which dies last (pid_namespaces(7))
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._init_fd, signal.SIGKILL)
                select.select([self._init_fd], [], [], ENDING_S)
                os.close(self._init_fd)

        self._stack.callback(kill)
        return process

    def _command_line(
        self, arguments: Sequence[str], status_fd: int, handed: ExitStack, inherited: list[int]
    ) -> tuple[str, ...]:
        if self._confinement is not None:
            file_fds = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in self._confinement.files]
            for fd in file_fds:
                handed.callback(os.close, fd)
            inherited += file_fds
            return confined(arguments, self._confinement, env=self._env, status_fd=status_fd, file_fds=file_fds)
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="qstress-fuzz-"))
        environment = [f"{name}={value}" for name, value in self._env.items()]
        return ("env", "-i", f"--chdir={folder}", *environment, *limited(arguments))

    def _greet(self) -> None:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        greeted = self.wait(lambda: self._greeted(self.control) or self.ended() is not None, deadline_s)
        oob = b'{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}\n'
        if greeted and self.control.lines() and self._send(self.control, oob, deadline_s):
            self.wait(lambda: b"\n" in self.control.taken or self.control.lost, deadline_s)
            if not self.control.lost:
                return
        ended = self.ended(within_s=1.0)
        what = f"ended with status {ended.returncode}" if ended else "did not open its monitor"
        words = " | ".join((ended.said if ended else self.said.decode(errors="replace")).splitlines()[-3:])
        raise RigError(f"{self._argv[0]} {what}: {words or 'it said nothing'}", reason="qemu-start")

    def _find_qemu(self) -> int:
        """Return QEMU's pid: bubblewrap's child is the namespace's init, QEMU its only child."""
        if self._confinement is None:
            return self._process.pid
        told = json.loads(os.read(self._status_fd, 4096).splitlines()[0])
        self._init_fd = os.pidfd_open(told["child-pid"])
        for status in os.listdir("/proc"):
            if status.isdigit() and _parent(status) == told["child-pid"]:
                return int(status)
        raise RigError("QEMU is not there behind bubblewrap", reason="qemu-start")

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

    def _pipe(self, handed: ExitStack, inherited: list[int]) -> tuple[int, int]:
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read_fd, False)
        self._stack.callback(os.close, read_fd)
        handed.callback(os.close, write_fd)
        inherited.append(write_fd)
        return read_fd, write_fd

    # reading and writing

    def _on(self, fd: int, on_ready: Callable[[], object]) -> None:
        self._on_ready[fd] = on_ready
        self._poll.register(fd, select.POLLIN)

    def _forget(self, fd: int) -> None:
        if self._on_ready.pop(fd, None):
            self._poll.unregister(fd)

    def _watch(self, channel: Channel) -> None:
        assert channel.sock is not None
        channel.sock.setblocking(False)
        self._on(channel.sock.fileno(), lambda: self._receive(channel))

    def _receive(self, channel: Channel) -> None:
        assert channel.sock is not None
        try:
            data = channel.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not channel.flooded:
            channel.taken += data
        if not data:
            channel.lost = True
            self._forget(channel.sock.fileno())

    def _send(self, channel: Channel, data: bytes, deadline_s: float) -> bool:
        view = memoryview(data)
        while view and channel.sock is not None and not channel.lost:
            try:
                view = view[channel.sock.send(view) :]
            except BlockingIOError:  # QEMU does not read; it may itself wait for us to read what it says
                self.pump(0.01)
                if time.monotonic() > deadline_s:
                    return False
            except OSError:
                return False
        return not view

    def _read_console(self, fd: int) -> None:
        data = _read(fd)
        if data == b"":
            self._forget(fd)
        self.console.feed(data or b"")
        self.console_text += (data or b"")[: max(0, _KEPT_BYTES - len(self.console_text))]

    def _take_output(self) -> bool:
        data = _read(self._output_fd)
        if data == b"":
            self._forget(self._output_fd)
        self.said += data or b""
        del self.said[:-_KEPT_BYTES]
        return bool(data)

    @staticmethod
    def _greeted(channel: Channel) -> bool:
        return channel.lost or (channel.taken.startswith(_GREETING) and channel.taken.endswith(b"\n"))


def _read(fd: int) -> bytes | None:
    """Return what is there, nothing at the end of file, None when there is nothing yet."""
    try:
        return os.read(fd, _READ_BYTES)
    except BlockingIOError:
        return None


def _namespace_id(status: str) -> int:
    with open(status) as lines:
        return next((int(line.split()[-1]) for line in lines if line.startswith("NSpid:")), 0)


def _parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rpartition(") ")[2].split()[1])
    except (OSError, IndexError):
        return 0

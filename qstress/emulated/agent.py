"""Runs inside an emulated host, as the one program that its init starts: commands for the machine outside.

One loop, standard library only (under emulation every import costs): it reads frames from the virtio console port, runs
what it is asked to, passes on what is printed, the kernel's log, and once a second that the host lives. It ends, and
with it the host, when the outside says so or goes away.

It holds an idle virtual machine for as long as it lives: KVM patches the kernel's code whenever the first one comes
and the last one goes, and QEMU's TCG before 8.1 can run a stale breakpoint then (docs/background/emulated-hosts.md,
"Traps of emulated hosts").
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
import tty
from dataclasses import dataclass, field
from pathlib import Path

from qstress.emulated.frames import Decoder, Frame, Kind

#: The one port of the virtio console; its number counts virtio devices (Linux: drivers/char/virtio_console.c).
PORTS = "vport*"
BEAT_S = 1.0
_KVM_CREATE_VM = 0xAE01  # Linux: include/uapi/linux/kvm.h
_CHUNK = 1 << 16
_PORT_WAIT_S = 20.0
#: A host that runs out of memory would kill a guest, which would look like a crash of QEMU: it panics instead.
_SETTINGS = {"vm/panic_on_oom": "1", "kernel/panic_on_oops": "1", "kernel/printk_devkmsg": "on"}


@dataclass(slots=True)
class _Command:
    """A command under way: what it prints by descriptor, and where its input goes."""

    process: subprocess.Popen[bytes]
    outputs: dict[int, Kind]
    input_fd: int
    pending: bytearray = field(default_factory=bytearray)
    input_ends: bool = False

    def feed(self) -> None:
        """Write what input there is without waiting; close it once all is written and its end was said."""
        with contextlib.suppress(BlockingIOError):
            while self.pending:
                try:
                    del self.pending[: os.write(self.input_fd, self.pending[:_CHUNK])]
                except BrokenPipeError:
                    self.pending.clear()
                    self.input_ends = True
        if self.input_ends and not self.pending and self.input_fd >= 0 and self.input_fd not in self.outputs:
            os.close(self.input_fd)
            self.input_fd = -1


class Agent:
    """The agent on an open port."""

    def __init__(self, port_fd: int, stolen: Path | None = None) -> None:
        """Serve on *port_fd*; *stolen* is where it is noted how much time the machine beneath takes."""
        self._port = port_fd
        self._decoder = Decoder()
        self._commands: dict[int, _Command] = {}
        self._kmsg = _open_kmsg()
        self._stolen = stolen
        self._over = False

    def run(self) -> None:
        """Serve until the outside says that it is over, or is gone."""
        self._send(Frame(Kind.HELLO))
        beat_s = 0.0
        while not self._over:
            if time.monotonic() >= beat_s + BEAT_S:
                beat_s = time.monotonic()
                beat = {"uptime_s": beat_s, "load": os.getloadavg()[0]}
                self._send(Frame(Kind.BEAT, body=json.dumps(beat).encode()))
            self._turn(BEAT_S)

    def _turn(self, wait_s: float) -> None:
        poll = select.poll()
        poll.register(self._port, select.POLLIN)
        if self._kmsg >= 0:
            poll.register(self._kmsg, select.POLLIN)
        by_fd = {}
        for number, command in self._commands.items():
            for fd in command.outputs:
                poll.register(fd, select.POLLIN)
                by_fd[fd] = number
            if command.pending:
                poll.register(command.input_fd, select.POLLOUT | (select.POLLIN if command.input_fd in by_fd else 0))
                by_fd[command.input_fd] = number
            if not command.outputs and command.process.poll() is None:
                wait_s = min(wait_s, 0.02)  # it has closed all it could print on and lives on
        for fd, event in poll.poll(wait_s * 1000):
            if fd == self._port:
                self._hear(event)
            elif fd == self._kmsg:
                self._pass_on_kernel_log()
            else:
                command = self._commands[by_fd[fd]]
                if fd == command.input_fd and event & (select.POLLOUT | select.POLLERR):
                    command.feed()
                if fd in command.outputs and event & ~select.POLLOUT:
                    self._pass_on(by_fd[fd], command, fd)
        for number in [number for number, each in self._commands.items() if not each.outputs]:
            self._end_if_over(number)

    def _hear(self, event: int) -> None:
        data = b""
        if event & select.POLLIN:
            with contextlib.suppress(OSError):  # reset: it went away with something unread
                data = os.read(self._port, _CHUNK)
        if not data:
            self._over = True  # nobody holds the other end any more
            return
        for frame in self._decoder.feed(data):
            self._obey(frame)

    def _obey(self, frame: Frame) -> None:
        command = self._commands.get(frame.command)
        match frame.kind:
            case Kind.OFF:
                self._over = True
            case Kind.FACTS:
                self._send(Frame(Kind.FACTS, body=json.dumps(_facts()).encode()))
            case Kind.STARVED:
                if self._stolen is not None:
                    self._stolen.write_bytes(frame.body)
            case Kind.RUN:
                self._start(frame.command, json.loads(frame.body))
            case Kind.INPUT if command is not None and command.input_fd >= 0:
                command.pending += frame.body
                command.input_ends = command.input_ends or not frame.body
                command.feed()
            case Kind.SIGNAL if command is not None and command.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(command.process.pid, signal.Signals(int(frame.body)))
            case _:
                pass  # for a command that is over

    def _start(self, number: int, asked: dict[str, object]) -> None:
        try:
            self._commands[number] = _started(asked)
        except OSError as error:
            argv = asked["argv"]
            self._send(Frame(Kind.ERRORS, number, f"{argv[0] if isinstance(argv, list) else argv}: {error}\n".encode()))
            self._send(Frame(Kind.EXIT, number, b"127"))

    def _pass_on(self, number: int, command: _Command, fd: int) -> None:
        try:
            data = os.read(fd, _CHUNK)
        except OSError:  # EIO: the terminal's other side is gone
            data = b""
        if data:
            self._send(Frame(command.outputs[fd], number, data))
            return
        del command.outputs[fd]
        os.close(fd)
        if fd == command.input_fd:
            command.input_fd = -1

    def _end_if_over(self, number: int) -> None:
        command = self._commands[number]
        if (status := command.process.poll()) is None:
            return
        if command.input_fd >= 0:
            os.close(command.input_fd)
        del self._commands[number]
        self._send(Frame(Kind.EXIT, number, str(status).encode()))

    def _pass_on_kernel_log(self) -> None:
        for _ in range(64):
            try:
                record = os.read(self._kmsg, 1 << 14)
            except BlockingIOError:
                return
            except OSError:  # EPIPE: it was overwritten before we read it; the sequence numbers show that
                continue
            self._send(Frame(Kind.KERNEL, body=record))

    def _send(self, frame: Frame) -> None:
        data = memoryview(frame.encoded())
        while data:
            try:
                data = data[os.write(self._port, data[:_CHUNK]) :]
            except BlockingIOError:
                select.select([], [self._port], [])
            except OSError:  # nobody holds the other end any more
                self._over = True
                return


def _started(asked: dict[str, object]) -> _Command:
    argv, env, cwd, size = asked["argv"], asked["env"], asked["cwd"], asked["terminal"]
    assert isinstance(argv, list)
    assert isinstance(env, dict)
    if not isinstance(size, list):
        process = subprocess.Popen(
            argv, env=env, cwd=str(cwd), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, bufsize=0,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        input_fd, out, err = (os.dup(each.fileno()) for each in (process.stdin, process.stdout, process.stderr))
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()
        os.set_blocking(input_fd, False)
        return _Command(process, {out: Kind.OUTPUT, err: Kind.ERRORS}, input_fd)
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        process = subprocess.Popen(
            ["setsid", "-c", *argv], env=env, cwd=str(cwd), stdin=theirs, stdout=theirs, stderr=theirs
        )
    finally:
        os.close(theirs)
    os.set_blocking(ours, False)
    return _Command(process, {ours: Kind.OUTPUT}, ours)


def _facts() -> dict[str, object]:
    from qstress.config.kvm import probe  # imported when somebody asks: seconds, here
    from qstress.host.facts import host_facts

    return host_facts(probe())


def _open_kmsg() -> int:
    try:
        fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(fd, 0, os.SEEK_END)
    except OSError:
        return -1
    return fd


def _open_port() -> int:
    deadline_s = time.monotonic() + _PORT_WAIT_S
    while True:
        try:
            fd = os.open(next(Path("/dev").glob(PORTS)), os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            break
        except (OSError, StopIteration):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)  # the driver is still looking for its ports
    with contextlib.suppress(termios.error):  # a port is no terminal; a serial line that stands in for it is
        tty.setraw(fd)
    return fd


def run_agent(about: str, about_path: str, stolen_path: str) -> None:
    """Set the kernel up, hold an idle virtual machine, and serve.

    :param about: JSON: what the outside knows of this host, kept at *about_path* for ``host_facts``.
    :param stolen_path: where it is noted how much time the machine beneath takes.
    """
    Path(about_path).write_text(about)
    for name, value in _SETTINGS.items():
        with contextlib.suppress(OSError):
            (Path("/proc/sys") / name).write_text(value)
    idle_vm = -1
    with contextlib.suppress(OSError):
        kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
        idle_vm = fcntl.ioctl(kvm, _KVM_CREATE_VM, 0)
    Agent(_open_port(), Path(stolen_path)).run()
    if idle_vm >= 0:
        os.close(idle_vm)

"""One command on an emulated host, as if it ran here: terminal, input, signals, exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence

from qstress.emulated.command import Machine
from qstress.emulated.fetch import find
from qstress.emulated.host import Streams, booted

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_inside(
    command: Sequence[str],
    kernel: str,
    machine: Machine,
    say: Callable[[str], None],
    *,
    qemu: str = "qemu-system-x86_64",
) -> int:
    """Boot an emulated host, run *command* in it, and return its exit status.

    With a terminal on both standard input and output the command gets one of its own. A first SIGINT or SIGTERM goes to
    the command, a second ends the host.

    :param kernel: ``auto``, a version, or a path.
    :param say: told what happens, for people.
    :raises RigError: the host cannot be booted, or is lost.
    """
    found = find(kernel, say)
    began_s = time.monotonic()
    with booted(found, machine, qemu=qemu) as host:
        say(f"emulated host: kernel {found.release}, up in {time.monotonic() - began_s:.1f} s")
        size = _terminal_size()
        with _signals(raw=size is not None) as signals:
            streams = Streams(0 if not sys.stdin.closed else None, 1, 2, size)
            return host.execute(command, streams, signals=signals)


def without_host(arguments: Sequence[str]) -> list[str]:
    """Return *arguments* without ``--host …``.

    >>> without_host(["check", "--host", "emulated", "--bringups", "4"])
    ['check', '--bringups', '4']
    """
    kept: list[str] = []
    skip = False
    for number, word in enumerate(arguments):
        if word == "--":
            return [*kept, *arguments[number:]]
        if skip or word == "--host" or word.startswith("--host="):
            skip = not skip and word == "--host"
        else:
            kept.append(word)
    return kept


def _terminal_size() -> tuple[int, int] | None:
    if not (os.isatty(0) and os.isatty(1)):
        return None
    size = os.get_terminal_size(1)
    return size.lines, size.columns


@contextlib.contextmanager
def _signals(*, raw: bool) -> Iterator[int]:
    """Turn signals into bytes on the descriptor that is yielded; put the terminal into raw mode, and back."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in _PASSED_ON}
    old_fd = signal.set_wakeup_fd(writer.fileno())
    mode = termios.tcgetattr(0) if raw else None
    try:
        if mode is not None:
            tty.setraw(0)
        yield reader.fileno()
    finally:
        if mode is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, mode)
        signal.set_wakeup_fd(old_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()

"""``python -m tools.watched_soak NOTES STAND-IN ARGS…``: ``qstress ARGS…``, for tools that break soaks or time them.

It notes the process id of each emulated host, and each trial once it is kept, in the file NOTES, a line each
(:class:`Kept`). SIGUSR1 has the shell command in ``BREAK_HOST_BY`` run inside the host. STAND-IN is a folder: the host
is then a program on this machine that speaks as one (``tests/emulated/hosts.py``), up at once; ``-``: it is real. With
``QUICK_MONITORS`` in the environment, no QEMU runs at all (:mod:`tools.quick_monitors`).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from qstress.cli import main
from qstress.emulated.command import Machine
from qstress.emulated.frames import Frame, Kind
from qstress.emulated.host import EmulatedHost
from qstress.emulated.kernel import Kernel
from qstress.model import TrialResult
from qstress.run import emulated
from qstress.run.screen import Screen
from tests.emulated.hosts import AGENT, no_kernel, stand_in
from tools.quick_monitors import MONITORS, hammer_quick_monitors

#: The environment variable with what breaks the host, and the number of that command, which no other has.
BREAK_BY, BREAKING = "BREAK_HOST_BY", 1 << 30


class Kept(NamedTuple):
    """A trial that is kept: its outcome and number, when that was (monotonic), and the CPU time that the soak's own
    process had taken by then, both in seconds."""

    outcome: str
    number: int
    at_s: float
    cpu_s: float


def kept_in(notes: Path) -> list[Kept]:
    """Return the trials that *notes* says are kept, in order."""
    lines = (line.split() for line in notes.read_text().splitlines()) if notes.exists() else ()
    return [Kept(words[0], int(words[1]), float(words[2]), float(words[3])) for words in lines if words[0] != "host"]


def watch(notes: Path, stand_ins: Path | None) -> None:
    """Have whatever this process runs from now on note what it does, and break its host when told to."""
    fd = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    hosts: list[EmulatedHost] = []
    begin, on_result = EmulatedHost.__init__, Screen.on_result

    def note(*words: object) -> None:
        os.write(fd, (" ".join(map(str, words)) + "\n").encode())

    def noting_begin(host: EmulatedHost, kernel: Kernel, machine: Machine, qemu: str) -> None:
        begin(host, kernel, machine, qemu)
        hosts.append(host)
        note("host", host.pid)

    def noting_result(screen: Screen, result: TrialResult, place: str | None) -> None:
        note(result.verdict.outcome, result.trial.number, time.monotonic(), time.process_time())
        on_result(screen, result, place)

    def break_host(*_: object) -> None:
        asked = json.dumps({"argv": ["sh", "-c", os.environ[BREAK_BY]], "env": {}, "cwd": "/", "terminal": None})
        hosts[-1]._send(Frame(Kind.RUN, BREAKING, asked.encode()))

    patch.object(EmulatedHost, "__init__", noting_begin).start()
    patch.object(Screen, "on_result", noting_result).start()
    signal.signal(signal.SIGUSR1, break_host)
    if MONITORS in os.environ:
        hammer_quick_monitors()
    if stand_ins is not None:
        patch.object(emulated, "find", lambda wanted, say: no_kernel(stand_ins)).start()
        patch.object(emulated, "QEMU", stand_in(stand_ins, AGENT)).start()


if __name__ == "__main__":
    _, told, instead, *sys.argv[1:] = sys.argv
    watch(Path(told), None if instead == "-" else Path(instead))
    main()

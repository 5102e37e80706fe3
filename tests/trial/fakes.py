"""A guest without a QEMU: a scripted monitor, a process that ends when the test says so, and a real console."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio

from qstress.firmware import firmware_of
from qstress.firmware.streams import Stream
from qstress.guest.console import Console
from qstress.guest.live import Guest
from qstress.guest.process import Process
from qstress.guest.qmp import Control
from qstress.interposer.log import WindowLog
from qstress.model import Milestone, Shape, Trial
from qstress.trial.context import Coordinator
from qstress.trial.instrumented import Bell, InstrumentedGuest
from tests.hammer.test_drive import ScriptedWire
from tests.samples import build, shape

Answer = Callable[[str], object] | object


class FakeMonitor:
    """Answers from ``answers``, by the first word of a command or HMP line: a value, something to raise, or a callable
    that is given all of it. ``asked`` holds the commands in order; what is not scripted is answered by nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {"query-status": {"running": True, "status": "running"}}

    async def execute(self, command: str, arguments: Any = None, *, timeout_s: float, oob: bool = False) -> Any:
        self.asked.append(command)
        return self._answer(command)

    async def hmp(self, line: str, *, timeout_s: float) -> str:
        self.asked.append(line)
        return cast(str, self._answer(line) or "")

    def _answer(self, line: str) -> object:
        answer = self.answers.get(line, self.answers.get(line.split()[0]))
        if callable(answer):
            answer = answer(line)
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeProcess:
    """A process that is us, as far as ``/proc`` is concerned, until the test ends it."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.folder = Path("/nonexistent")
        self.returncode: int | None = None
        self.rss_bytes = 1 << 20
        self.exited = anyio.Event()
        self.words = ""

    def said(self) -> str:
        return self.words

    async def end(self, *, grace_s: float | None = 2.0) -> None:
        self.end_with(-9)

    def end_with(self, status: int, words: str = "") -> None:
        self.returncode, self.words = status, words
        self.exited.set()


class FakeChurn:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Milestone] = []
        self.count = None

    async def stop(self) -> None:
        pass

    def reached(self, milestone: Milestone) -> None:
        self.told.append(milestone)


class FakeLog(WindowLog):
    """Remembers whether APs may be held; there is no log."""

    def __init__(self) -> None:
        super().__init__({})
        self.held: list[bool] = []

    def hold(self, holding: bool) -> None:
        self.held.append(holding)


class Stage:
    """An instrumented guest that nothing runs in; ``prints`` is its console."""

    def __init__(self, made: InstrumentedGuest) -> None:
        self.made = made
        self.guest = made.guest
        self.monitor = cast(FakeMonitor, made.guest.control)
        self.process = cast(FakeProcess, made.guest.process)
        self.churn = cast(FakeChurn, made.churn)
        self.log = cast(FakeLog, made.log)
        self.wires = cast(list[ScriptedWire], made.guest.wires)

    def prints(self, *lines: bytes) -> None:
        """Have the guest print *lines*, and read them."""
        os.write(self.guest.console.write_fds[Stream.DEBUG], b"".join(lines))
        self.guest.console.drain()

    def ends(self, status: int, words: str = "") -> None:
        """Have QEMU end."""
        self.process.end_with(status, words)
        self.made.bell.ring()


@asynccontextmanager
async def staged(
    of: Shape | None = None, *, hammers: int = 0, coordinator: Coordinator | None = None
) -> AsyncIterator[Stage]:
    """Hand out a paused guest of shape *of*, with so many hammer monitors."""
    of = shape() if of is None else of
    bell = Bell()
    console = Console(firmware_of(of).reader(of, None), bell.ring)
    guest = Guest(
        build(), of, ("qemu-system-x86_64",), cast(Process, FakeProcess()), cast(Control, FakeMonitor()), console,
        [ScriptedWire() for _ in range(hammers)],
    )  # fmt: skip
    async with anyio.create_task_group() as tasks:
        churn = cast(Any, FakeChurn())
        made = InstrumentedGuest(guest, FakeLog(), bell, churn, tasks, coordinator or Coordinator(), 0)
        yield Stage(made)
        tasks.cancel_scope.cancel()
    console.close()


def shaped(trial: Trial, **changes: Any) -> Trial:
    """*trial* with a shape changed so."""
    stratum = trial.cell.stratum
    return replace(trial, cell=replace(trial.cell, stratum=replace(stratum, shape=replace(stratum.shape, **changes))))


def with_attributes(**values: Any) -> Any:
    """Anything with these attributes."""
    return SimpleNamespace(**cast(Mapping[str, Any], values))

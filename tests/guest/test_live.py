"""What a guest promises where no QEMU fails on cue: order of commands, the ladder of ending, a start that fails."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import anyio
import pytest

from qstress.errors import GuestError, RigError
from qstress.firmware import firmware_of
from qstress.guest import live
from qstress.guest.console import Console
from qstress.guest.live import Guest, live_guest
from qstress.guest.process import Process
from qstress.guest.qmp import Control, MonitorSilent
from qstress.model import Accel, Build, Shape

SHAPE = Shape(2, "pc", Accel.TCG, 32 << 20, "seabios")
BUILD = Build("fake", "/nonexistent/qemu", "", "")


class ScriptedControl:
    """A control monitor that remembers what it was told and answers by a script; None: it stays silent."""

    def __init__(self, answers: dict[str, object] | None = None, *, silent: tuple[str, ...] = ()) -> None:
        self.told: list[str] = []
        self._answers = answers or {}
        self._silent = silent

    async def execute(self, command: str, arguments: object = None, *, timeout_s: float) -> object:
        await anyio.lowlevel.checkpoint()
        self.told.append(command)
        if command in self._silent:
            raise MonitorSilent(f"{command}: no answer within {timeout_s} s")
        return self._answers.get(command, {})


class FakeProcess:
    """A process that ends when it is told to, and remembers how."""

    def __init__(self) -> None:
        self.exited = anyio.Event()
        self.graces: list[float | None] = []
        self.returncode: int | None = None

    async def end(self, *, grace_s: float | None) -> None:
        await anyio.lowlevel.checkpoint()
        self.graces.append(grace_s)
        self.exited.set()


def guest(control: ScriptedControl, process: FakeProcess | None = None) -> Guest:
    console = Console(firmware_of(SHAPE).reader(SHAPE, None), lambda: None)
    made = Guest(
        BUILD, SHAPE, (), cast(Process, process or FakeProcess()), cast(Control, control), console, [],
        events=[{"event": "RESET"}],
    )  # fmt: skip
    console.close_write_ends()
    return made


async def test_a_reset_in_place_stops_the_guest_first_and_begins_the_console_anew() -> None:
    control = ScriptedControl()
    made = guest(control)
    before, made.resets = made.console.log, 2
    await made.stop_for_reset(timeout_s=1.0)
    assert made.console.log is not before
    assert made.events == []
    assert (made.resets, made.counts_resets) == (0, False)  # SeaBIOS resets itself before its banner: no longer a sign
    await made.reset(timeout_s=1.0)
    assert control.told == ["stop", "system_reset", "cont"]
    made.console.close()


async def test_threads_are_told_by_vcpu() -> None:
    control = ScriptedControl(
        {"query-cpus-fast": [{"cpu-index": 1, "thread-id": 12}, {"cpu-index": 0, "thread-id": 11}]}
    )
    made = guest(control)
    assert await made.vcpu_threads(timeout_s=1.0) == {0: 11, 1: 12}
    made.console.close()


@pytest.mark.parametrize(
    ("polite", "silent", "told", "graces"),
    [(True, ("quit",), ["quit"], [0.5]), (False, (), [], [None])],
    ids=["a silent monitor: TERM and KILL", "impolite: KILL at once"],
)
async def test_the_ladder_of_ending(
    polite: bool, silent: tuple[str, ...], told: list[str], graces: list[float | None]
) -> None:
    control, process = ScriptedControl(silent=silent), FakeProcess()
    made = guest(control, process)
    await made.end(polite=polite, grace_s=0.5)
    assert (control.told, process.graces) == (told, graces)
    made.console.close()


async def test_a_process_that_is_gone_is_told_nothing() -> None:
    control, process = ScriptedControl(), FakeProcess()
    process.returncode = 0
    process.exited.set()
    made = guest(control, process)
    await made.end()
    assert (control.told, process.graces) == ([], [])
    made.console.close()


def script(folder: Path, text: str) -> Build:
    """A QEMU that is a shell script."""
    path = folder / "qemu"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return replace(BUILD, binary=str(path))


async def failing(build: Build) -> RigError:
    """Start *build*, which must fail, and return what it failed with; nothing of it may be left."""
    descriptors = set(os.listdir("/proc/self/fd"))
    with pytest.raises(ExceptionGroup) as caught:
        async with live_guest(build, SHAPE, env={}, on_change=lambda: None):
            pytest.fail("it started")
    assert set(os.listdir("/proc/self/fd")) == descriptors
    group: BaseException = caught.value
    while isinstance(group, BaseExceptionGroup):
        (group,) = group.exceptions
    assert isinstance(group, RigError)
    return group


async def test_a_qemu_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    error = await failing(script(tmp_path, "echo warning: of no interest >&2; echo out of paper >&2; exit 3"))
    assert "it ended with status 3: out of paper" in str(error)


async def test_a_qemu_that_never_greets_is_given_up_and_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "START_TIMEOUT_S", 0.2)
    error = await failing(script(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 600"))
    assert "it is still running" in str(error)
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


async def test_a_qemu_that_does_not_exist_is_the_rigs_fault(tmp_path: Path) -> None:
    assert "no-such-qemu" in str(await failing(replace(BUILD, binary=str(tmp_path / "no-such-qemu"))))


async def test_events_are_counted_until_we_reset_ourselves() -> None:
    on_event: list[Callable[[dict[str, object]], None]] = []

    class Listened(Control):
        def __init__(self, listener: Callable[[dict[str, object]], None], **more: object) -> None:
            on_event.append(listener)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "Control", Listened)
        console = Console(firmware_of(SHAPE).reader(SHAPE, None), lambda: None)
        rung: list[int] = []
        made = live._assemble(
            BUILD, SHAPE, (), cast(Process, FakeProcess()), console, lambda: rung.append(1), lazy=False
        )
    for name in ("RESET", "STOP", "RESET"):
        on_event[0]({"event": name})
    made.counts_resets = False
    on_event[0]({"event": "RESET"})
    on_event[0]({"event": "GUEST_PANICKED"})
    assert (made.resets, made.panicked, len(made.events), len(rung)) == (2, True, 5, 5)
    console.close_write_ends()
    console.close()


async def test_a_monitor_that_refuses_to_go_on_is_the_guests_fault() -> None:
    made = guest(ScriptedControl(silent=("cont",)))
    with pytest.raises(GuestError):
        await made.cont(timeout_s=0.1)
    assert made.paused
    made.console.close()

"""Guests of one kind, one after another, and what a command makes of them: sent, watched until it is over, settled."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

from qstress.errors import GuestError, RigError
from qstress.firmware import SMPSCAN
from qstress.fuzz.fuzzed_guest import FuzzedGuest, GuestSetup
from qstress.fuzz.replay import ask_schema
from qstress.fuzz.schema import Schema
from qstress.guest.argv import guest_arguments
from qstress.interposer.log import WindowLog
from qstress.interposer.windows import LogRecord
from qstress.model import Build, Shape
from qstress.survey.observed import GuestKind, Sending, open_vcpus, sending
from qstress.survey.recipes import DEVICES, UNDER_WAY
from qstress.survey.requests import Request, Step

#: A write-back came up to 18 ms after the reply (docs/background/cure-and-survey.md, "Which commands write a vCPU's
#: state back"), so a guest counts as settled when nothing was recorded for so long.
QUIET_S = 0.02
#: How long that may take; a migration that is told to go on has written by then.
SETTLE_S = 5.0
#: How long a reply, and what a command starts, may take.
REPLY_S, OVER_S = 10.0, 15.0
_LOOK_EVERY_S = 0.004
_BOOT_S = 30.0
#: How often a guest may fail to come up in a row.
_STARTS = 3
#: How smpscan says that all vCPUs are up, in time or late (``qstress/firmware/smpscan_console.py``).
_UP = (b")", b"+")
#: What gdb asks first: why the guest has stopped, and its registers (GDB manual, "Remote Serial Protocol").
_GDB = b"+$?#3f+$g#67+"
_ENDLESS = '"speed":1'  # of a job that is to last
#: The run state of each kind of guest (``qapi/run-state.json``).
_STATUS = {
    GuestKind.WAITING: "running", GuestKind.BOOTED: "running", GuestKind.STOPPED: "paused",
    GuestKind.PAUSED: "prelaunch",
}  # fmt: skip


class GuestLost(GuestError):
    """QEMU ended, or does not answer."""


@dataclass(frozen=True, slots=True)
class StageSetting:
    """What all guests of a survey have in common. ``parking_rom`` is the image of those whose APs wait."""

    build: Build
    shape: Shape
    setup: GuestSetup
    parking_rom: str


class Stage:
    """Guests of one kind; a context manager. At most one is there at a time, started when it is needed."""

    def __init__(self, state: GuestKind, setting: StageSetting) -> None:
        self.state, self._setting = state, setting
        self.started = 0
        self._stack = ExitStack()
        self._guest: FuzzedGuest | None = None
        self._prepared: set[Step] = set()
        self._log: WindowLog
        self._gdb: socket.socket

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.renew()

    def renew(self) -> None:
        """End the guest; the next command gets a new one."""
        self._guest = None
        self._prepared.clear()
        self._stack.close()

    @property
    def alive(self) -> bool:
        """Whether the next command meets the guest of the last one."""
        return self._guest is not None

    def _ready(self) -> FuzzedGuest:
        """Return the guest, ready for a command.

        :raises RigError: QEMU cannot be started, or its guest does not come up.
        """
        failed = 0
        while self._guest is None:
            try:
                self._guest = self._start()
            except GuestError as error:
                self.renew()
                failed += 1
                if failed == _STARTS:
                    raise RigError(f"{self._setting.build.binary}: {error}", reason="qemu-start") from error
            else:
                self.settle(running=self._runs)
        return self._guest

    @property
    def _runs(self) -> bool:
        return self.state in (GuestKind.WAITING, GuestKind.BOOTED)

    def control(self) -> tuple[LogRecord, ...]:
        """Send nothing, and return what was recorded all the same."""
        self._ready()
        self._log.read()
        return self.settle(running=self._runs)

    def schema(self) -> Schema:
        """Return QEMU's schema.

        :raises RigError: it does not tell it.
        """
        return ask_schema(self._ready())

    def hmp(self, line: str) -> str:
        """Return the text of an HMP line.

        :raises GuestLost: QEMU ended, or does not answer.
        """
        return str(self._ask(Step(line), 0))

    def _prepare(self, request: Request, number: int) -> None:
        """Take the steps before a request; what they make QEMU do is not charged to it."""
        for step in request.before:
            once = "@" not in step.command + (step.arguments or "")
            if once and step in self._prepared:
                continue
            self._ask(step, number)
            if _ENDLESS not in (step.arguments or ""):
                self._until_over(step.command)
            self._prepared.add(step)

    def send(self, request: Request, number: int, cpu: int | None, accepts: Callable[[Request, Any], str]) -> Sending:
        """Send *request* and return what it made QEMU do.

        :param number: of this sending, in this guest's life.
        :param cpu: for an HMP line: which vCPU the monitor is at.
        :param accepts: says in QEMU's words why a reply is a refusal; empty where it is none.
        :raises GuestLost: QEMU ended, or does not answer.
        :raises RigError: QEMU cannot be started.
        """
        self._ready()
        self._prepare(request, number)
        if request.before:
            self.settle(running=self._runs)
        self._log.read()
        reply = self._ask(request.step, number, cpu)
        refused = accepts(request, reply)
        if not refused:
            self._begun(request)
        status = self._status()
        records = self.settle(running=status == "running")
        later = () if status == _STATUS[self.state] and (self._runs or not records) else self._gone_on()
        if request.after and self.alive:
            for step in request.after:
                self._ask(step, number)
                self._until_over(step.command)
            self.settle(running=self._runs)
        return sending(self.state, records, later, accepted=not refused, said=refused, cpu=cpu)

    def settle(self, *, running: bool) -> tuple[LogRecord, ...]:
        """Return what was recorded since the last look, once nothing has been for a while and no vCPU that runs stands
        between reading and writing back."""
        records: list[LogRecord] = []
        quiet_since_s = began_s = time.monotonic()
        assert self._guest is not None
        while True:
            log = self._log.read()
            now_s = time.monotonic()
            if log is not None and log.records:
                records += log.records
                quiet_since_s = now_s
            is_open = running and bool(open_vcpus(records))
            if now_s - quiet_since_s >= QUIET_S and not is_open or now_s - began_s > SETTLE_S:
                return tuple(records)
            self._guest.poller.pump(_LOOK_EVERY_S)

    def _gone_on(self) -> tuple[LogRecord, ...]:
        """Have the guest go on, so that it writes back what was read, bring it back to its state, or end it where there
        is no way back; return what was recorded until it ran."""
        self._plain("cont")
        later = self.settle(running=True)
        if self.state is GuestKind.PAUSED or self._status() != "running":
            self.renew()
        elif self.state is GuestKind.STOPPED:
            self._plain("stop")
            self.settle(running=False)
        return later

    def _status(self) -> str:
        return str(self._plain("query-status").get("status"))

    def _plain(self, command: str) -> dict[str, Any]:
        reply = self._ask(Step(command, "{}"), 0)
        return reply if isinstance(reply, dict) else {}

    def _ask(self, step: Step, number: int, cpu: int | None = None) -> Any:
        command, arguments = step.qmp(number, cpu)
        guest = self._ready()
        if command in ("getfd", "add-fd") and guest.control.sock is not None:
            with open(os.devnull, "wb") as null:
                socket.send_fds(guest.control.sock, [b" "], [null.fileno()])
        reply = guest.ask(command, arguments, timeout_s=REPLY_S)
        if reply is None:
            ended = guest.ended(within_s=1.0)
            self.renew()
            raise GuestLost(f"{command}: QEMU {'does not answer' if ended is None else 'ended'}")
        return reply

    def _begun(self, request: Request) -> None:
        """Do what a command waits for, and wait until what it has started is over."""
        if request.name == "gdbserver":
            self._gdb.send(_GDB)
        self._until_over(request.name)

    def _until_over(self, command: str) -> None:
        """Wait until what *command* has started is over; at most for a while."""
        deadline_s = time.monotonic() + OVER_S
        for query, (states, starters) in UNDER_WAY.items():
            if command not in starters:
                continue
            while time.monotonic() < deadline_s:
                reply = self._ask(Step(query, "{}"), 0)
                jobs = reply if isinstance(reply, list) else [reply]
                if not any(isinstance(job, dict) and job.get("status") in states for job in jobs):
                    break
                assert self._guest is not None
                self._guest.poller.pump(_LOOK_EVERY_S)

    def _start(self) -> FuzzedGuest:
        setting, stack = self._setting, self._stack
        self._log = stack.enter_context(WindowLog(setting.setup.env))
        self._gdb, theirs = socket.socketpair()
        stack.callback(self._gdb.close)
        with theirs:
            waiting = self.state is GuestKind.WAITING
            rom = ("-bios", setting.parking_rom) if waiting else SMPSCAN.arguments(setting.shape, 0)
            argv = guest_arguments(setting.build, setting.shape, firmware=rom)
            argv = (*argv, *DEVICES, "-chardev", f"socket,id=gdb,fd={theirs.fileno()}")
            fds = (*self._log.pass_fds, theirs.fileno())
            setup = GuestSetup(setting.setup.confinement, self._log.env, setting.setup.reply_s, fds)
            guest = stack.enter_context(FuzzedGuest(argv, setup))
        self.started += 1
        self._guest = guest
        if self.state is not GuestKind.PAUSED:
            self._plain("cont")
            if self.state is not GuestKind.WAITING and not guest.poller.wait(
                lambda: any(sign in guest.console_text for sign in _UP), time.monotonic() + _BOOT_S
            ):
                raise GuestLost("the guest does not come up")
            self.settle(running=True)
        if self.state is GuestKind.STOPPED:
            self._plain("stop")
        return guest

"""The driver of one bring-up, or of a series: what the watch asks for, done on a guest with its instruments.

All that decides anything is in :mod:`qstress.trial.watch`. A guest that ends or a monitor that falls silent is an event
like others, so nothing but defects of ours comes out of :meth:`Bringup.advance`. What a bring-up finds is told outside
of it, by :mod:`qstress.trial.process_run`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable
from contextlib import suppress
from enum import Enum

import anyio
from anyio.lowlevel import checkpoint

from qstress.errors import GuestError, RigError
from qstress.guest.placement import apply_placement
from qstress.guest.qmp import MonitorClosed, MonitorSilent
from qstress.hammer.drive import Hammer
from qstress.interposer.windows import Log
from qstress.model import Milestone, Observation, Outcome, Trial, Verdict
from qstress.observe import usage
from qstress.trial import boot_cpu, events, inject, leave_out
from qstress.trial.events import WatchAction, WatchEvent
from qstress.trial.examine import ClosedLook, examine, examine_stall
from qstress.trial.instrumented import InstrumentedGuest
from qstress.trial.journal import Journal
from qstress.trial.replies import Replies
from qstress.trial.settings import trial_facts
from qstress.trial.states import WatchState
from qstress.trial.watch import Watch, WatchSettings

#: How often it is asked, during a closer look, whether QEMU's process was stopped.
STOPPED_EVERY_S = 0.05
#: For how long an out-of-band command is tried on a silent monitor; how long an exit that broke it may take to show.
OUT_OF_BAND_S, EXIT_GRACE_S = 2.0, 0.2


class Start(Enum):
    """How a bring-up begins."""

    CONT = "cont"  # the guest is new, and let run
    RESET = "reset"  # it has booted before, and is reset
    RUNNING = "running"  # it resets itself, and has already


class Bringup:
    """One bring-up of *trial*, or with ``settings.most`` a series of them; read when it is over.

    ``entered_s`` is when its time began to count (monotonic), ``look`` the last closer look.
    """

    def __init__(self, made: InstrumentedGuest, trial: Trial, settings: WatchSettings, entered_s: float) -> None:
        shape, log = trial.cell.stratum.shape, made.guest.console.log
        self.made = made
        self.trial = trial
        self.entered_s = entered_s
        self.replies = Replies(self._dumped if shape.observe == "none" else None)
        self.hammers = [
            Hammer(spec, trial.seed + i, self.replies.add, smp=shape.smp)
            for i, spec in enumerate(trial.cell.stratum.hammers)
        ]
        self.watch = Watch(settings, log)
        self.journal = Journal(settings, shape, log, trial_facts(trial))
        self.look: ClosedLook | None = None
        self._todo: deque[WatchAction] = deque()
        self._wake_s = 0.0

    @property
    def verdict(self) -> Verdict:
        """What the bring-up came to."""
        return self.watch.verdict or Verdict(Outcome.UNKNOWN, "the trial did not come to a verdict")

    async def advance(self) -> events.CountHealthy | None:
        """Go on until some bring-ups of a series have ended well, and say how many; None once there is a verdict."""
        while True:
            counted = await self._do_asked()
            if counted is not None:
                return counted
            if self.watch.verdict is not None:
                self.made.guest.console.listen(None)
                return None
            await self.made.bell.wait_until(self._wake_s)
            self._notice()
            self.tell(events.Tick(self._silent_since_s()))

    async def start(self, began_s: float) -> None:
        """Have the watch begin; the guest is told to run right after this."""
        self.made.guest.console.listen(lambda data, stream: self.tell(events.Output(data, stream)))
        self.tell(events.Started(began_s))
        await self._do_asked()

    async def hammer_at_once(self) -> None:
        """Have the hammers begin before the guest runs: on a busy host it is up before its ``cont`` is answered."""
        for index, (start, _) in enumerate(self.watch.settings.hammers):
            if start is Milestone.START:
                await self._do(events.StartHammer(index))

    def turn_to(self, trial: Trial, now_s: float) -> None:
        """Go on with the next bring-up of a series, whose time counts from *now_s* (monotonic seconds)."""
        self.trial, self.entered_s = trial, now_s
        self.made.turn_to(trial)

    def enough(self) -> None:
        """End a series that has no verdict yet: nobody wants more. A doubt is followed up first."""
        if self.watch.state is WatchState.WATCHING:
            self.tell(events.Enough())

    def hear(self, log: Log | None) -> None:
        """Tell a finding's watch, as a second witness, what the interposer recorded; None: it was not there."""
        if log is not None and self.verdict.outcome.finding:
            self.tell(events.WindowLogRead(log))

    def tell(self, event: WatchEvent) -> None:
        """Tell the watch that *event* happened now; what it asks for is done by :meth:`advance`."""
        now_s = time.monotonic()
        self.journal.add(event, now_s)
        for action in self.watch.step(event, now_s):
            if not isinstance(action, events.WakeAt):
                self._todo.append(action)
                continue
            self._wake_s = action.at_s
            if action.at_s <= now_s:
                self.made.bell.ring()

    async def _do_asked(self) -> events.CountHealthy | None:
        while self._todo:
            action = self._todo.popleft()
            if isinstance(action, events.CountHealthy):
                return action
            await self._do(action)
        return None

    async def _do(self, action: WatchAction) -> None:
        match action:
            case events.StartHammer(index):
                self.made.tasks.start_soon(self.hammers[index].run)
                await checkpoint()  # it has begun: it can be stopped
            case events.StopHammer(index):
                self.hammers[index].stop()
            case events.HoldAps() | events.ReleaseAps():
                self.made.log.hold(isinstance(action, events.HoldAps))
            case events.TellChurn(milestone):
                self.made.churn.reached(milestone)
            case events.PlugLostAp():
                await self._plug()
            case events.AskBootCpu():
                await self._ask_boot_cpu()
            case events.LookCloser():
                await self._look_closer()
            case events.LookAtStall():
                await self._look_at_stall()
            case events.AbandonCommands():
                for hammer in self.hammers:
                    hammer.abandon()

    def _notice(self) -> None:
        """Tell what can only be asked for."""
        guest, known = self.made.guest, self.watch.qemu
        status = guest.process.returncode
        if status is not None and known.exited is None:
            guest.console.drain()
            self.tell(events.QemuExited(status, guest.process.said()))
        if guest.resets != known.resets:
            self.tell(events.GuestReset(guest.resets))
        if guest.panicked and not known.panicked:
            self.tell(events.GuestPanicked())

    def _silent_since_s(self) -> float | None:
        waiting = [hammer.waiting_since_s for hammer in self.hammers if hammer.waiting_since_s is not None]
        return min(waiting, default=None)

    def _dumped(self, dump: Observation) -> None:
        if self.watch.verdict is None:
            self.tell(events.Dumped(dump))

    async def _plug(self) -> None:
        guest, limits = self.made.guest, self.watch.settings.limits
        try:
            if guest.gdb is not None:
                due = await leave_out.strike(guest, guest.gdb, self.trial, quiet_s=limits.settle_s)
            elif due := await inject.is_due(guest, quiet_s=limits.settle_s):
                await inject.add_the_lost_one(guest, timeout_s=limits.reply_s)
            self.tell(events.PlugTried(due))
        except RigError as error:
            self.tell(events.RigFailed(str(error), error.reason))

    async def _ask_boot_cpu(self) -> None:
        loop = None
        with suppress(GuestError):
            loop = (await boot_cpu.look(self.made.guest, timeout_s=self.watch.settings.limits.quiet_s)).loop
        self.tell(events.BootCpuSeen(loop))

    async def _look_closer(self) -> None:
        look = None
        if not self._stopped:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._until_stopped, tasks.cancel_scope)
                look = await self._examined()
                tasks.cancel_scope.cancel()
            await self._seen_to_end(EXIT_GRACE_S if look is None else 0.0)
        if look is None:
            self.tell(events.LookFailed())
        else:
            self.look = look
            self.tell(events.Looked(look.examination))

    async def _examined(self) -> ClosedLook | None:
        """Look closer once the hammers are at rest; None where the monitor does not answer."""
        guest, limits = self.made.guest, self.watch.settings.limits
        quiet = [await hammer.quiesce(limits.reply_s) for hammer in self.hammers]
        if not all(quiet) or guest.process.exited.is_set():
            return None
        guest.console.drain()
        self.tell(events.HammersRested())
        times = self.watch.times
        try:
            return await examine(guest, limits, heard_s=times.heard_s, clock_zero_s=times.began_s)
        except GuestError:
            return None

    @property
    def _stopped(self) -> bool:
        return usage.process_state(self.made.guest.process.pid) in ("T", "t")

    async def _until_stopped(self, scope: anyio.CancelScope) -> None:
        """Cancel *scope* once QEMU's process is stopped: then a reply would be waited for without end."""
        while not self._stopped:  # noqa: ASYNC110 (the kernel tells nobody)
            await anyio.sleep(STOPPED_EVERY_S)
        scope.cancel()

    async def _look_at_stall(self) -> None:
        look = await examine_stall(self.made.guest, timeout_s=OUT_OF_BAND_S)
        await self._seen_to_end(EXIT_GRACE_S)
        self.tell(events.StallSeen(look.process_state, look.oob_answers, look.threads, self._silent_since_s()))

    async def _seen_to_end(self, grace_s: float) -> None:
        """Tell of a QEMU that is gone; one whose monitor broke is given *grace_s* to end."""
        process = self.made.guest.process
        if process.returncode is None:
            with anyio.move_on_after(grace_s):
                await process.exited.wait()
        self._notice()


async def begin(
    made: InstrumentedGuest, trial: Trial, settings: WatchSettings, start: Start, *, entered_s: float, lane: int
) -> Bringup:
    """Tell the guest to run, and return its bring-up under way.

    :param entered_s: when the trial's time began to count (monotonic).
    :raises RigError: the fault cannot be prepared, the threads cannot be placed, or QEMU does not start its guest.
    """
    guest, reply_s = made.guest, settings.limits.reply_s
    if start is Start.CONT:
        if settings.plugs_lost_ap and guest.gdb is None:
            await inject.expect_one_more(guest, timeout_s=reply_s)
        if guest.shape.placement != "none":
            await _place(made, reply_s, lane)
    began_s = entered_s if guest.shape.observe == "none" else time.monotonic()
    if start is Start.RESET:
        await _run_state(guest.stop_for_reset(timeout_s=reply_s))
    bringup = Bringup(made, trial, settings, entered_s)
    for hammer, wire in zip(bringup.hammers, guest.wires, strict=True):
        hammer.attach(wire)
    await bringup.start(began_s)
    if start is Start.RESET:
        await _run_state(guest.reset(timeout_s=reply_s))
    elif start is Start.CONT and guest.paused:
        await bringup.hammer_at_once()
        if guest.gdb is not None:
            await leave_out.let_run(guest, guest.gdb, trial)
        else:
            await _run_state(guest.cont(timeout_s=reply_s))
    return bringup


async def _run_state(changed: Awaitable[None]) -> None:
    """Await a change of QEMU's run state. One that ends or stalls at that is a trial's outcome: the watch will see."""
    try:
        with suppress(MonitorClosed, MonitorSilent):
            await changed
    except GuestError as error:
        raise RigError(f"QEMU did not start its guest: {error}", reason="qemu-start") from error


async def _place(made: InstrumentedGuest, reply_s: float, lane: int) -> None:
    guest = made.guest
    try:
        threads = await guest.vcpu_threads(timeout_s=reply_s)
    except GuestError as error:
        raise RigError(f"cannot learn the guest's threads: {error}", reason="placement") from error
    apply_placement(guest.shape.placement, guest.process.pid, threads, lane)

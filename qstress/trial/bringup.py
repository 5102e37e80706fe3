"""One bring-up of one guest: start, hammer, watch; on suspicion stop hammering, wait, look closer, decide.

The guest ending, a monitor falling silent, a console with no progress are observations that end it with a verdict.
Only what is our host's or our own fault is an exception.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

import anyio
from anyio.abc import TaskGroup

from qstress.errors import GuestError, RigError
from qstress.firmware import firmware_of
from qstress.firmware.dumps_only import DumpsOnlyBoot
from qstress.guest.churn import Churn
from qstress.guest.live import Guest
from qstress.guest.placement import apply_placement
from qstress.guest.qmp import MonitorClosed, MonitorSilent
from qstress.hammer.drive import Hammer
from qstress.interposer.causes import add_causes, duty_cycle_until_init
from qstress.interposer.windows import Log, bringup_began_ns
from qstress.model import (
    LATENCY_BUCKETS_S,
    CommandCount,
    Confidence,
    Milestone,
    Observation,
    Outcome,
    Trial,
    Verdict,
)
from qstress.observe import usage
from qstress.registers import parse
from qstress.trial import boot_cpu, inject
from qstress.trial.context import TrialContext
from qstress.trial.examine import ClosedLook, examine, examine_stall
from qstress.trial.instrumented import Bell, InstrumentedGuest, instrumented_guest
from qstress.verdict.hang import diagnose
from qstress.verdict.judge import Doubt, Situation, assess, next_look_s, stalled
from qstress.verdict.limits import Learned, Limits, limits, patience_s, slowness

#: How often it is asked, during a closer look, whether QEMU's process was stopped.
STOPPED_EVERY_S = 0.05
#: How many of the hammer's last replies are kept whole, and how many parsed observations.
KEPT_REPLIES, KEPT_OBSERVATIONS = 8, 512


class Start(Enum):
    """How a bring-up begins."""

    CONT = "cont"  # the guest is new, and let run
    RESET = "reset"  # it has booted before, and is reset
    RUNNING = "running"  # it resets itself, and has already


class Bringup:
    """The state of one trial while it runs; read when it is over."""

    def __init__(self, trial: Trial, bench: TrialContext) -> None:
        self.trial = trial
        self.bench = bench
        load = usage.load_since(bench.since)
        self._load = str(load)
        self.slowness = slowness(load)
        self.limits: Limits = limits(
            trial.cell.stratum.shape, slowness=self.slowness, learned=bench.learned.get(trial.cell_index)
        )
        self.hammers = [
            Hammer(spec, trial.seed + i, self._replied, smp=trial.cell.stratum.shape.smp)
            for i, spec in enumerate(trial.cell.stratum.hammers)
        ]
        self.replies: deque[tuple[float, bytes]] = deque(maxlen=KEPT_REPLIES)
        self.observations: deque[Observation] = deque(maxlen=KEPT_OBSERVATIONS)
        self.entered_s = time.monotonic()
        self.began_s: float | None = None  # when the guest was told to run
        self.decided_s: float | None = None
        self.guest: Guest | None = None
        self.said = ""
        self.look: ClosedLook | None = None
        self.rig_reason = ""
        self.duty_cycle: float | None = None
        self.recorded: Log | None = None
        self.verdict = Verdict(Outcome.UNKNOWN, "the trial did not come to a verdict")
        self._bell = Bell()
        self._churn: Churn | None = None
        self._hold: Callable[[bool], None] = lambda holding: None
        self._told = Milestone.START
        self._looked_s: float | None = None  # when the last closer look was not believed, and what it said
        self._seen = ""
        self._rested_s = 0.0  # when the hammers had come to rest for the last closer look
        self._asked_s = 0.0  # when the boot CPU was asked last, and whether it waited
        self._waits = False

    def commands(self) -> tuple[CommandCount, ...]:
        """Return what became of each hammer's commands."""
        return tuple(hammer.count() for hammer in self.hammers)

    def latencies(self) -> tuple[int, ...]:
        """Return the replies of all hammers per bucket of ``LATENCY_BUCKETS_S``, one more for the rest."""
        columns = zip(*(hammer.latencies for hammer in self.hammers), strict=True)
        return tuple(map(sum, columns)) or (0,) * (len(LATENCY_BUCKETS_S) + 1)

    def fail(self, error: RigError) -> None:
        """Book the trial as ``rig``."""
        self.rig_reason = error.reason
        self.verdict = Verdict(Outcome.RIG, str(error))

    async def run(self) -> None:
        """Boot a guest of its own and stay with it until there is a verdict."""
        async with instrumented_guest(self.trial, self.bench, lost_every=int(self.trial.inject_lost_ap)) as made:
            await self.on(made)
            for hammer in self.hammers:
                hammer.release()
            await made.rest()
            self._learn(made.guest)
            await made.guest.end(polite=self.verdict.outcome is Outcome.HANG)  # then the hammers have come to rest
            self.ask(made.log.read())

    def _learn(self, guest: Guest) -> None:
        """Have later trials of this cell know what a healthy bring-up is like on this host."""
        found_s = guest.console.reached_s.get(Milestone.FOUND)
        if self.verdict.outcome is not Outcome.OK or found_s is None or self.began_s is None:
            return
        index, known = self.trial.cell_index, self.bench.learned
        known[index] = known.get(index, Learned()).and_then(
            guest.console.longest_silence_s, found_s - self.began_s, slowness=self.slowness
        )

    async def on(self, made: InstrumentedGuest, start: Start = Start.CONT) -> None:
        """Boot the guest of *made* and stay with it until there is a verdict; the guest stays as it is then."""
        self.guest, self._bell, self._churn, self._hold = made.guest, made.bell, made.churn, made.log.hold
        made.turn_to(self.trial)
        for hammer, wire in zip(self.hammers, made.guest.wires, strict=True):
            hammer.attach(wire)
        if start is Start.CONT:
            await self._prepare(made.guest)
        self._hold(True)
        await self._start(made.guest, start)
        async with anyio.create_task_group() as tasks:
            self.verdict = await self._watch(made.guest, tasks)
            tasks.cancel_scope.cancel()
        self.decided_s = time.monotonic()
        for hammer in self.hammers:
            hammer.stop()
        self._hold(False)
        self.said = made.guest.process.said()

    async def _prepare(self, guest: Guest) -> None:
        if self._plugs_the_lost_one:
            await inject.expect_one_more(guest, timeout_s=self.limits.reply_s)
        if guest.shape.placement != "none":
            await self._place(guest)

    def ask(self, log: Log | None) -> None:
        """Ask the window log, as a second witness, what became of the APs; there is none without the interposer."""
        if log is None:
            return
        smp = self.trial.cell.stratum.shape.smp
        self.recorded = log
        self.duty_cycle = self.exposure(log)
        self.verdict = add_causes(self.verdict, log, smp=smp, zero_ns=self.zero_ns)

    def exposure(self, log: Log) -> float | None:
        """Return the duty cycle D of the window log from the begin of the bring-up, or its last reset, to its INIT."""
        zero_ns = max(self.zero_ns, bringup_began_ns(log, 0))
        return duty_cycle_until_init(log, zero_ns=zero_ns, end_ns=round((self.decided_s or 0.0) * 1e9))

    @property
    def zero_ns(self) -> int:
        """When the bring-up began, on the window log's clock."""
        return round((self.began_s or 0.0) * 1e9)

    async def _start(self, guest: Guest, start: Start) -> None:
        self.began_s = guest.console.last_output_s = guest.console.progressed_s = time.monotonic()
        if guest.shape.observe == "none":
            self.began_s = self.entered_s  # it has been running since
        try:
            if start is Start.RESET:
                await guest.boot_again(timeout_s=self.limits.reply_s)
            elif guest.paused:
                await guest.cont(timeout_s=self.limits.reply_s)
        except (MonitorClosed, MonitorSilent):
            pass  # it ended or stalled while it was told to run: a trial's outcome, and the watch will see it
        except GuestError as error:
            raise RigError(f"QEMU did not start its guest: {error}", reason="qemu-start") from error

    async def _watch(self, guest: Guest, tasks: TaskGroup) -> Verdict:
        to_inject = self._plugs_the_lost_one
        while True:
            if to_inject and await inject.is_due(guest, quiet_s=self.limits.settle_s):
                to_inject = False
                await inject.add_the_lost_one(guest, timeout_s=self.limits.reply_s)
            if not self._plugs_the_lost_one:  # one that is plugged in late needs a moment
                await self._ask_boot_cpu(guest)
            situation = self._situation(guest)
            decision = self._judge(situation, guest)
            if isinstance(decision, Verdict):
                return decision
            if isinstance(decision, Doubt):
                verdict = await self._look_closer(guest, decision)
                if verdict is not None:
                    return verdict
                continue
            if self._looked_s is None or self._looked_s <= guest.console.last_output_s:
                self._steer(guest.console.log.milestone, tasks)
            await self._bell.wait_until(next_look_s(situation, self.limits))

    async def _ask_boot_cpu(self, guest: Guest) -> None:
        """Ask the boot CPU, once a silence, whether it waits for APs that have not come. Their INIT has been sent then,
        so that a pause of the hammer takes nothing from the race, and the closer look is as thorough as any."""
        console, now_s = guest.console, time.monotonic()
        due_s = console.last_output_s + self.limits.ask_s
        if now_s < due_s or self._asked_s >= console.last_output_s or console.log.milestone < Milestone.PCI:
            return
        self._asked_s, self._waits = now_s, False
        with suppress(GuestError):
            loop = (await boot_cpu.look(guest, timeout_s=self.limits.quiet_s)).loop
            self._waits = loop is not None and loop.found < loop.expected

    @property
    def _plugs_the_lost_one(self) -> bool:
        """Whether the fault is made by us; some firmware leaves an AP out by itself."""
        return self.trial.inject_lost_ap and not firmware_of(self.trial.cell.stratum.shape).loses_aps_itself

    def _situation(self, guest: Guest) -> Situation:
        waiting = [hammer.waiting_since_s for hammer in self.hammers if hammer.waiting_since_s is not None]
        returncode = guest.process.returncode
        if returncode is not None:
            guest.console.drain()
        return Situation(
            now_s=time.monotonic(),
            started_s=self.began_s or 0.0,
            expected=self.trial.cell.stratum.shape.smp,
            last_output_s=guest.console.last_output_s,
            returncode=returncode,
            stderr=guest.process.said() if returncode is not None else "",
            resets=guest.resets,
            panicked=guest.panicked,
            silent_since_s=min(waiting, default=None),
            looked_s=self._looked_s,
            seen=self._seen,
            load=self._load,
            known_firmware=firmware_of(guest.shape).milestones_known,
            goes_on=returncode is None and not firmware_of(guest.shape).accounts_for_aps,
            waits=self._waits and self._asked_s >= guest.console.last_output_s,
        )

    def _judge(self, situation: Situation, guest: Guest) -> Verdict | Doubt | None:
        try:
            return assess(situation, guest.console.log, self.limits)
        except Exception as error:  # a judge that crashes says unknown, never ok
            return Verdict(Outcome.UNKNOWN, f"the judge failed: {error!r}", confidence=Confidence.INCONCLUSIVE)

    def _steer(self, milestone: Milestone, tasks: TaskGroup) -> None:
        for reached in Milestone:
            if self._churn is not None and self._told < reached <= milestone:
                self._churn.reached(reached)
        self._told = max(self._told, milestone)
        for hammer in self.hammers:
            wanted = hammer.spec.start <= milestone < hammer.spec.until
            if wanted and not hammer.active:
                tasks.start_soon(hammer.run)
            elif not wanted:
                hammer.stop()

    async def _look_closer(self, guest: Guest, doubt: Doubt) -> Verdict | None:
        """Stop hammering, wait, confirm. None clears the doubt. APs are not held meanwhile."""
        for hammer in self.hammers:
            hammer.stop()
        self._hold(False)
        verdict = await self._confirm(guest, doubt)
        if verdict is None:
            self._hold(True)
        return verdict

    async def _confirm(self, guest: Guest, doubt: Doubt) -> Verdict | None:
        asked_s = time.monotonic()
        if usage.process_state(guest.process.pid) in ("T", "t") or doubt is Doubt.SILENT_MONITOR:
            return await self._stalled(guest, asked_s)
        look: ClosedLook | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._until_stopped, guest, tasks.cancel_scope)
            look = await self._examined(guest)
            tasks.cancel_scope.cancel()
        if guest.process.exited.is_set():
            return None
        if look is None:
            return None if await self._ended(guest) else await self._stalled(guest, asked_s)
        if asked_s < guest.console.progressed_s <= self._rested_s:  # what was doubted had come; this may be its end
            return None
        self.look = look
        verdict = diagnose(look.examination, guest.console.log)
        if self._believed(verdict, guest):
            return verdict
        self._looked_s, self._seen = time.monotonic(), verdict.title
        return None

    async def _examined(self, guest: Guest) -> ClosedLook | None:
        """Look closer once the hammers are at rest; None where the monitor does not answer."""
        quiet = [await hammer.quiesce(self.limits.reply_s) for hammer in self.hammers]
        if not all(quiet) or guest.process.exited.is_set():
            return None
        guest.console.drain()
        self._rested_s = time.monotonic()
        try:
            return await examine(guest, self.limits, clock_zero_s=self.began_s or 0.0)
        except GuestError:
            return None

    @staticmethod
    async def _until_stopped(guest: Guest, scope: anyio.CancelScope) -> None:
        """Cancel *scope* once QEMU's process is stopped: whoever waits for a reply then waits in vain."""
        while usage.process_state(guest.process.pid) not in ("T", "t"):  # noqa: ASYNC110 (the kernel tells nobody)
            await anyio.sleep(STOPPED_EVERY_S)
        scope.cancel()

    def _believed(self, verdict: Verdict, guest: Guest) -> bool:
        if verdict.confidence is Confidence.INCONCLUSIVE:
            return False
        silence_s = time.monotonic() - guest.console.last_output_s
        return verdict.outcome is Outcome.UNKNOWN or silence_s >= patience_s(verdict, self.limits)

    async def _stalled(self, guest: Guest, asked_s: float) -> Verdict | None:
        look = await examine_stall(guest, timeout_s=2.0)
        if await self._ended(guest):
            return None
        waiting = [hammer.waiting_since_s for hammer in self.hammers if hammer.waiting_since_s is not None]
        waited_s = time.monotonic() - min(waiting, default=asked_s)
        if look.process_state not in ("T", "t") and waited_s < self.limits.reply_s and waiting:
            return None
        for hammer in self.hammers:
            hammer.abandon()
        log = guest.console.log
        verdict = stalled(
            look.process_state, oob_answers=look.oob_answers, waited_s=waited_s, log=log, threads=look.threads
        )
        self.rig_reason = "starved" if verdict.outcome is Outcome.RIG else ""
        return verdict

    async def _ended(self, guest: Guest) -> bool:
        """Whether QEMU is gone; gives an exit that broke the monitor a moment to be seen."""
        if guest.process.returncode is None:
            with anyio.move_on_after(0.2):
                await guest.process.exited.wait()
        return guest.process.returncode is not None

    async def _place(self, guest: Guest) -> None:
        try:
            threads = await guest.vcpu_threads(timeout_s=self.limits.reply_s)
        except GuestError as error:
            raise RigError(f"cannot learn the guest's threads: {error}", reason="placement") from error
        apply_placement(guest.shape.placement, guest.process.pid, threads, self.bench.lane)

    def _progress(self, observation: Observation) -> None:
        """Where there is no console, a dump is what shows progress."""
        console = self.guest.console if self.guest is not None else None
        if console is not None and isinstance(console.log, DumpsOnlyBoot) and console.log.saw(observation):
            console.progressed()

    def _replied(self, reply: bytes, at_s: float) -> None:
        if b"CPU#" not in reply:
            return  # no dump
        self.replies.append((at_s, reply))
        with suppress(Exception):  # a reply that cannot be read is the fuzzer's business, not this trial's
            observation = parse(reply, at_s - (self.began_s or at_s))
            if observation.vcpus:
                self.observations.append(observation)
                self._progress(observation)

"""One bring-up of one guest: boot, hammer, watch; on suspicion stop hammering, wait, look closer, decide.

The guest ending, a monitor falling silent, a console with no progress are observations that end it with a verdict.
Only what is our host's or our own fault is an exception.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from qstress.errors import GuestError, RigError
from qstress.guest import fault
from qstress.guest.interpose.log import WindowLog
from qstress.guest.live import Guest, MonitorEars, live_guest
from qstress.guest.placement import place_bsp_alone
from qstress.guest.qmp import MonitorClosed, MonitorSilent
from qstress.hammer.drive import Hammer
from qstress.model import (
    Confidence,
    FindingClass,
    Milestone,
    Observation,
    Outcome,
    Trial,
    Verdict,
)
from qstress.observe import usage
from qstress.observe.examine import ClosedLook, examine, out_of_band_answers
from qstress.registers import parse
from qstress.verdict.causes import duty_cycle, explained
from qstress.verdict.hang import diagnose
from qstress.verdict.judge import Doubt, Situation, assess, next_look_s, stalled
from qstress.verdict.limits import Limits, limits
from qstress.windows import Log

#: How many of the hammer's last replies are kept whole, and how many parsed observations.
KEPT_REPLIES, KEPT_OBSERVATIONS = 8, 512


@dataclass(frozen=True, slots=True)
class Bench:
    """What a trial needs from its surroundings: which lane it runs on, when the run began (monotonic seconds), what the
    interposer adds to QEMU's environment, whether this QEMU has a sandbox, how much slower than idle this host is."""

    lane: int = 0
    run_began_s: float = 0.0
    env: Mapping[str, str] | None = None
    sandbox: bool = True
    slowness: float = 1.0


class _Bell:
    """Wakes the trial when something happened; a ring between two waits is not lost."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait_until(self, deadline_s: float) -> None:
        with anyio.CancelScope(deadline=deadline_s):
            await self._rung.wait()
        self._rung = anyio.Event()


class Bringup:
    """The state of one trial while it runs; read when it is over."""

    def __init__(self, trial: Trial, bench: Bench) -> None:
        self.trial = trial
        self.bench = bench
        self.limits: Limits = limits(trial.cell.stratum.shape, slowness=bench.slowness)
        self.hammers = [
            Hammer(spec, trial.seed + i, self._replied) for i, spec in enumerate(trial.cell.stratum.hammers)
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
        self.recorded: Log | None = None
        self.duty_cycle: float | None = None
        self.verdict = Verdict(Outcome.UNKNOWN, "the trial did not come to a verdict")
        self._bell = _Bell()

    def fail(self, error: RigError) -> None:
        """Book the trial as ``rig``."""
        self.rig_reason = error.reason
        self.verdict = Verdict(Outcome.RIG, str(error))

    async def run(self) -> None:
        """Boot the guest and stay with it until there is a verdict."""
        cell, shape = self.trial.cell, self.trial.cell.stratum.shape
        ears = [MonitorEars(hammer.replied, hammer.connection_lost) for hammer in self.hammers]
        env = {**dict(cell.build.env), **(self.bench.env or {})}
        with WindowLog(env) as log:
            async with live_guest(
                cell.build, shape, ears=ears, env=log.env, pass_fds=log.pass_fds, sandbox=self.bench.sandbox,
                lost_ap=self.trial.inject_lost_ap, on_change=self._bell.ring,
            ) as guest:  # fmt: skip
                self.guest = guest
                for hammer, wire in zip(self.hammers, guest.wires, strict=True):
                    hammer.attach(wire)
                await self._bring_up(guest, log)
            self.recorded = log.read()
        if self.recorded is not None:
            self._ask(self.recorded)

    async def _bring_up(self, guest: Guest, log: WindowLog) -> None:
        if self._plugs_the_lost_one:
            await fault.expect_one_more(guest, timeout_s=self.limits.reply_s)
        if guest.shape.placement == "bsp-alone":
            await self._place(guest)
        log.hold(True)
        await self._start(guest)
        async with anyio.create_task_group() as tasks:
            self.verdict = await self._watch(guest, tasks)
            tasks.cancel_scope.cancel()
        self.decided_s = time.monotonic()
        for hammer in self.hammers:
            hammer.release()
        log.hold(False)
        self.said = guest.process.said()
        await guest.end(polite=self.verdict.outcome is Outcome.HANG)  # then the hammers have come to rest

    def _ask(self, log: Log) -> None:
        """Ask the window log, as a second witness, what became of the APs."""
        zero_ns, end_ns = (round((at_s or 0.0) * 1e9) for at_s in (self.began_s, self.decided_s))
        smp = self.trial.cell.stratum.shape.smp
        self.duty_cycle = duty_cycle(log, zero_ns=zero_ns, end_ns=end_ns)
        self.verdict = explained(self.verdict, log, smp=smp, zero_ns=zero_ns)

    async def _start(self, guest: Guest) -> None:
        self.began_s = guest.console.last_output_s = time.monotonic()
        try:
            await guest.cont(timeout_s=self.limits.reply_s)
        except (MonitorClosed, MonitorSilent):
            pass  # it ended or stalled while it was told to run: a trial's outcome, and the watch will see it
        except GuestError as error:
            raise RigError(f"QEMU did not start its guest: {error}", reason="qemu-start") from error

    async def _watch(self, guest: Guest, tasks: TaskGroup) -> Verdict:
        to_inject = self._plugs_the_lost_one
        while True:
            if to_inject and await fault.is_due(guest, quiet_s=self.limits.settle_s):
                to_inject = False
                await fault.add_the_lost_one(guest, timeout_s=self.limits.reply_s)
            situation = self._situation(guest)
            decision = self._judge(situation, guest)
            if isinstance(decision, Verdict):
                return decision
            if isinstance(decision, Doubt):
                verdict = await self._look_closer(guest, decision)
                if verdict is not None:
                    return verdict
                continue
            self._steer(guest.console.log.milestone, tasks)
            await self._bell.wait_until(next_look_s(situation, self.limits))

    @property
    def _plugs_the_lost_one(self) -> bool:
        """Whether the fault is made by us; smpscan leaves an AP out by itself."""
        return self.trial.inject_lost_ap and self.trial.cell.stratum.shape.firmware != "smpscan"

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
            panicked=any(event.get("event") == "GUEST_PANICKED" for event in guest.events),
            silent_since_s=min(waiting, default=None),
        )

    def _judge(self, situation: Situation, guest: Guest) -> Verdict | Doubt | None:
        try:
            return assess(situation, guest.console.log, self.limits)
        except Exception as error:  # a judge that crashes says unknown, never ok
            return Verdict(Outcome.UNKNOWN, f"the judge failed: {error!r}", confidence=Confidence.INCONCLUSIVE)

    def _steer(self, milestone: Milestone, tasks: TaskGroup) -> None:
        for hammer in self.hammers:
            wanted = hammer.spec.start <= milestone < hammer.spec.until
            if wanted and not hammer.active:
                tasks.start_soon(hammer.run)
            elif not wanted:
                hammer.stop()

    async def _look_closer(self, guest: Guest, doubt: Doubt) -> Verdict | None:
        """Stop hammering, wait, confirm. None clears the doubt."""
        for hammer in self.hammers:
            hammer.stop()
        asked_s = time.monotonic()
        if usage.process_state(guest.process.pid) in ("T", "t") or doubt is Doubt.SILENT_MONITOR:
            return await self._stalled(guest, asked_s)
        quiet = [await hammer.quiesce(self.limits.reply_s) for hammer in self.hammers]
        if not all(quiet):
            return await self._stalled(guest, asked_s)
        if guest.process.exited.is_set() or await guest.console.output(self.limits.settle_s):
            return None
        try:
            self.look = await examine(guest, self.limits, clock_zero_s=self.began_s or 0.0)
        except GuestError:
            return None if await self._ended(guest) else await self._stalled(guest, asked_s)
        verdict = diagnose(self.look.examination, guest.console.log)
        return verdict if self._believed(verdict, guest) else None

    def _believed(self, verdict: Verdict, guest: Guest) -> bool:
        """A certain verdict stands; a likely one only after a silence far beyond what raised the doubt."""
        silence_s = time.monotonic() - guest.console.last_output_s
        if verdict.confidence is Confidence.INCONCLUSIVE:
            return False
        if verdict.confidence is Confidence.CERTAIN or verdict.outcome is Outcome.UNKNOWN:
            return True
        patience_s = self.limits.boot_s if verdict.finding_class is FindingClass.HANG_OTHER else 6 * self.limits.quiet_s
        return silence_s >= patience_s

    async def _stalled(self, guest: Guest, asked_s: float) -> Verdict | None:
        oob = await out_of_band_answers(guest, timeout_s=2.0)
        if await self._ended(guest):
            return None
        state = usage.process_state(guest.process.pid)
        waiting = [hammer.waiting_since_s for hammer in self.hammers if hammer.waiting_since_s is not None]
        waited_s = time.monotonic() - min(waiting, default=asked_s)
        if state not in ("T", "t") and waited_s < self.limits.reply_s and waiting:
            return None
        for hammer in self.hammers:
            hammer.abandon()
        return stalled(state, oob_answers=oob, waited_s=waited_s, log=guest.console.log)

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
        place_bsp_alone(guest.process.pid, threads, self.bench.lane)

    def _replied(self, reply: bytes, at_s: float) -> None:
        self.replies.append((at_s, reply))
        with suppress(Exception):  # a reply that cannot be read is the fuzzer's business, not this trial's
            observation = parse(reply, at_s - (self.began_s or at_s))
            if observation.vcpus:
                self.observations.append(observation)

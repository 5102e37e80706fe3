"""Trials, start to result: bring-ups, their verdicts, and the evidence where one is a finding."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from anyio import to_thread

from qstress.errors import RigError, rig_error_in, rig_errors_alone
from qstress.interposer import windows
from qstress.interposer.windows import Log, since
from qstress.model import Milestone, Outcome, Trial, TrialResult, Verdict
from qstress.observe import usage
from qstress.observe.stacks import crash_stacks, live_stacks
from qstress.trial.bringup import Bringup, Start, begin
from qstress.trial.context import (
    Coordinator,
    EvidenceKind,
    FinishedTrial,
    HealthyBoot,
    TrialContext,
    evidence_kind,
)
from qstress.trial.events import CountHealthy
from qstress.trial.instrumented import InstrumentedGuest, instrumented_guest
from qstress.trial.replies import HammerCounts
from qstress.trial.result import bringup_duty_cycle, evidence_of, result_of, rig_result
from qstress.trial.settings import makes_series, watch_settings
from qstress.trial.watch import SERIES_OVER
from qstress.verdict.limits import slowness

#: A QEMU that has grown by more than this since its first trial is replaced.
MOST_GROWTH_BYTES = 64 << 20
#: A series ends after so many bring-ups, so that somebody can look how its process does.
LONGEST_SERIES = 1000
#: How much of the window log is read for one finding, or for the duty cycle of a series: some seconds, parsed in 0.1 s.
RECENT_RECORDS = 50_000
#: What the stacks of QEMU's threads say something about.
_STACKS = (Outcome.HANG, Outcome.MONITOR_STALL, Outcome.CRASH)


async def run_trial(trial: Trial, context: TrialContext) -> FinishedTrial:
    """Run *trial* in a process of its own and return what comes of it.

    Never raises for what guest, QEMU or host do: that is an outcome. Nothing of the guest is left when it returns,
    also when it is cancelled.
    """
    return await _ProcessRun([trial], context, Coordinator()).in_a_process_of_its_own()


async def run_process(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
    """Run *trials*, all of one cell, one after another, and have *coordinator* take each before the next begins.

    With ``restart: reset`` they share a QEMU; a new one begins after the first finding of a class in this run (its
    repeats are reset in place), after whatever is no hang, and when QEMU's memory grows.

    :raises RigError: what the coordinator raised; what else goes wrong is a trial's outcome.
    """
    run = _ProcessRun(trials, context, coordinator)
    by_process = trials[0].cell.stratum.shape.restart == "process"
    with rig_errors_alone():
        while run.todo and run.more_wanted:
            if by_process:
                run.take([await run.in_a_process_of_its_own()])
            else:
                await run.in_one_process()


class _ProcessRun:
    """Trials of one cell that are still to do, and what those before them have taught."""

    def __init__(self, trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        self.todo = deque(trials)
        self.more_wanted = True
        self._context = context
        self._coordinator = coordinator
        self._learned = context.learned
        self._known = set(context.known)
        self._evidence: Counter[EvidenceKind] = Counter()
        self._injects = any(trial.inject_lost_ap for trial in trials)  # a bring-up cut short would upset its count

    def take(self, finished: Sequence[FinishedTrial]) -> None:
        """Have the coordinator take what is finished."""
        self.more_wanted = self._coordinator.take(finished) and self.more_wanted

    async def in_a_process_of_its_own(self) -> FinishedTrial:
        """Run the next trial in a QEMU of its own, whose window log is read once it has ended."""
        trial, entered_s, context = self.todo.popleft(), time.monotonic(), self._context
        load = usage.load_since(context.since)
        settings = watch_settings(trial, load, self._learned)
        try:
            async with instrumented_guest(
                trial, context, self._coordinator, lost_every=int(trial.inject_lost_ap)
            ) as made:
                made.turn_to(trial)
                bringup = await begin(made, trial, settings, Start.CONT, entered_s=entered_s, lane=context.lane)
                await bringup.advance()
                for hammer in bringup.hammers:
                    hammer.release()
                await made.rest()
                stacks = await self._stacks(bringup)
                await made.guest.end(polite=bringup.verdict.outcome is Outcome.HANG)  # then the hammers are at rest
                healthy = _healthy(bringup, slowness(load))
                self._learned = healthy.added_to(self._learned) if healthy else self._learned
                finished = self._finished(bringup, HammerCounts(bringup.hammers), made.log.read(), stacks)
                return replace(finished, healthy=healthy)
        except* RigError as group:
            error = rig_error_in(group)
        return self._failed(trial, error, entered_s)

    async def in_one_process(self) -> None:
        """Start a QEMU and have it do as many of the trials as it can."""
        every, most = lost_pattern(self.todo)
        last, entered_s, made = len(self.todo) - most, time.monotonic(), None
        async with AsyncExitStack() as stack:
            try:
                made = await stack.enter_async_context(
                    instrumented_guest(self.todo[0], self._context, self._coordinator, lost_every=every)
                )
            except* RigError as group:
                self._fail(rig_error_in(group), entered_s)
            start, used_bytes = Start.CONT, 0
            while made is not None and len(self.todo) > last and self.more_wanted:
                bringup = await self._begun(made, start, len(self.todo) - last)
                if bringup is None or await self._run_out(bringup):
                    return
                used_bytes = used_bytes or made.guest.process.rss_bytes
                if made.guest.process.rss_bytes > used_bytes + MOST_GROWTH_BYTES:
                    return
                start = Start.RUNNING if bringup.verdict is SERIES_OVER else Start.RESET

    async def _begun(self, made: InstrumentedGuest, start: Start, left: int) -> Bringup | None:
        """Begin the next bring-up, or series of at most *left*; None where that fails, which is the trial's outcome."""
        trial, entered_s, context = self.todo[0], time.monotonic(), self._context
        most = min(LONGEST_SERIES, left) if makes_series(trial) else 1
        settings = watch_settings(trial, usage.load_since(context.since), self._learned, most=most)
        made.turn_to(trial)
        try:
            return await begin(made, trial, settings, start, entered_s=entered_s, lane=context.lane)
        except RigError as error:
            self._fail(error, entered_s)
            return None

    async def _run_out(self, bringup: Bringup) -> bool:
        """See *bringup* to its end; return whether another QEMU has to take its place."""
        counts = HammerCounts(bringup.hammers)
        while (healthy := await bringup.advance()) is not None:
            self._count(bringup, healthy, counts)
        reply_s = bringup.watch.settings.limits.reply_s
        at_rest = [await hammer.quiesce(reply_s) for hammer in bringup.hammers]
        if bringup.verdict is SERIES_OVER:
            self._keep_journal(bringup)
            return not all(at_rest)
        fresh = self._needs_fresh(bringup.verdict)
        self.todo.popleft()
        stacks = await self._stacks(bringup)
        self.take([self._finished(bringup, counts, bringup.made.log.read(RECENT_RECORDS), stacks)])
        return fresh or not all(at_rest)

    def _count(self, bringup: Bringup, healthy: CountHealthy, counts: HammerCounts) -> None:
        """Have bring-ups of a series that ended well taken; they share the time since the last ones."""
        since_s, now_s = bringup.entered_s, time.monotonic()
        each_s, began_s = (now_s - since_s) / healthy.ended, since_s - self._context.run_began_s
        ok = Verdict(Outcome.OK, f"Found {bringup.watch.settings.smp} cpu(s)")
        results = [
            TrialResult(self.todo.popleft(), ok, began_s + i * each_s, each_s, boot_s=each_s)
            for i in range(healthy.count)
        ]
        log = bringup.made.log.read(RECENT_RECORDS) if bringup.verdict is SERIES_OVER else None
        results[-1] = replace(
            results[-1], commands=counts.commands(), latencies=counts.latencies(), duty_cycle=_exposure_over(log)
        )
        self.take([FinishedTrial(result) for result in results])
        if not self.more_wanted:
            bringup.enough()
        if bringup.verdict is not SERIES_OVER:
            bringup.turn_to(self.todo[0], now_s)

    async def _stacks(self, bringup: Bringup) -> str:
        """Return the stacks of QEMU's threads where it stands still or has crashed and somebody wants to know."""
        verdict, process = bringup.verdict, bringup.made.guest.process
        if verdict.outcome not in _STACKS or not self._context.evidence.wants(verdict, self._evidence):
            return ""
        if process.returncode is None:
            look = partial(live_stacks, process.pid)
        else:
            look = partial(crash_stacks, process.pid, bringup.trial.cell.build.binary, process.folder)
        return await to_thread.run_sync(look, abandon_on_cancel=True)

    def _finished(self, bringup: Bringup, counts: HammerCounts, log: Log | None, stacks: str) -> FinishedTrial:
        """Return what comes of a bring-up, with the window log as a second witness."""
        series = makes_series(bringup.trial)
        duty_cycle = _exposure_over(log) if series or log is None else bringup_duty_cycle(bringup, log)
        bringup.hear(log)
        self._keep_journal(bringup)
        result = result_of(bringup, counts, run_began_s=self._context.run_began_s, duty_cycle=duty_cycle)
        if not result.verdict.outcome.finding or not self._context.evidence.wants(result.verdict, self._evidence):
            return FinishedTrial(result)
        self._evidence[evidence_kind(result.verdict)] += 1
        own = since(log, bringup.watch.zero_ns) if series and log is not None else log
        return FinishedTrial(result, evidence_of(bringup, self._context.env or {}, own, duty_cycle, stacks))

    def _fail(self, error: RigError, entered_s: float) -> None:
        self.take([self._failed(self.todo.popleft(), error, entered_s)])

    def _failed(self, trial: Trial, error: RigError, entered_s: float) -> FinishedTrial:
        return FinishedTrial(rig_result(trial, error, entered_s=entered_s, run_began_s=self._context.run_began_s))

    def _needs_fresh(self, verdict: Verdict) -> bool:
        repeatable = (Outcome.HANG,) if self._injects else (Outcome.HANG, Outcome.RESTART)
        if verdict.outcome not in repeatable:
            return verdict.outcome is not Outcome.OK
        known = verdict.finding_class in self._known
        self._known.add(verdict.finding_class)
        return not known

    def _keep_journal(self, bringup: Bringup) -> None:
        if self._context.journals:
            keep_journal(Path(self._context.journals), bringup)


def keep_journal(folder: Path, bringup: Bringup) -> None:
    """Write the journal of *bringup* into a new file in *folder*.

    :raises RigError: the host refuses.
    """
    path = folder / f"{bringup.trial.number:06}-{os.getpid()}-{time.monotonic_ns()}.jsonl"
    try:
        path.write_bytes(bringup.journal.written(bringup.verdict))
    except OSError as error:
        raise RigError(f"{path}: the journal cannot be written: {error.strerror}", reason="store") from error


def lost_pattern(todo: Sequence[Trial]) -> tuple[int, int]:
    """Return how often an AP is to be lost in one process, and for how many of its trials that is what *todo* asks for.

    Every n-th bring-up loses one AP; 0: none.

    >>> lost_pattern([])
    (0, 0)
    """
    lost = [trial.inject_lost_ap for trial in todo]
    every = lost.index(True) + 1 if True in lost else 0
    wrong = (nth for nth, is_lost in enumerate(lost, 1) if is_lost is not (every > 0 and nth % every == 0))
    return every, next(wrong, len(todo) + 1) - 1


def _healthy(bringup: Bringup, slower: float) -> HealthyBoot | None:
    """Return what there is to learn of a healthy bring-up."""
    times = bringup.watch.times
    found_s = times.reached_s.get(Milestone.FOUND)
    if bringup.verdict.outcome is not Outcome.OK or found_s is None:
        return None
    return HealthyBoot(times.longest_silence_s, found_s - times.began_s, slower)


def _exposure_over(log: Log | None) -> float | None:
    """Return D over all of *log*: in a series an INIT falls anywhere in it."""
    if log is None or not log.records:
        return None
    return windows.duty_cycle(windows.windows(log), log.records[0].ns, log.records[-1].ns)

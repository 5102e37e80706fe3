"""Trials, start to result: bring-ups, their verdicts, and the evidence where one is a finding."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from qstress.errors import RigError, rig_error_in
from qstress.firmware import firmware_of
from qstress.model import Evidence, Outcome, Trial, TrialResult
from qstress.trial.bringup import Bringup, Start
from qstress.trial.context import TrialContext
from qstress.trial.instrumented import InstrumentedGuest, instrumented_guest
from qstress.trial.result import evidence_of, result_of
from qstress.trial.series import RECENT, Series

#: Takes results as they come, evidence beside each that has some; returns whether to go on.
Deliver = Callable[[Sequence[tuple[TrialResult, Evidence | None]]], bool]
#: A QEMU that has grown by more than this since its first trial is replaced.
MOST_GROWTH_BYTES = 64 << 20


async def run_trial(trial: Trial, bench: TrialContext) -> tuple[TrialResult, Evidence | None]:
    """Run *trial* in a process of its own and return its result, with evidence where it is a finding.

    Never raises for what guest, QEMU or host do: that is an outcome. Nothing of the guest is left when it returns,
    also when it is cancelled.
    """
    bringup = Bringup(trial, bench)
    try:
        await bringup.run()
    except* RigError as group:
        bringup.fail(rig_error_in(group))
    return _recorded(bringup)


async def run_process(trials: Sequence[Trial], bench: TrialContext, deliver: Deliver) -> None:
    """Run *trials*, all of one cell, one after another, and *deliver* each before the next begins.

    With ``restart: reset`` they share a QEMU; a new one begins after the first finding of a class in this run (its
    repeats are reset in place), after whatever is no hang, and when QEMU's memory grows.

    :raises RigError: what *deliver* raised; what else goes wrong is a trial's outcome.
    """
    todo = deque(trials)
    if trials[0].cell.stratum.shape.restart == "process":
        while todo and deliver([await run_trial(todo.popleft(), bench)]):
            pass
        return
    stay = _Stay(todo, bench, deliver)
    while todo and stay.wanted:
        await stay.run()


class _Stay:
    """Trials that share a QEMU: each :meth:`run` starts one and has it do as many as it can."""

    def __init__(self, todo: deque[Trial], bench: TrialContext, deliver: Deliver) -> None:
        self.wanted = True
        self._todo = todo
        self._bench = bench
        self._out = deliver
        self._undelivered: RigError | None = None
        self._bringup = Bringup(todo[0], bench)
        self._injects = any(trial.inject_lost_ap for trial in todo)  # a bring-up cut short would upset its count

    async def run(self) -> None:
        self._bringup = Bringup(self._todo[0], self._bench)
        every, most = lost_pattern(self._todo)
        try:
            async with instrumented_guest(self._todo[0], self._bench, lost_every=every) as made:
                await self._on(made, most)
        except* RigError as group:
            if self._undelivered is not None:
                raise self._undelivered from group
            self._bringup.fail(rig_error_in(group))
            self._record(self._bringup)

    async def _on(self, made: InstrumentedGuest, most: int) -> None:
        last = len(self._todo) - most
        start, used_bytes = Start.CONT, 0
        while len(self._todo) > last and self.wanted:
            self._bringup = bringup = self._next(len(self._todo) - last)
            await bringup.on(made, start)
            at_rest = [await hammer.quiesce(bringup.limits.reply_s) for hammer in bringup.hammers]
            over = isinstance(bringup, Series) and bringup.finished
            fresh = not over and self._needs_fresh(bringup)
            if not over:
                bringup.ask(made.log.read(RECENT))
                self._record(bringup)
            used_bytes = used_bytes or made.guest.process.rss_bytes
            if fresh or not all(at_rest) or made.guest.process.rss_bytes > used_bytes + MOST_GROWTH_BYTES:
                return
            start = Start.RUNNING if over else Start.RESET

    def _next(self, most: int) -> Bringup:
        if not firmware_of(self._todo[0].cell.stratum.shape).resets_itself:
            return Bringup(self._todo[0], self._bench)
        return Series(self._todo, most, self._bench, lambda results: self._deliver([(each, None) for each in results]))

    def _needs_fresh(self, bringup: Bringup) -> bool:
        verdict = bringup.verdict
        repeatable = (Outcome.HANG,) if self._injects else (Outcome.HANG, Outcome.RESTART)
        if verdict.outcome not in repeatable:
            return verdict.outcome is not Outcome.OK
        kind = (bringup.trial.cell_index, verdict.finding_class)
        known = kind in self._bench.known
        self._bench.known.add(kind)
        return not known

    def _record(self, bringup: Bringup) -> None:
        self._todo.popleft()
        self._deliver([_recorded(bringup)])

    def _deliver(self, results: Sequence[tuple[TrialResult, Evidence | None]]) -> bool:
        try:
            self.wanted = self._out(results) and self.wanted
        except RigError as error:
            self._undelivered = error
            raise
        return self.wanted


def lost_pattern(todo: Sequence[Trial]) -> tuple[int, int]:
    """Return in every how manieth bring-up of a process an AP must be lost so that it is lost where *todo* says so (in
    none: 0), and for how many trials that holds.

    >>> lost_pattern([])
    (0, 0)
    """
    lost = [trial.inject_lost_ap for trial in todo]
    every = lost.index(True) + 1 if True in lost else 0
    wrong = (place for place, is_lost in enumerate(lost, 1) if is_lost is not (every > 0 and place % every == 0))
    return every, next(wrong, len(todo) + 1) - 1


def _recorded(bringup: Bringup) -> tuple[TrialResult, Evidence | None]:
    result = result_of(bringup)
    finding = bringup.verdict.outcome.finding
    return result, evidence_of(bringup) if finding and bringup.bench.wants_evidence(result) else None

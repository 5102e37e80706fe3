"""Lanes of trials until a stop rule: what runs when, what counts, and how it ends.

A lane takes whole blocks and runs their process-runs one after another. Outcomes enter the statistics in planned order,
block by block, whatever the order in which lanes finish (hangs end later than oks, so order of arrival biases). Every
result goes to the recorder before the lane's next process-run starts; a block counts once all of it is there. A block
runs in one place, from begin to end; one whose place is lost is run again from its begin, with the same trials.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import anyio

from qstress.errors import RigError, rig_errors_alone
from qstress.model import Evidence, Outcome, Trial, TrialResult
from qstress.plan.schedule import Plan

#: So many rig results in a row end the run: the host cannot do it. More are borne once a trial has worked.
HOPELESS_AFTER, HOPELESS_LATER = 5, 50

#: Process-runs under way have so long after the run's duration to come to their end; then they are cut, and the block
#: they are in does not count.
CUT_AFTER_S = 5.0

#: So many trials, at most, wait for an earlier block to end before they count.
MOST_AHEAD_TRIALS = 50_000

#: Takes results as they come, with the evidence of findings; returns whether to go on.
Deliver = Callable[[Sequence[tuple[TrialResult, Evidence | None]]], bool]
#: Told each result as it comes, with where its evidence lies, relative to the run (None: nowhere).
OnResult = Callable[[TrialResult, str | None], None]
#: Runs the trials of one process-run on a lane and delivers each before the next process-run begins; raises what that
#: raised, :class:`PlaceLost`, else only for defects of qstress itself.
TrialRunner = Callable[[Sequence[Trial], int, Deliver], Awaitable[None]]
#: While it is entered, a lane's block has a place where its process-runs are run. May wait for one.
BlockPlace = Callable[[int], AbstractAsyncContextManager[object]]


class PlaceLost(RigError):
    """Where a block runs is lost, and its guests with it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="worker-lost")


class Reason(StrEnum):
    """Why a run ended (``reason`` of summary.json)."""

    TRIALS = "trials"
    DURATION = "duration"
    DECIDED = "decided"
    INTERRUPTED = "interrupted"
    ERROR = "error"


class Recorder(Protocol):
    """Where results go; each call is durable when it returns.

    :raises RigError: the run folder cannot be written (disk full).
    """

    def record(self, result: TrialResult, evidence: Evidence | None) -> str | None:
        """Keep one result; return where its evidence lies, relative to the run."""

    def finish_block(self, block: int) -> None:
        """Every trial of *block* is recorded: it counts from now on."""


@dataclass(frozen=True, slots=True)
class StopRule:
    """When a run ends: after so many blocks, after so long, or when ``decided`` says so."""

    blocks: int | None
    duration_s: float | None
    decided: Callable[[], bool]


@dataclass(slots=True)
class Campaign:
    """One run in progress. ``on_result`` is told each result as it comes, ``on_block`` each block in planned order,
    ``on_lost`` what was recorded of a block whose place was lost: it does not count."""

    plan: Plan
    runner: TrialRunner
    recorder: Recorder
    stop: StopRule
    lanes: int
    on_result: OnResult
    on_block: Callable[[Sequence[TrialResult]], None]
    on_lost: Callable[[Sequence[TrialResult]], None] = lambda results: None
    place: BlockPlace = lambda lane: nullcontext()
    places: int = 1  # a host on which nothing works is one of so many
    first_block: int = 0
    elapsed_s: float = 0.0  # of earlier sessions of this run
    reason: Reason | None = None
    running: int = 0  # guests alive now
    began_s: float = field(default_factory=time.monotonic)
    _next: int = 0
    _counted: int = 0
    _draining: bool = False
    _rigs_in_a_row: int = 0
    _works: bool = False
    _done: dict[int, list[TrialResult]] = field(default_factory=dict)
    _caught_up: anyio.Event = field(default_factory=anyio.Event)
    _waiting: set[anyio.CancelScope] = field(default_factory=set)  # lanes that wait for a place

    async def run(self) -> Reason:
        """Run until the stop rule holds; return why it ended. What its duration cuts is recorded and does not count.

        :raises RigError: the host cannot do it, or the run folder cannot be written; what was recorded stays.
        """
        self._next = self._counted = self.first_block
        if self.first_block and self.stop.decided():
            self.drain(Reason.DECIDED)
        try:
            with rig_errors_alone(), anyio.CancelScope(deadline=self._cut_at()) as all_lanes:
                async with anyio.create_task_group() as tasks:
                    for lane in range(self.lanes):
                        tasks.start_soon(self._lane, lane)
        except RigError:
            self.reason = Reason.ERROR
            raise
        if all_lanes.cancelled_caught:
            self.drain(Reason.DURATION)
        assert self.reason is not None
        return self.reason

    def drain(self, reason: Reason) -> None:
        """Start nothing new: blocks under way are finished, unless interrupted, when only trials are."""
        self.reason = self.reason or reason
        self._draining = self._draining or reason is Reason.INTERRUPTED
        if self._draining:
            for scope in self._waiting:
                scope.cancel()

    @property
    def duration_s(self) -> float:
        """How long this run has taken, earlier sessions included."""
        return self.elapsed_s + time.monotonic() - self.began_s

    def _cut_at(self) -> float:
        """Return when process-runs under way are cut, on the clock of the event loop."""
        left_s = math.inf if self.stop.duration_s is None else self.stop.duration_s - self.duration_s
        return anyio.current_time() + max(0.0, left_s) + CUT_AFTER_S

    async def _lane(self, lane: int) -> None:
        while (block := await self._take()) is not None:
            while (results := await self._attempt(block, lane)) is None:
                pass
            if len(results) < self.plan.block_trials:
                return
            self._finish(block, results)

    async def _take(self) -> int | None:
        while (self._next - self._counted) * self.plan.block_trials > MOST_AHEAD_TRIALS and self.reason is None:
            await self._caught_up.wait()
        if self.stop.duration_s is not None and self.duration_s >= self.stop.duration_s:
            self.drain(Reason.DURATION)
        if self.stop.blocks is not None and self._next >= self.stop.blocks:
            self.drain(Reason.TRIALS)
        if self.reason is not None:
            return None
        self._next += 1
        return self._next - 1

    async def _attempt(self, block: int, lane: int) -> list[TrialResult] | None:
        """Run *block* in one place; return its results, too few where it was interrupted, None where that was lost."""
        results: list[TrialResult] = []
        try:
            async with AsyncExitStack() as stack:
                with anyio.CancelScope() as wait:
                    self._waiting.add(wait)
                    try:
                        await stack.enter_async_context(self.place(lane))
                    finally:
                        self._waiting.discard(wait)
                if wait.cancelled_caught:
                    return results
                for trials in self.plan.runs(block):
                    if self._draining:
                        break
                    await self._run(trials, lane, results)
        except PlaceLost:
            self.on_lost(results)
            return None
        return results

    async def _run(self, trials: Sequence[Trial], lane: int, results: list[TrialResult]) -> None:
        def deliver(done: Sequence[tuple[TrialResult, Evidence | None]]) -> bool:
            for result, evidence in done:
                place = self.recorder.record(result, evidence)
                self.on_result(result, place)
                results.append(result)
                self._give_up_if_hopeless(result)
            return not self._draining

        self.running += 1
        try:
            await self.runner(trials, lane, deliver)
        finally:
            self.running -= 1

    def _finish(self, block: int, results: list[TrialResult]) -> None:
        self._done[block] = results
        while self._counted in self._done:
            self.recorder.finish_block(self._counted)
            self.on_block(self._done.pop(self._counted))
            self._counted += 1
            if self.stop.decided():
                self.drain(Reason.DECIDED)
        self._caught_up.set()
        self._caught_up = anyio.Event()

    def _give_up_if_hopeless(self, result: TrialResult) -> None:
        if result.verdict.outcome is not Outcome.RIG:
            self._works, self._rigs_in_a_row = True, 0
            return
        self._rigs_in_a_row += 1
        if self._rigs_in_a_row >= (HOPELESS_LATER if self._works else HOPELESS_AFTER) * self.places:
            text = f"{self._rigs_in_a_row} trials in a row could not be run: {result.verdict.title}"
            raise RigError(text, reason=result.rig_reason)

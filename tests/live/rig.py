"""Trials on live guests, for the tests: the real thing with the fewest words."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from qstress.errors import RigError, rig_error_in
from qstress.firmware.kernels import guest_kernel
from qstress.guest.live import Guest
from qstress.interposer import build as interposer
from qstress.interposer.windows import Log
from qstress.model import (
    Accel,
    Build,
    Cell,
    Evidence,
    HammerSpec,
    Outcome,
    Rate,
    Shape,
    Smm,
    SmmWriteback,
    Stratum,
    Trial,
    TrialResult,
    Verdict,
)
from qstress.observe import usage
from qstress.trial.bringup import Bringup, Start, begin
from qstress.trial.context import Coordinator, FinishedTrial, TrialContext
from qstress.trial.instrumented import instrumented_guest
from qstress.trial.process_run import keep_journal, run_trial
from qstress.trial.replies import HammerCounts
from qstress.trial.result import result_of, rig_result
from qstress.trial.settings import watch_settings
from qstress.trial.watch import WatchSettings

QEMU = shutil.which("qemu-system-x86_64") or "qemu-system-x86_64"
HAMMER = HammerSpec("info registers -a", "hmp", Rate(None, "max"))


def stock(**more: Any) -> Build:
    """The host's own QEMU."""
    return Build("stock", QEMU, "", "", **more)


def why_no_kernel() -> str:
    """Return why no guest can boot a kernel here; empty where one can."""
    try:
        guest_kernel("auto", Path("/"))
    except RigError as error:
        return str(error)
    return ""


def pretending(*, fixed: bool = False) -> Build:
    """The host's own QEMU, told that KVM has SMM, with the fix imitated or not."""
    writeback = SmmWriteback.RESET_ONLY if fixed else SmmWriteback.AS_IS
    return stock(smm=Smm.PRETENDED, smm_writeback=writeback)


def planned(
    accel: Accel,
    smp: int = 4,
    *,
    build: Build | None = None,
    hammers: tuple[HammerSpec, ...] = (HAMMER,),
    number: int = 0,
    lost_ap: bool = False,
    **shape: Any,
) -> Trial:
    """One trial as the plan would make it."""
    usual = {"machine": "pc", "accel": accel, "memory_bytes": 32 << 20, "firmware": "seabios"}
    made = Shape(smp, **{**usual, **shape})
    return Trial(number, number, 0, Cell(build or stock(), Stratum(made, hammers)), number + 1, lost_ap)


async def run(trial: Trial, **context: Any) -> tuple[TrialResult, Evidence | None]:
    """Run *trial* with what its build needs of the interposer."""
    env: Mapping[str, str] = interposer.environment(trial.cell.build)
    finished = await run_trial(trial, TrialContext(env=env, **context))
    return finished.result, finished.evidence


class Telling(Coordinator):
    """Tells *deliver* what is finished; that says whether to go on."""

    def __init__(self, deliver: Callable[[Sequence[FinishedTrial]], bool]) -> None:
        self._deliver = deliver

    def take(self, finished: Sequence[FinishedTrial]) -> bool:
        return self._deliver(finished)


#: Meddles with a guest.
Act = Callable[[Guest], Coroutine[Any, Any, None]]


async def nothing(_guest: Guest) -> None:
    """Let the guest be."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What came of a bring-up that somebody meddled with: its result, itself (None: it did not begin), and what the
    interposer recorded."""

    result: TrialResult
    bringup: Bringup | None = None
    log: Log | None = None

    @property
    def verdict(self) -> Verdict:
        return self.result.verdict

    @property
    def under_way(self) -> Bringup:
        """The bring-up, which has begun."""
        assert self.bringup is not None, self.verdict
        return self.bringup


async def bring_up(
    trial: Trial,
    context: TrialContext | None = None,
    *,
    paused: Act = nothing,
    running: Act = nothing,
    after: Act = nothing,
    change: Callable[[WatchSettings], WatchSettings] = lambda settings: settings,
) -> Brought:
    """Run one bring-up in a process of its own; *paused* is done before its guest runs, *running* meanwhile, *after*
    once it is judged and its hammers rest.

    :param change: makes other settings for the watch.
    """
    context = context or TrialContext(env=interposer.environment(trial.cell.build))
    entered_s = time.monotonic()
    settings = change(watch_settings(trial, usage.load_since(context.since), context.learned))
    try:
        async with instrumented_guest(trial, context, lost_every=int(trial.inject_lost_ap)) as made:
            await paused(made.guest)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(running, made.guest)
                bringup = await begin(made, trial, settings, Start.CONT, entered_s=entered_s, lane=context.lane)
                await bringup.advance()
                tasks.cancel_scope.cancel()
            for hammer in bringup.hammers:
                hammer.release()
            await after(made.guest)
            await made.guest.end(polite=bringup.verdict.outcome is Outcome.HANG)
            log = made.log.read()
            bringup.hear(log)
            if context.journals:
                keep_journal(Path(context.journals), bringup)
            return Brought(result_of(bringup, HammerCounts(bringup.hammers), run_began_s=0.0), bringup, log)
    except* RigError as group:
        error = rig_error_in(group)
    return Brought(rig_result(trial, error, entered_s=entered_s, run_began_s=0.0))

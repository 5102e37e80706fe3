"""What bring-ups happen on: a guest started, churned and watched, its surroundings, and the bell that wakes a trial."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from qstress.errors import GuestError, RigError
from qstress.guest.churn import Churn, churning
from qstress.guest.live import Guest, live_guest
from qstress.interposer.log import WindowLog
from qstress.model import Trial
from qstress.observe import kicks
from qstress.observe.kicks import KickLook
from qstress.trial.context import TrialContext

#: How long a monitor may take to say how often vCPUs were kicked.
KICKS_TIMEOUT_S = 30.0


class Bell:
    """Wakes the trial when something happened; a ring between two waits is not lost."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        """Wake who waits, or the next one who will."""
        self._rung.set()

    async def wait_until(self, deadline_s: float) -> None:
        """Wait for a ring, at most until *deadline_s* (monotonic)."""
        with anyio.CancelScope(deadline=deadline_s):
            await self._rung.wait()
        self._rung = anyio.Event()


@dataclass(slots=True)
class InstrumentedGuest:
    """What bring-ups happen on: a live guest, its window log, the bell that rings when something happened, and the
    churn of its threads."""

    guest: Guest
    log: WindowLog
    bell: Bell
    churn: Churn
    _bench: TrialContext
    _cell_index: int
    _first_look: KickLook | None = None
    _trial: int | None = None

    def turn_to(self, trial: Trial | None) -> None:
        """Say whose trial it is from now on, or that it is nobody's any more."""
        live_trials, now_s = self._bench.live_trials, time.monotonic()
        if live_trials is not None and self._trial is not None:
            live_trials.end(self._trial, now_s)
        self._trial = None if trial is None else trial.number
        if live_trials is not None and trial is not None:
            live_trials.begin(trial.number, self.guest.process.pid, now_s)

    async def look(self) -> None:
        """Begin to count kicks."""
        self._first_look = await kicks.kicks_so_far(self.guest, self.log, timeout_s=KICKS_TIMEOUT_S)

    async def rest(self) -> None:
        """Undo the churn and count what kicked the vCPUs, once; before the guest ends."""
        first, self._first_look = self._first_look, None
        await self.churn.stop()
        if first is not None:
            last = await kicks.kicks_so_far(self.guest, self.log, timeout_s=KICKS_TIMEOUT_S)
            self._bench.on_kicks(self._cell_index, kicks.kicks_between(first, last, self.churn.count))


@asynccontextmanager
async def instrumented_guest(
    trial: Trial, bench: TrialContext, *, lost_every: int = 0
) -> AsyncIterator[InstrumentedGuest]:
    """Start the guest of *trial*, paused; when the block is left nothing of it is there any more.

    :param lost_every: see :func:`qstress.guest.live.live_guest`.
    :raises RigError: as that, in an ``ExceptionGroup``.
    """
    cell, bell = trial.cell, Bell()
    stratum = cell.stratum
    with WindowLog({**dict(cell.build.env), **(bench.env or {})}) as log:
        async with live_guest(
            cell.build, stratum.shape, monitors=len(stratum.hammers), env=log.env, pass_fds=log.pass_fds,
            sandbox=bench.sandbox, lost_every=lost_every, on_change=bell.ring,
        ) as guest:  # fmt: skip
            tids = await _threads(guest) if stratum.churn else {}
            async with churning(stratum.churn, guest.process.pid, set(tids.values()), seed=trial.seed) as churn:
                made = InstrumentedGuest(guest, log, bell, churn, bench, trial.cell_index)
                if stratum.stormy:
                    await made.look()
                try:
                    yield made
                finally:
                    made.turn_to(None)
                await made.rest()


async def _threads(guest: Guest) -> dict[int, int]:
    try:
        return await guest.vcpu_threads(timeout_s=KICKS_TIMEOUT_S)
    except GuestError as error:
        raise RigError(f"cannot learn the guest's threads: {error}", reason="churn") from error

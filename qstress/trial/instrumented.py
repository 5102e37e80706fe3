"""A guest with its instruments: started, churned and recorded, and the bell that rings when something happens to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from qstress.errors import GuestError, RigError
from qstress.guest.churn import Churn, churning
from qstress.guest.live import Guest, live_guest
from qstress.interposer.log import WindowLog
from qstress.model import Trial
from qstress.observe import kicks
from qstress.observe.kicks import KickLook
from qstress.trial.context import Coordinator, TrialContext

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
    """A live guest, its window log, the bell that rings when something happened, the churn of its threads, and where
    its hammers run."""

    guest: Guest
    log: WindowLog
    bell: Bell
    churn: Churn
    tasks: TaskGroup
    _coordinator: Coordinator
    _cell_index: int
    _first_look: KickLook | None = None
    _trial: Trial | None = None

    def turn_to(self, trial: Trial | None) -> None:
        """Say whose trial it is from now on, or that it is nobody's any more."""
        if self._trial is not None:
            self._coordinator.ended(self._trial)
        self._trial = trial
        if trial is not None:
            self._coordinator.began(trial, self.guest.process.pid)

    async def look(self) -> None:
        """Begin to count kicks."""
        self._first_look = await kicks.kicks_so_far(self.guest, self.log, timeout_s=KICKS_TIMEOUT_S)

    async def rest(self) -> None:
        """Undo the churn and count what kicked the vCPUs, once; before the guest ends."""
        first, self._first_look = self._first_look, None
        await self.churn.stop()
        if first is not None:
            last = await kicks.kicks_so_far(self.guest, self.log, timeout_s=KICKS_TIMEOUT_S)
            self._coordinator.kicked(self._cell_index, kicks.kicks_between(first, last, self.churn.count))


@asynccontextmanager
async def instrumented_guest(
    trial: Trial, context: TrialContext, coordinator: Coordinator | None = None, *, lost_every: int = 0
) -> AsyncIterator[InstrumentedGuest]:
    """Start the guest of *trial*, paused; when the block is left nothing of it is there any more.

    :param coordinator: told whose trial runs when, and what kicked the guest.
    :param lost_every: see :func:`qstress.guest.live.live_guest`.
    :raises RigError: as that, in an ``ExceptionGroup``.
    """
    cell, bell = trial.cell, Bell()
    stratum = cell.stratum
    with WindowLog({**dict(cell.build.env), **(context.env or {})}) as log:
        async with live_guest(
            cell.build, stratum.shape, monitors=len(stratum.hammers), env=log.env, pass_fds=log.pass_fds,
            sandbox=context.sandbox, lost_every=lost_every, on_change=bell.ring,
        ) as guest:  # fmt: skip
            tids = await _threads(guest) if stratum.churn else {}
            async with (
                churning(stratum.churn, guest.process.pid, set(tids.values()), seed=trial.seed) as churn,
                anyio.create_task_group() as tasks,
            ):
                listener = coordinator or Coordinator()
                made = InstrumentedGuest(guest, log, bell, churn, tasks, listener, trial.cell_index)
                if stratum.stormy:
                    await made.look()
                try:
                    yield made
                finally:
                    made.turn_to(None)
                await made.rest()
                tasks.cancel_scope.cancel()


async def _threads(guest: Guest) -> dict[int, int]:
    try:
        return await guest.vcpu_threads(timeout_s=KICKS_TIMEOUT_S)
    except GuestError as error:
        raise RigError(f"cannot learn the guest's threads: {error}", reason="churn") from error

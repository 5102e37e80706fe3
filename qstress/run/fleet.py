"""Workers as places for blocks: each block goes to one of them whole, and what is lost with a worker is run again.

Nothing here knows what a worker is but that packets can be exchanged with it (:class:`Link`): dask's workers
(``qstress.run.dask_fleet``), or simulated ones (``tools.simulate_fleet``).
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import anyio

from qstress.errors import RigError, rig_error_in
from qstress.model import Host, Outcome, Trial
from qstress.run.campaign import PlaceLost
from qstress.run.messages import Finished, Mailbox, Message
from qstress.run.remote import asked, follow
from qstress.trial.context import Coordinator, TrialContext

#: A worker that does not answer for so long is lost.
SILENT_S = 30.0
#: After a way was cut it is tried again this often.
RETRY_S = 1.0
#: A lane that is about to go on is waited for so long, so that what it sends goes with the next exchange.
ANSWER_S = 0.002
#: A worker that fails so often without a trial that worked in between is not used any more.
QUARANTINE_AFTER = 3
#: A run without any worker ends after so long.
NOBODY_S = 120.0


def need_dask() -> None:
    """
    :raises RigError: what workers and fleets need is not installed.
    """
    try:
        import cryptography  # noqa: F401
        import distributed  # noqa: F401
    except ImportError as error:
        text = f"workers and fleets need dask.distributed: pip install 'qstress[fleet]' ({error})"
        raise RigError(text, reason="no-dask") from None


class Link(Protocol):
    """The way to one worker. ``name`` stays the same when the worker's process is started again; ``lanes`` is how many
    guests it may have at once, ``host`` its machine, None where that is this one."""

    @property
    def name(self) -> str: ...
    @property
    def lanes(self) -> int: ...
    @property
    def host(self) -> Host | None: ...

    async def exchange(self, packet: bytes, again: bool) -> bytes:
        """As :meth:`qstress.run.site.Site.exchange`, there.

        :raises OSError: the way is cut; it may work again.
        :raises PlaceLost: it will not.
        """


@dataclass(slots=True)
class Conduct:
    """How a worker did: blocks that it finished, how often it was lost, failures without a success since, and why it
    is not used (empty: it is)."""

    blocks: int = 0
    lost: int = 0
    failures: int = 0
    refused: str = ""

    def add(self, finished: Finished) -> None:
        """Take note of how trials went there."""
        for each in finished.trials:
            rig = each.result.verdict.outcome is Outcome.RIG
            self.failures = self.failures + 1 if rig else 0


class Station:
    """The soak's end of one :class:`Link`. Lanes run process-runs through it while :meth:`attend` goes on."""

    def __init__(self, link: Link, conduct: Conduct) -> None:
        self.link = link
        self.conduct = conduct
        self.busy = 0  # lanes that have a block there
        self.gone: PlaceLost | None = None
        self._mail = Mailbox()
        self._numbers = count(1)
        self._heard: defaultdict[int, deque[Message]] = defaultdict(deque)
        self._news, self._wanted = anyio.Event(), anyio.Event()
        self._turn = 0  # of the newest exchange

    async def attend(self) -> None:
        """Exchange packets until the worker is lost; ``gone`` says why then."""
        try:
            async with anyio.create_task_group() as tasks:
                while True:  # at any time there is an exchange under way, which the worker answers when it has news
                    self._turn, self._wanted = self._turn + 1, anyio.Event()
                    tasks.start_soon(self._exchange, self._turn)
                    await self._wanted.wait()
                    if not self._mail.unsent:
                        self._wanted = anyio.Event()
                        with anyio.move_on_after(ANSWER_S):
                            await self._wanted.wait()
        except* PlaceLost as group:
            lost = rig_error_in(group)
            self.gone = lost if isinstance(lost, PlaceLost) else PlaceLost(str(lost))
        finally:
            self._tell()

    async def run_process(self, trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        """As :func:`qstress.trial.process_run.run_process`, there.

        :raises PlaceLost: with the worker.
        :raises RigError: what *coordinator* raised.
        :raises RuntimeError: qstress failed there: a defect.
        """
        number = next(self._numbers)
        self._send(asked(number, trials, context))
        try:
            await follow(number, lambda: self._next(number), self._send, coordinator)
        finally:
            self._heard.pop(number, None)

    async def _next(self, number: int) -> Message:
        while not self._heard[number]:
            if self.gone is not None:
                raise PlaceLost(str(self.gone))
            await self._news.wait()
        return self._heard[number].popleft()

    def _send(self, message: Message) -> None:
        self._mail.put(message)
        self._wanted.set()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _exchange(self, turn: int) -> None:
        for message in self._mail.take(await self._answer()):
            self._heard[message.number].append(message)
            if isinstance(message, Finished):
                self.conduct.add(message)
        self._tell()
        if turn == self._turn:
            self._wanted.set()

    async def _answer(self) -> bytes:
        again, why = False, ""
        with anyio.move_on_after(SILENT_S):
            while True:
                try:
                    return await self.link.exchange(self._mail.packet(), again)
                except OSError as error:
                    again, why = True, f": {error}"
                    await anyio.sleep(RETRY_S)
        raise PlaceLost(f"worker {self.link.name} has not answered for {SILENT_S:g} s{why}")


class Fleet:
    """Some workers; any may come, go, and fail. ``say`` is told, for people, what becomes of them."""

    def __init__(self, say: Callable[[str], None] = lambda line: None) -> None:
        self.say = say
        self.conducts: dict[str, Conduct] = {}
        self._stations: list[Station] = []
        self._at: dict[int, Station] = {}  # where the block of a lane is
        self._changed = anyio.Event()
        self._queue = anyio.Lock()  # first come, first served: a block that is run again is not overtaken for ever

    async def attend(self, link: Link) -> None:
        """Have blocks run through *link* until its worker is lost."""
        station = Station(link, self.conduct(link.name))
        self._stations.append(station)
        self._tell()
        try:
            await station.attend()
        finally:
            self._stations.remove(station)
            self._tell()
        if station.gone is not None:
            station.conduct.lost += 1
            station.conduct.failures += 1
            self.say(f"{station.gone}: its blocks are run again")
            self._failed(link.name, str(station.gone))

    def conduct(self, name: str) -> Conduct:
        """Return how the worker called *name* did so far."""
        return self.conducts.setdefault(name, Conduct())

    def document(self) -> dict[str, object]:
        """Return how the workers did, as ``fleet`` of summary.json has it."""
        shown = ("blocks", "lost", "refused")
        workers = [{"name": name, **{key: getattr(each, key) for key in shown}} for name, each in self.conducts.items()]
        return {"workers": workers}

    def refuse(self, name: str, why: str) -> None:
        """Do not use the worker called *name*."""
        if not self.conduct(name).refused:
            self.conduct(name).refused = why
            self.say(f"worker {name} is not used: {why}")
            self._tell()

    @asynccontextmanager
    async def block(self, lane: int) -> AsyncIterator[None]:
        """Have what lane number *lane* runs in this block run in one place; wait for one.

        :raises RigError: there has been none for ``NOBODY_S``.
        """
        async with self._queue:
            station = await self._free()
            station.busy += 1
        self._at[lane] = station
        try:
            yield
            station.conduct.blocks += 1
        finally:
            del self._at[lane]
            station.busy -= 1
            self._failed(station.link.name, "trials cannot be run there")
            self._tell()

    async def run_process(self, trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        """As :meth:`Station.run_process`, where the block of the lane is."""
        await self._at[context.lane].run_process(trials, context, coordinator)

    def host_of(self, lane: int) -> Host | None:
        """Return on which host the block of lane number *lane* is; None: on this machine."""
        return self._at[lane].link.host

    async def _free(self) -> Station:
        """Return the worker that is least busy for its size, once there is one with room."""
        while True:
            usable = [station for station in self._stations if not station.conduct.refused]
            if with_room := [station for station in usable if station.busy < station.link.lanes]:
                return min(with_room, key=lambda station: station.busy / station.link.lanes)
            changed = self._changed
            with anyio.move_on_after(math.inf if usable else NOBODY_S) as waited:
                await changed.wait()
            if waited.cancelled_caught:
                raise RigError(f"no worker for {NOBODY_S:g} s{self._refusals()}", reason="no-worker")

    def _refusals(self) -> str:
        return "".join(f"; {name}: {each.refused}" for name, each in self.conducts.items() if each.refused)

    def _failed(self, name: str, why: str) -> None:
        """Take note of a failure; too many of them are the last."""
        if self.conduct(name).failures >= QUARANTINE_AFTER:
            self.refuse(name, f"failed {QUARANTINE_AFTER} times in a row, at last: {why}")

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

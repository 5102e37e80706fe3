"""Workers of a fleet in this process: a site that plays process-runs, and a link to it that can be cut."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel

from qstress.model import Host, Trial
from qstress.run.campaign import PlaceLost
from qstress.run.fleet import Fleet
from qstress.run.site import Site
from qstress.trial.context import Coordinator, TrialContext

Played = Callable[[Sequence[Trial], TrialContext, Coordinator], Awaitable[None]]


class PlayedLink:
    """A link to a site in this process. ``cuts`` answers are lost on the way; ``dead``: the worker is."""

    def __init__(self, site: Site, name: str = "w", lanes: int = 1, host: Host | None = None) -> None:
        self.site, self.name, self.lanes, self.host = site, name, lanes, host
        self.cuts = 0
        self.dead = False

    async def exchange(self, packet: bytes, again: bool) -> bytes:
        answer = await self.site.exchange(packet, again)
        if self.dead:
            raise PlaceLost(f"worker {self.name} has ended")
        if self.cuts:
            self.cuts -= 1
            raise OSError("cut")
        return answer

    async def die(self) -> None:
        """End the worker, and its guests with it."""
        self.dead = True
        await self.site.close()


def played_site(play: Played) -> Site:
    """Return a site whose process-runs are *play*."""
    return Site([], "here", play)


@asynccontextmanager
async def staffed_by(fleet: Fleet, *links: PlayedLink) -> AsyncIterator[None]:
    """Have *fleet* use *links*."""
    async with anyio.create_task_group() as tasks:
        for link in links:
            tasks.start_soon(link.site.serve)
            while not link.site.serving:
                await anyio.lowlevel.checkpoint()
            tasks.start_soon(fleet.attend, link)
        yield
        tasks.cancel_scope.cancel()

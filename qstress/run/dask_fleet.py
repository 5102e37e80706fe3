"""A fleet of dask.distributed's workers: a cluster of local processes, or an existing scheduler's.

Nothing is a task of dask's: its scheduler places nothing, retries nothing and holds nothing of ours. A worker is joined
once (``Client.run``), which adds our handlers to those that its server has; from then on packets go to and fro.
"""

from __future__ import annotations

import logging
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import dask
from anyio.abc import TaskGroup
from distributed import Client, LocalCluster, Security

from qstress.config.settings import FleetSettings, Settings
from qstress.errors import RigError, rig_errors_alone
from qstress.host.worker import WorkerFacts, look_at_worker, unfit
from qstress.model import Build, Host
from qstress.run.campaign import PlaceLost
from qstress.run.fleet import Fleet
from qstress.run.site import Site

#: The scheduler is asked this often who is there; a run ends once it has not answered for ``GONE_S``.
LOOK_S, GONE_S = 1.0, 30.0
#: How long a scheduler may take to answer at first, and a worker to let go of its guests.
CONNECT_S, CLOSE_S = 30.0, 15.0
#: A worker that was lost, and is still there, is joined again after this.
REJOIN_S = 5.0
#: Dask keeps its own profile of a loop, looks 50 times a second whether that is late, and sets what a QEMU would get.
_DASK = {
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.worker.profile.enabled": False,
    "distributed.nanny.pre-spawn-environ": {},
    "distributed.comm.timeouts.connect": "10s",
}


@dataclass(frozen=True, slots=True)
class _Way:
    """What a client needs to reach one worker's handlers: through the scheduler, unless *direct*."""

    client: Any  # a Client
    address: str
    direct: bool

    async def call(self, handler: str, **arguments: object) -> Any:
        """Return what *handler* of the worker answers to *arguments*.

        :raises OSError: the way is cut.
        """
        try:
            if self.direct:
                return await getattr(self.client.rpc(self.address), handler)(**arguments)
            answer = await _scheduler(self.client).proxy(worker=self.address, msg={"op": handler, **arguments})
        except RuntimeError as error:  # what a client says that has given up its scheduler
            raise OSError(str(error)) from error
        if isinstance(answer, OSError):
            raise answer
        return answer


class DaskLink:
    """A :class:`qstress.run.fleet.Link` to one of dask's workers, which was joined under the name *session*."""

    def __init__(self, way: _Way, session: str, name: str, lanes: int, host: Host | None) -> None:
        self.name, self.lanes, self.host = name, lanes, host
        self.left = False  # the scheduler does not know it any more
        self._way, self._session = way, session

    async def exchange(self, packet: bytes, again: bool) -> bytes:
        """
        :raises OSError: the way is cut; it may work again.
        :raises PlaceLost: the worker has ended, or has let go of this run.
        """
        if self.left:
            raise PlaceLost(f"worker {self.name} has ended")
        answer = await self._way.call(_exchange_of(self._session), packet=packet, again=again)
        if not isinstance(answer, bytes):
            raise PlaceLost(f"worker {self.name} has let go of this run")
        return answer

    async def close(self) -> None:
        """Have the worker end its guests; never raises."""
        with anyio.move_on_after(CLOSE_S, shield=True), suppress(OSError):
            await self._way.call(_close_of(self._session))


def _exchange_of(session: str) -> str:
    return f"qstress-{session}-exchange"


def _close_of(session: str) -> str:
    return f"qstress-{session}-close"


async def enter(run: str, session: str, builds: Sequence[Build], host: str, local: bool, dask_worker: Any) -> None:
    """On a worker: be ready for the trials of *run*, and let go of those of its earlier sessions.

    :param session: what no other joining of a worker is called, so that what is late for an earlier one is lost.
    :param local: the worker is of the soak's own making, so that a terminal's signals are the soak's to obey.
    :raises RigError: the interposer cannot be built here.
    """
    if local:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    for name, handler in list(dask_worker.handlers.items()):
        if name.startswith(f"qstress-{run}-") and name.endswith("-close"):
            await handler()
    site = Site(builds, host)

    async def serve() -> None:
        await site.serve()
        del dask_worker.handlers[_exchange_of(session)], dask_worker.handlers[_close_of(session)]

    dask_worker.loop.add_callback(serve)
    while not site.serving:
        await anyio.lowlevel.checkpoint()
    dask_worker.handlers[_exchange_of(session)] = site.exchange
    dask_worker.handlers[_close_of(session)] = site.close


@asynccontextmanager
async def staffed(fleet: Fleet, settings: Settings, run: str) -> AsyncIterator[None]:
    """Give *fleet* its workers for run *run*: those of ``settings.fleet``, else ``settings.workers`` of our own.

    :raises RigError: no scheduler can be reached, or it is gone.
    """
    lanes = -(-settings.lanes // settings.workers)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it has to say we say
    with rig_errors_alone():
        async with _client(settings) as client, anyio.create_task_group() as tasks:
            crew = _Crew(client, fleet, settings, run, lanes)
            tasks.start_soon(crew.watch, tasks)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
                await crew.dismiss()


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[Any]:
    with dask.config.set(_DASK):
        if settings.fleet is not None:
            async with connected(settings.fleet) as client:
                yield client
            return
        security = Security.temporary()
        cluster = LocalCluster(
            n_workers=settings.workers, threads_per_worker=1, memory_limit=0, host="127.0.0.1", security=security,
            dashboard_address=None, asynchronous=True, silence_logs=logging.CRITICAL,
        )  # fmt: skip
        async with _closed_whatever_comes(cluster):
            made = Client(cluster, asynchronous=True, direct_to_workers=True, security=security)
            async with _closed_whatever_comes(made) as client:
                yield client


@asynccontextmanager
async def connected(asked: FleetSettings) -> AsyncIterator[Any]:
    """Return a client of the scheduler that *asked* names.

    :raises RigError: it cannot be reached.
    """
    tls = asked.tls
    security = Security(
        tls_ca_file=tls.ca, tls_client_cert=tls.cert, tls_client_key=tls.key, require_encryption=True
    ) if tls else Security()  # fmt: skip
    try:
        client = await Client(asked.scheduler, asynchronous=True, security=security, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise RigError(f"{asked.scheduler}: no scheduler answers: {error}", reason="fleet") from None
    async with _closed_whatever_comes(client):
        yield client


@asynccontextmanager
async def _closed_whatever_comes(of_dask: Any) -> AsyncIterator[Any]:
    """Begin something of dask's, and close it also when we are cancelled."""
    made = await of_dask
    try:
        yield made
    finally:
        with anyio.move_on_after(CLOSE_S, shield=True):
            await made.close()


def _scheduler(client: Any) -> Any:
    """
    :raises OSError: the client has given its scheduler up.
    """
    if client.scheduler is None:
        raise OSError("dask's client has given it up")
    return client.scheduler


async def workers_of(client: Any) -> dict[str, str]:
    """Return the name of each worker, which stays the same when its process is started again, by its address.

    :raises OSError: the scheduler does not answer.
    """
    try:
        told = (await _scheduler(client).identity(n_workers=-1))["workers"]
    except RuntimeError as error:
        raise OSError(str(error)) from error
    return {
        address: str(about["name"] if about["name"] != address else about.get("nanny") or address)
        for address, about in told.items()
    }


async def look_at_all(
    asked: FleetSettings, binaries: Sequence[str]
) -> tuple[dict[str, WorkerFacts | str], dict[str, float]]:
    """Return what each worker says of its host, or why it says nothing, and how far its clock is from ours in seconds.

    :raises RigError: no scheduler answers.
    """
    told: dict[str, WorkerFacts | str] = {}
    off_s: dict[str, float] = {}
    async with connected(asked) as client:

        async def look(address: str, name: str) -> None:
            began_s = time.time()
            try:
                answer = (await client.run(look_at_worker, binaries, workers=[address], on_error="return"))[address]
            except (OSError, KeyError) as error:
                answer = error
            if isinstance(answer, WorkerFacts):
                told[name], off_s[name] = answer, answer.clock_s - (began_s + time.time()) / 2
            else:  # of any kind: it comes from there, where qstress may be another or missing
                told[name] = f"{type(answer).__name__}: {answer}"

        async with anyio.create_task_group() as tasks:
            for address, name in (await workers_of(client)).items():
                tasks.start_soon(look, address, name)
    return dict(sorted(told.items())), off_s


@dataclass(eq=False, slots=True)
class _Presence:
    """One time that a worker is there, from when the scheduler knows it to when it does not any more."""

    link: DaskLink | None = None
    over: bool = False

    def end(self) -> None:
        """The scheduler does not know it any more."""
        self.over = True
        if self.link is not None:
            self.link.left = True


class _Crew:
    """The workers of a scheduler: watched as they come and go, and joined to one run."""

    def __init__(self, client: Any, fleet: Fleet, settings: Settings, run: str, lanes: int) -> None:
        self._client, self._fleet, self._settings, self._run, self._lanes = client, fleet, settings, run, lanes
        self._there: dict[str, _Presence] = {}  # by address; a worker may come again under the same one

    async def watch(self, tasks: TaskGroup) -> None:
        """Have *fleet* use each worker as long as it is there.

        :raises RigError: the scheduler is gone.
        """
        answered_s = anyio.current_time()
        while True:
            try:
                there = await workers_of(self._client)
                answered_s = anyio.current_time()
                self._compare(there, tasks)
            except OSError as error:
                if anyio.current_time() > answered_s + GONE_S:
                    text = "the scheduler is gone; --resume goes on where this run ends"
                    raise RigError(f"{text}: {error}", reason="fleet") from None
            await anyio.sleep(LOOK_S)

    async def dismiss(self) -> None:
        """Have all workers end their guests."""
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                for presence in self._there.values():
                    if presence.link is not None:
                        tasks.start_soon(presence.link.close)

    def _compare(self, there: dict[str, str], tasks: TaskGroup) -> None:
        for address in self._there.keys() - there.keys():
            self._there.pop(address).end()
        for address in there.keys() - self._there.keys():
            presence = self._there[address] = _Presence()
            tasks.start_soon(self._employ, address, there[address], presence)

    async def _employ(self, address: str, name: str, presence: _Presence) -> None:
        """Join the worker and have it used until it is lost, again and again as long as it is there."""
        while not presence.over and not self._fleet.conduct(name).refused:
            if (link := await self._joined(address, name)) is not None and not presence.over:
                presence.link = link
                await self._fleet.attend(link)
            await anyio.sleep(REJOIN_S)

    async def _joined(self, address: str, name: str) -> DaskLink | None:
        lanes, shown, host, local = self._lanes, name, None, self._settings.fleet is None
        session = f"{self._run}-{secrets.token_hex(4)}"
        try:
            if not local:
                facts = await self._ask(address, look_at_worker, [build.binary for build in self._settings.builds])
                if problems := list(unfit(facts, self._settings)):
                    self._fleet.refuse(name, "; ".join(problems))
                    return None
                lanes, shown, host = max(lanes, facts.cores // 2), facts.host, Host(facts.host, facts.kernel)
            await self._ask(address, enter, self._run, session, self._settings.builds, shown, local)
        except (OSError, KeyError):
            return None  # it has gone meanwhile, or will be tried again
        except Exception as error:  # of any kind: it comes from there, where qstress may be another or missing
            self._fleet.refuse(name, f"{type(error).__name__}: {error}")
            return None
        return DaskLink(_Way(self._client, address, direct=local), session, name, lanes, host)

    async def _ask(self, address: str, question: Callable[..., Any], *arguments: object) -> Any:
        return (await self._client.run(question, *arguments, workers=[address]))[address]

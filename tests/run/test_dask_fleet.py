"""A scheduler and workers of dask's in this process; clusters and live QEMU are in ``tests/live/test_fleet.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest
from distributed import Scheduler, Worker

from qstress.config.settings import FleetSettings, Settings
from qstress.errors import RigError
from qstress.host.worker import WorkerFacts, look_at_worker
from qstress.model import Host, Trial
from qstress.run import dask_fleet, site
from qstress.run.campaign import PlaceLost
from qstress.run.dask_fleet import DaskLink, _Way, connected, look_at_all, staffed, workers_of
from qstress.run.fleet import Fleet
from qstress.trial.context import Coordinator, TrialContext
from tests.metrics.samples import BUILDS, settings
from tests.run.links import PlayedLink, played_site
from tests.run.test_remote import Noting, played
from tests.samples import trial


@asynccontextmanager
async def scheduler() -> AsyncIterator[Scheduler]:
    async with Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as made:
        yield made


@asynccontextmanager
async def worker(of: Scheduler, name: str) -> AsyncIterator[Worker]:
    async with Worker(of.address, name=name, nthreads=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as made:
        yield made


@pytest.fixture(autouse=True)
def played_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_fleet, "LOOK_S", 0.05)
    monkeypatch.setattr(dask_fleet, "REJOIN_S", 0.05)
    monkeypatch.setattr(dask_fleet, "unfit", lambda facts, settings: iter(()))
    monkeypatch.setattr(site, "run_process", played)
    monkeypatch.setattr(site, "build_environments", lambda builds: ({}, {}))


def on(at: Scheduler | None) -> Settings:
    base, _ = settings(BUILDS)
    return replace(base, fleet=FleetSettings(at.address if at else "tcp://127.0.0.1:9"), lanes=1)


async def told(fleet: Fleet, one: Trial) -> list[object]:
    noting = Noting()
    async with fleet.block(0):
        await fleet.run_process([one], TrialContext(), noting)
    return noting.told


async def test_a_process_run_on_a_worker_tells_what_one_here_tells() -> None:
    fleet, here = Fleet(), Noting()
    await played([trial(1)], TrialContext(), here)
    async with scheduler() as at, worker(at, "a"), staffed(fleet, on(at), "run-1"):
        assert await told(fleet, trial(1)) == here.told
    assert fleet.document() == {"workers": [{"name": "a", "blocks": 1, "lost": 0, "refused": ""}]}


async def test_a_worker_has_let_go_of_everything_at_the_end() -> None:
    fleet = Fleet()
    async with scheduler() as at, worker(at, "a") as made:
        before = set(made.handlers)
        async with staffed(fleet, on(at), "run-1"):
            await told(fleet, trial(1))
            assert set(made.handlers) != before
        while set(made.handlers) != before:
            await anyio.sleep(0.01)


async def test_a_block_is_lost_with_its_worker_and_another_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        coordinator.began(trials[0], 7)
        if trials[0].number == 1:
            await anyio.sleep_forever()

    monkeypatch.setattr(site, "run_process", endless)
    fleet, noting, lost = Fleet(), Noting(), anyio.Event()

    async def run() -> None:
        try:
            async with fleet.block(0):
                await fleet.run_process([trial(1)], TrialContext(), noting)
        except PlaceLost:
            lost.set()

    async with scheduler() as at, staffed(fleet, on(at), "run-1"), anyio.create_task_group() as tasks:
        async with worker(at, "a"):
            tasks.start_soon(run)
            while not noting.told:
                await anyio.sleep(0.01)
        await lost.wait()
        async with worker(at, "b"):
            assert await told(fleet, trial(2)) == [("began", 2, 7)]
    assert fleet.conducts["a"].lost == 1


def look_named(binaries: Sequence[str], dask_worker: Worker) -> WorkerFacts:
    """Say of a worker that it is on a host of its own."""
    return replace(look_at_worker(binaries), host=f"rack-{dask_worker.name}", kernel="6.1")


async def test_a_block_knows_its_host_and_so_do_its_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_fleet, "look_at_worker", look_named)
    fleet = Fleet()
    async with scheduler() as at, worker(at, "7"), staffed(fleet, on(at), "run-1"), fleet.block(0):
        assert fleet.host_of(0) == Host("rack-7", "6.1")


async def test_a_worker_that_comes_again_under_the_same_address_is_joined_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Joined twice, it let go of what its first joining had it run, and took messages of one for those of the other."""
    monkeypatch.setattr(dask_fleet, "REJOIN_S", 0.0)
    crew = dask_fleet._Crew(None, Fleet(), on(None), "run-1", 1)
    joined: list[PlayedLink] = []

    async def join(address: str, name: str) -> PlayedLink:
        link = PlayedLink(played_site(played), name)
        tasks.start_soon(link.site.serve)
        while not link.site.serving:
            await anyio.lowlevel.checkpoint()
        joined.append(link)
        return link

    monkeypatch.setattr(crew, "_joined", join)
    async with anyio.create_task_group() as tasks:
        for times in (1, 2):
            crew._compare({"tcp://127.0.0.1:1": "a"}, tasks)
            while len(joined) < times:
                await anyio.lowlevel.checkpoint()
            crew._compare({}, tasks)  # and at once it is back
            crew._compare({"tcp://127.0.0.1:1": "a"}, tasks)
            await joined[-1].die()
        while len(joined) < 3:
            await anyio.lowlevel.checkpoint()
        for _ in range(1000):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert len(joined) == 3


async def test_an_exchange_of_an_earlier_joining_is_lost() -> None:
    fleet = Fleet()
    async with scheduler() as at, worker(at, "a") as made, staffed(fleet, on(at), "run-1"):
        await told(fleet, trial(1))
        (before,) = [name for name in made.handlers if name.startswith("qstress-run-1-") and name.endswith("-close")]
        await dask_fleet.enter("run-1", "run-1-again", BUILDS, "host", False, made)
        assert before not in made.handlers
        assert "qstress-run-1-again-exchange" in made.handlers
        with pytest.raises(PlaceLost, match="has let go of this run"):
            await told(fleet, trial(2))
        assert await told(fleet, trial(3))  # it is joined again


async def test_a_worker_that_cannot_run_it_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_fleet, "unfit", lambda facts, settings: iter(["no QEMU", "no luck"]))
    fleet, said = Fleet(), anyio.Event()
    fleet.say = lambda line: said.set()
    async with scheduler() as at, worker(at, "a"), staffed(fleet, on(at), "run-1"):
        await said.wait()
    assert fleet.conducts["a"].refused == "no QEMU; no luck"


async def test_a_scheduler_that_goes_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_fleet, "GONE_S", 0.0)
    monkeypatch.setattr(dask_fleet, "CONNECT_S", 1.0)  # and so long dask's client tries to find it again
    fleet = Fleet()
    async with scheduler() as at, worker(at, "a"):
        with pytest.raises(RigError, match="the scheduler is gone; --resume goes on"):  # noqa: PT012
            async with staffed(fleet, on(at), "run-1"):
                await told(fleet, trial(1))  # so that there is a worker to let go of
                await at.close()
                await anyio.sleep_forever()


async def test_a_client_that_has_given_up_is_a_cut_way() -> None:
    class GivenUp:
        scheduler = None

    with pytest.raises(OSError, match="given it up"):
        await workers_of(GivenUp())
    await DaskLink(_Way(GivenUp(), "tcp://127.0.0.1:1", direct=False), "run-1", "a", 1, None).close()


async def test_every_worker_can_be_asked_what_it_is() -> None:
    async with scheduler() as at, worker(at, "a"), worker(at, "b"):
        told, off_s = await look_at_all(FleetSettings(at.address), ["/no/such/qemu"])
        async with connected(FleetSettings(at.address)) as client:
            assert sorted((await workers_of(client)).values()) == ["a", "b"]
    assert sorted(told) == sorted(off_s) == ["a", "b"]
    assert all(isinstance(each, WorkerFacts) and each.binaries == {"/no/such/qemu": ""} for each in told.values())

"""Blocks on the workers of a fleet, whose process-runs are played: where they run, and what becomes of lost ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import anyio
import anyio.lowlevel
import pytest

from qstress.errors import RigError
from qstress.model import Outcome, Trial
from qstress.plan.schedule import Plan
from qstress.run import fleet as module
from qstress.run.campaign import Campaign, Deliver, PlaceLost, Reason, StopRule
from qstress.run.fleet import QUARANTINE_AFTER, Fleet, need_dask
from qstress.trial.context import Coordinator, FinishedTrial, TrialContext
from tests.run.links import PlayedLink, played_site, staffed_by
from tests.run.test_campaign import Memory
from tests.run.test_remote import Noting, played
from tests.samples import build, result, stratum, trial

PLAN = Plan((build("a"), build("b")), (stratum(2),), seed=3)


class Delivering(Coordinator):
    """Hands results on to a campaign."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver

    def take(self, finished: Sequence[FinishedTrial]) -> bool:
        return self._deliver([(each.result, each.evidence) for each in finished])


class Ran:
    """A campaign on a fleet; remembers which worker ran which trial, in order."""

    def __init__(self, fleet: Fleet, *, lanes: int = 2, blocks: int = 10) -> None:
        self.memory, self.fleet = Memory(), fleet
        self.lost: list[list[int]] = []
        self.where: dict[int, list[str]] = defaultdict(list)
        self.counted: list[int] = []

        async def runner(trials: Sequence[Trial], lane: int, deliver: Deliver) -> None:
            await fleet.run_process(trials, TrialContext(lane=lane), Delivering(deliver))

        self.campaign = Campaign(
            PLAN, runner, self.memory, StopRule(blocks, None, lambda: False), lanes, lambda result, place: None,
            lambda results: self.counted.extend(result.trial.number for result in results),
            lambda results: self.lost.append([result.trial.number for result in results]), fleet.block,
        )  # fmt: skip

    def link(self, name: str, outcome: Outcome = Outcome.OK, lanes: int = 2) -> PlayedLink:
        async def play(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
            for each in trials:
                self.where[each.number].append(name)
                await anyio.lowlevel.checkpoint()
                coordinator.take([FinishedTrial(result(each, outcome))])

        return PlayedLink(played_site(play), name, lanes)


async def test_a_process_run_on_a_worker_tells_what_one_here_tells() -> None:
    fleet, there, here = Fleet(), Noting(), Noting()
    trials = [trial(1), trial(2)]
    async with staffed_by(fleet, PlayedLink(played_site(played))), fleet.block(0):
        await fleet.run_process(trials, TrialContext(), there)
    await played(trials, TrialContext(), here)
    assert there.told == here.told
    assert len(there.told) == 7


async def test_a_block_runs_in_one_place_and_all_places_are_used() -> None:
    ran = Ran(Fleet(), lanes=4)
    async with staffed_by(ran.fleet, ran.link("x"), ran.link("y")):
        assert await ran.campaign.run() is Reason.TRIALS
    assert ran.counted == list(range(20))
    for block in range(10):
        assert len({ran.where[2 * block][0], ran.where[2 * block + 1][0]}) == 1
    assert {names[0] for names in ran.where.values()} == {"x", "y"}
    assert sum(conduct.blocks for conduct in ran.fleet.conducts.values()) == 10


async def test_no_worker_has_more_lanes_than_it_may() -> None:
    running = most = 0

    async def play(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        running -= 1
        coordinator.take([FinishedTrial(result(each)) for each in trials])

    ran = Ran(Fleet(), lanes=8)
    async with staffed_by(ran.fleet, PlayedLink(played_site(play), lanes=3)):
        await ran.campaign.run()
    assert (most, ran.counted) == (3, list(range(20)))


async def test_a_lane_that_waits_for_a_place_is_not_overtaken() -> None:
    ran = Ran(Fleet(), lanes=3)
    async with staffed_by(ran.fleet, ran.link("x", lanes=1)):
        await ran.campaign.run()
    assert [number // 2 for number in ran.where] == [block for block in range(10) for _ in range(2)]


async def test_what_is_lost_with_a_worker_is_run_again_elsewhere_with_the_same_trials() -> None:
    ran = Ran(Fleet(), lanes=2)
    said: list[str] = []
    ran.fleet.say = said.append
    stuck = anyio.Event()

    async def half(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        (one,) = trials
        if one.number % 2:
            stuck.set()
            await anyio.sleep_forever()
        coordinator.take([FinishedTrial(result(one, Outcome.HANG))])

    dying = PlayedLink(played_site(half), "dying")
    async with staffed_by(ran.fleet, dying, ran.link("well")), anyio.create_task_group() as tasks:

        async def kill() -> None:
            await stuck.wait()
            await dying.die()

        tasks.start_soon(kill)
        assert await ran.campaign.run() is Reason.TRIALS
    (lost,) = ran.lost
    assert len(lost) == 1
    assert [number for what, number in ran.memory.calls if what == "record"].count(lost[0]) == 2
    assert ran.counted == list(range(20))
    assert ran.fleet.conducts["dying"].lost == 1
    assert said == ["worker dying has ended: its blocks are run again"]


async def test_a_cut_way_neither_loses_nor_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    ran = Ran(Fleet(), lanes=2)
    link = ran.link("x")
    async with staffed_by(ran.fleet, link), anyio.create_task_group() as tasks:

        async def cut() -> None:
            while True:
                link.cuts = 1
                await anyio.sleep(0.001)

        tasks.start_soon(cut)
        assert await ran.campaign.run() is Reason.TRIALS
        tasks.cancel_scope.cancel()
    assert sorted(number for what, number in ran.memory.calls if what == "record") == list(range(20))
    assert all(len(names) == 1 for names in ran.where.values())
    assert ran.lost == []


async def test_a_worker_that_is_silent_for_long_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_S", 0.02)
    fleet = Fleet()

    class Silent(PlayedLink):
        async def exchange(self, packet: bytes, again: bool) -> bytes:
            await anyio.sleep_forever()
            raise AssertionError

    async with staffed_by(fleet, Silent(played_site(played), "mute")):
        with pytest.raises(PlaceLost, match="worker mute has not answered"):
            async with fleet.block(0):
                await fleet.run_process([trial(1)], TrialContext(), Noting())


async def test_a_worker_that_fails_again_and_again_is_not_used_any_more() -> None:
    ran = Ran(Fleet(), lanes=2)
    ran.campaign.places = 2
    said: list[str] = []
    ran.fleet.say = said.append
    async with staffed_by(ran.fleet, ran.link("bad", Outcome.RIG, lanes=1), ran.link("well", lanes=1)):
        assert await ran.campaign.run() is Reason.TRIALS
    bad = [number for number, names in ran.where.items() if names == ["bad"]]
    assert QUARANTINE_AFTER <= len(bad) <= QUARANTINE_AFTER + 1
    assert "failed 3 times in a row" in ran.fleet.conducts["bad"].refused
    assert [line for line in said if "worker bad is not used" in line] == said


async def test_a_run_without_workers_ends_and_says_why_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NOBODY_S", 0.0)
    fleet = Fleet()
    fleet.refuse("w1", "no QEMU there")
    with pytest.raises(RigError, match=r"no worker.*w1: no QEMU there"):
        async with fleet.block(0):
            pass


async def test_an_interrupted_run_does_not_wait_for_workers() -> None:
    ran = Ran(Fleet(), lanes=2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ran.campaign.run)
        await anyio.wait_all_tasks_blocked()
        ran.campaign.drain(Reason.INTERRUPTED)
    assert ran.campaign.reason is Reason.INTERRUPTED


async def test_what_cannot_be_kept_ends_the_process_run() -> None:
    class Full(Coordinator):
        def take(self, finished: Sequence[FinishedTrial]) -> bool:
            raise RigError("disk full", reason="disk-full")

    fleet = Fleet()
    async with staffed_by(fleet, PlayedLink(played_site(played))), fleet.block(0):
        with pytest.raises(RigError, match="disk full"):
            await fleet.run_process([trial(1)], TrialContext(), Full())


def test_without_dask_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    need_dask()
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(RigError, match=r"pip install 'qstress\[fleet\]'"):
        need_dask()

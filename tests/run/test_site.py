"""A worker's end of the conversation, packet by packet."""

from __future__ import annotations

import time
from collections.abc import Sequence

import anyio
import anyio.lowlevel
import pytest

from qstress.model import Evidence, Outcome, Trial
from qstress.run import site as module
from qstress.run.messages import Began, Ended, Finished, Mailbox, Message, Over, Run, Taken
from qstress.run.site import Site
from qstress.trial.context import Coordinator, FinishedTrial, TrialContext
from tests.run.links import Played, played_site
from tests.samples import result, trial


class Asking:
    """The soak's end."""

    def __init__(self, site: Site) -> None:
        self.site, self.mail = site, Mailbox()

    async def ask(self, *messages: Message, again: bool = False) -> list[Message]:
        for message in messages:
            self.mail.put(message)
        return self.mail.take(await self.site.exchange(self.mail.packet(), again))

    async def until_over(self, *messages: Message) -> list[Message]:
        heard = await self.ask(*messages)
        while not any(isinstance(message, Over) for message in heard):
            heard += await self.ask()
        return heard


async def serving(play: Played, tasks: anyio.abc.TaskGroup) -> Asking:
    site = played_site(play)
    tasks.start_soon(site.serve)
    while not site.serving:
        await anyio.lowlevel.checkpoint()
    return Asking(site)


async def two(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
    for each in trials:
        coordinator.began(each, 7)
        outcome = Outcome.HANG if each.inject_lost_ap else Outcome.OK
        wanted = coordinator.take([FinishedTrial(result(each, outcome), Evidence() if each.inject_lost_ap else None)])
        coordinator.ended(each)
        await anyio.lowlevel.checkpoint()
        if not wanted:
            return


async def test_a_process_run_is_told_from_begin_to_end() -> None:
    async with anyio.create_task_group() as tasks:
        asking = await serving(two, tasks)
        heard = await asking.until_over(Run(3, (trial(1),), TrialContext(), 0.0))
        await asking.site.close()
    ended = FinishedTrial(result(trial(1)))
    assert heard == [Began(3, trial(1), 7), Finished(3, (ended,), False), Ended(3, trial(1)), Over(3)]


async def test_a_finding_is_told_at_once_and_says_where_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_S", 3600.0)
    monkeypatch.setattr(module, "POLL_S", 3600.0)

    async def lost(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        await two(trials, context, coordinator)
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        asking = await serving(lost, tasks)
        heard = await asking.ask(Run(1, (trial(1, inject_lost_ap=True),), TrialContext(), 0.0))
        await asking.site.close()
    (finished,) = (message for message in heard if isinstance(message, Finished))
    evidence = finished.trials[0].evidence
    assert evidence is not None
    assert isinstance(evidence.notes["host"], dict)
    assert evidence.notes["host"]["worker"] == "here"


async def test_an_answer_that_was_lost_is_given_again_and_taken_once() -> None:
    async with anyio.create_task_group() as tasks:
        asking = await serving(two, tasks)
        asking.mail.put(Run(1, (trial(1),), TrialContext(), 0.0))
        packet = asking.mail.packet()
        lost = await asking.site.exchange(packet)
        heard = asking.mail.take(await asking.site.exchange(packet, again=True))
        assert asking.mail.take(lost) == []
        while not any(isinstance(message, Over) for message in heard):
            heard += await asking.ask()
        await asking.site.close()
    assert [type(message) for message in heard] == [Began, Finished, Ended, Over]


async def test_a_newer_exchange_takes_the_turn() -> None:
    async with anyio.create_task_group() as tasks:
        asking = await serving(two, tasks)
        answers: list[bytes] = []

        async def first() -> None:
            answers.append(await asking.site.exchange(Mailbox().packet()))

        tasks.start_soon(first)
        await anyio.lowlevel.checkpoint()
        heard = await asking.until_over(Run(1, (trial(1),), TrialContext(), 0.0))
        assert [type(message) for message in heard] == [Began, Finished, Ended, Over]
        assert len(answers) == 1
        await asking.site.close()


async def test_what_is_not_wanted_any_more_ends() -> None:
    async def slow(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        while coordinator.take([]):
            await anyio.sleep(0.01)

    async with anyio.create_task_group() as tasks:
        asking = await serving(slow, tasks)
        await asking.ask(Run(1, (trial(1),), TrialContext(), 0.0))
        assert any(isinstance(message, Over) for message in await asking.until_over(Taken(1, False)))
        await asking.site.close()


async def test_guests_end_when_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASE_S", 0.05)
    ended: list[str] = []

    async def endless(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("its guest")

    async with anyio.create_task_group() as tasks:
        asking = await serving(endless, tasks)
        await asking.site.exchange(_asking_for(trial(1)), again=True)
    assert ended == ["its guest"]


def _asking_for(one: Trial) -> bytes:
    mail = Mailbox()
    mail.put(Run(1, (one,), TrialContext(), 0.0))
    return mail.packet()


async def test_times_count_from_the_begin_of_the_soak_on_the_clock_of_this_host() -> None:
    contexts: list[TrialContext] = []

    async def noted(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        contexts.append(context)

    before_s = time.monotonic()
    async with anyio.create_task_group() as tasks:
        asking = await serving(noted, tasks)
        await asking.until_over(Run(1, (trial(1),), TrialContext(run_began_s=1e9), 100.0))
        await asking.site.close()
    assert before_s - 100 <= contexts[0].run_began_s <= time.monotonic() - 100


async def test_a_defect_is_told_with_its_traceback() -> None:
    async def broken(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        raise KeyError("nonsense")

    async with anyio.create_task_group() as tasks:
        asking = await serving(broken, tasks)
        (over,) = await asking.until_over(Run(1, (trial(1),), TrialContext(), 0.0))
        await asking.site.close()
    assert isinstance(over, Over)
    assert "KeyError: 'nonsense'" in over.error

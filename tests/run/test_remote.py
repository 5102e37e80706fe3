from __future__ import annotations

import os
from collections.abc import Sequence

import anyio
import pytest

from qstress.errors import RigError
from qstress.model import Outcome, StormCount, Trial
from qstress.run.messages import Message
from qstress.run.remote import RemoteTrials
from qstress.trial.context import Coordinator, FinishedTrial, TrialContext
from tests.run.conversation import Conversation
from tests.samples import result, trial


class Noting(Coordinator):
    """Notes what it is told; wants ``most`` trials."""

    def __init__(self, most: int = 100) -> None:
        self.told: list[object] = []
        self._most = most

    def began(self, trial: Trial, pid: int) -> None:
        self.told.append(("began", trial.number, pid))

    def ended(self, trial: Trial) -> None:
        self.told.append(("ended", trial.number))

    def kicked(self, cell_index: int, count: StormCount) -> None:
        self.told.append(("kicked", cell_index, count.moves))

    def take(self, finished: Sequence[FinishedTrial]) -> bool:
        self.told += [("took", each.result.trial.number) for each in finished]
        self._most -= len(finished)
        return self._most > 0


async def played(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
    """A process-run in which each trial loses an AP."""
    for each in trials:
        coordinator.began(each, 7)
        wanted = coordinator.take([FinishedTrial(result(each, Outcome.HANG))])
        coordinator.ended(each)
        await anyio.lowlevel.checkpoint()
        if not wanted:
            return
    coordinator.kicked(trials[0].cell_index, StormCount(1.0, 5))


def remote(conversation: Conversation) -> RemoteTrials:
    return RemoteTrials(conversation.from_server, conversation.to_server, lambda: RigError("it is gone"))


async def test_a_process_run_elsewhere_tells_what_one_here_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    conversation, there, here = Conversation(monkeypatch, played), Noting(), Noting()
    trials = [trial(1), trial(2)]
    await remote(conversation).run_process(trials, TrialContext(), there)
    await played(trials, TrialContext(), here)
    conversation.close()
    assert there.told == here.told
    assert len(there.told) == 7


async def test_lanes_do_not_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = Conversation(monkeypatch, played)
    trials_of = remote(conversation)
    lanes = [(Noting(), [trial(10 * lane + n) for n in range(20)]) for lane in range(4)]
    async with anyio.create_task_group() as tasks:
        for coordinator, trials in lanes:
            tasks.start_soon(trials_of.run_process, trials, TrialContext(), coordinator)
    conversation.close()
    for coordinator, trials in lanes:
        took = [told for told in coordinator.told if isinstance(told, tuple) and told[0] == "took"]
        assert took == [("took", each.number) for each in trials]


async def test_it_ends_when_no_more_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    conversation, coordinator = Conversation(monkeypatch, played), Noting(most=1)
    await remote(conversation).run_process([trial(1), trial(2)], TrialContext(), coordinator)
    conversation.close()
    assert ("took", 2) not in coordinator.told


async def test_what_cannot_be_kept_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Coordinator):
        def take(self, finished: Sequence[FinishedTrial]) -> bool:
            raise RigError("disk full", reason="disk-full")

    conversation = Conversation(monkeypatch, played)
    with pytest.raises(RigError, match="disk full"):
        await remote(conversation).run_process([trial(1)], TrialContext(), Full())
    conversation.close()


async def test_every_lane_learns_why_the_server_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        coordinator.began(trials[0], 7)
        await anyio.sleep_forever()

    conversation = Conversation(monkeypatch, endless)
    trials_of, begun, why = remote(conversation), [Noting(), Noting()], []

    async def lane(coordinator: Noting) -> None:
        try:
            await trials_of.run_process([trial(1)], TrialContext(), coordinator)
        except RigError as error:
            why.append(str(error))

    async with anyio.create_task_group() as tasks:
        for each in begun:
            tasks.start_soon(lane, each)
        while not all(each.told for each in begun):
            await anyio.lowlevel.checkpoint()
        await anyio.to_thread.run_sync(conversation.hang_up)
    os.close(conversation.from_server)
    assert why == ["it is gone", "it is gone"]


async def test_a_defect_there_is_one_here(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        raise KeyError("nonsense")

    conversation = Conversation(monkeypatch, broken)
    with pytest.raises(RuntimeError, match="nonsense"):
        await remote(conversation).run_process([trial(1)], TrialContext(), Noting())
    conversation.close()


def test_messages_have_the_number_of_their_run() -> None:
    assert all("number" in kind.__dataclass_fields__ for kind in Message.__args__)

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import anyio
import pytest

from qstress.model import Evidence, Outcome, StormCount, Trial
from qstress.run import served
from qstress.run.messages import Began, Ended, Finished, Inbox, Kicked, Message, Over, Run, Taken, encoded
from qstress.trial.context import Coordinator, FinishedTrial, TrialContext
from tests.run.conversation import Conversation
from tests.samples import result, trial


def finished(of: Trial, *, lost: bool = False) -> FinishedTrial:
    return FinishedTrial(result(of, Outcome.HANG) if lost else result(of))


class Soak:
    """The soak's end, byte by byte."""

    def __init__(self, conversation: Conversation) -> None:
        self._there = conversation
        self._inbox = Inbox()
        self._got: list[Message] = []

    def say(self, message: Message) -> None:
        os.write(self._there.to_server, encoded(message))

    def hear(self) -> Message:
        while not self._got:
            self._got = list(self._inbox.feed(os.read(self._there.from_server, 1 << 16)))
        return self._got.pop(0)


async def two(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
    """A process-run: each trial loses an AP if it is to, and ends the run when no more is wanted."""
    for each in trials:
        coordinator.began(each, 7)
        wanted = coordinator.take([finished(each, lost=each.inject_lost_ap)])
        coordinator.ended(each)
        if not wanted:
            return
    coordinator.kicked(trials[0].cell_index, StormCount(1.0))


def test_a_process_run_is_told_from_begin_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = Conversation(monkeypatch, two)
    soak, one = Soak(conversation), trial(5)
    soak.say(Run(9, (one,), TrialContext(), 0.0))
    said = [soak.hear() for _ in range(5)]
    conversation.close()
    assert said == [
        Began(9, one, 7), Finished(9, (finished(one),), False), Ended(9, one), Kicked(9, 0, StormCount(1.0)), Over(9),
    ]  # fmt: skip


def test_nothing_goes_on_until_a_finding_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []

    async def lost_once(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        coordinator.take([finished(trials[0], lost=True)])
        kept.append(ready[0])

    ready = [False]
    conversation = Conversation(monkeypatch, lost_once)
    soak = Soak(conversation)
    soak.say(Run(1, (trial(1),), TrialContext(), 0.0))
    assert soak.hear() == Finished(1, (finished(trial(1), lost=True),), True)
    ready[0] = True
    soak.say(Taken(1, True))
    assert soak.hear() == Over(1)
    conversation.close()
    assert kept == [True]


def test_a_finding_says_how_long_its_trial_was_starved_from_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that, a guest that never got a CPU looks as one that had one and did nothing with it."""
    starved_s = iter((1.0, 4.0, 10.0))
    monkeypatch.setattr(served, "starved_beneath_s", lambda: next(starved_s))

    async def starved(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        coordinator.began(trials[0], 7)
        coordinator.take([replace(finished(trials[0], lost=True), evidence=Evidence())])

    conversation = Conversation(monkeypatch, starved)
    soak = Soak(conversation)
    soak.say(Run(1, (trial(1),), TrialContext(), 0.0))
    assert isinstance(soak.hear(), Began)
    told = soak.hear()
    soak.say(Taken(1, True))
    conversation.close()
    assert isinstance(told, Finished)
    evidence = told.trials[0].evidence
    assert evidence is not None
    beneath = cast("dict[str, dict[str, float]]", evidence.notes["host"])["beneath"]
    assert beneath["starved_s"] == 6.0
    assert beneath["of_s"] >= 0.0


def test_what_is_not_wanted_any_more_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = Conversation(monkeypatch, two)
    soak = Soak(conversation)
    trials = (trial(1, inject_lost_ap=True), trial(2))
    soak.say(Run(1, trials, TrialContext(), 0.0))
    assert isinstance(soak.hear(), Began)
    assert isinstance(soak.hear(), Finished)
    soak.say(Taken(1, False))
    assert soak.hear() == Ended(1, trials[0])
    assert soak.hear() == Over(1)
    conversation.close()


def test_times_count_from_the_begin_of_the_soak_on_the_clock_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts: list[TrialContext] = []

    async def noted(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        contexts.append(context)

    conversation = Conversation(monkeypatch, noted)
    soak = Soak(conversation)
    before_s = time.monotonic()
    soak.say(Run(1, (trial(1),), TrialContext(run_began_s=1e9), 100.0))
    soak.hear()
    conversation.close()
    assert before_s - 100 <= contexts[0].run_began_s <= time.monotonic() - 100


def test_a_defect_is_told_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        raise KeyError("nonsense")

    conversation = Conversation(monkeypatch, broken)
    soak = Soak(conversation)
    soak.say(Run(1, (trial(1),), TrialContext(), 0.0))
    over = soak.hear()
    conversation.close()
    assert isinstance(over, Over)
    assert "KeyError: 'nonsense'" in over.error


def test_guests_end_when_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []

    async def endless(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        coordinator.began(trials[0], 1)
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("its guest")

    conversation = Conversation(monkeypatch, endless)
    soak = Soak(conversation)
    soak.say(Run(1, (trial(1),), TrialContext(), 0.0))
    soak.hear()
    conversation.close()
    assert ended == ["its guest"]


def test_a_finding_says_on_which_host_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        coordinator.take([FinishedTrial(result(trials[0], Outcome.HANG), Evidence())])

    monkeypatch.setattr(served, "emulated_host", lambda: {"qemu_version": "7.2.22"})
    conversation = Conversation(monkeypatch, lost)
    soak = Soak(conversation)
    soak.say(Run(1, (trial(1),), TrialContext(), 0.0))
    said = soak.hear()
    assert isinstance(said, Finished)
    soak.say(Taken(1, True))
    conversation.close()
    evidence = said.trials[0].evidence
    assert evidence is not None
    host = evidence.notes["host"]
    assert isinstance(host, dict)
    assert host["emulated"] == {"qemu_version": "7.2.22"}
    assert host["loadavg"]

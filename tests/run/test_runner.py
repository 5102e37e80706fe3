"""What the trials of a soak are given and what is learned of them; no QEMU runs, process-runs are played."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.config.layers import JOURNALS_VARIABLE
from qstress.errors import RigError
from qstress.hostlog.findings import LiveTrials
from qstress.model import Accel, Evidence, FindingClass, Host, Outcome, StormCount, Trial, TrialResult, Verdict
from qstress.plan.schedule import Plan
from qstress.run import runner
from qstress.run.runner import SoakRunner
from qstress.store.rows import as_stored
from qstress.store.write import RunStore
from qstress.trial.context import Coordinator, EvidenceQuota, FinishedTrial, HealthyBoot, TrialContext
from tests.firmware.test_linux import LINUX
from tests.recorded.samples import Recording
from tests.samples import result
from tests.stats.samples import NEW, OLD
from tests.trial.fakes import shaped

LOST = Verdict(Outcome.HANG, "lost INIT: CPU#1", FindingClass.LOST_INIT, "lost-init/x")
Played = Callable[[Sequence[Trial], TrialContext, Coordinator], None]


class Stage:
    """A soak's runner whose process-runs are played by ``play``; remembers their contexts."""

    def __init__(self, store: RunStore, trials: Sequence[Trial]) -> None:
        self.store, self.trials = store, trials
        self.contexts: list[TrialContext] = []
        self.delivered: list[tuple[TrialResult, Evidence | None]] = []
        self.kicks: list[tuple[int, StormCount]] = []
        self.live_trials = LiveTrials()
        self.play: Played = lambda trials, context, coordinator: None

    async def run_process(self, trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        self.contexts.append(context)
        self.play(trials, context, coordinator)

    def deliver(self, done: Sequence[tuple[TrialResult, Evidence | None]]) -> bool:
        self.delivered.extend(done)
        return len(self.delivered) < 3


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Stage, SoakRunner]]:
    recording = Recording(tmp_path)
    monkeypatch.setattr(runner, "has_sandbox", lambda build: build.name != "")
    made = Stage(recording.store, Plan(recording.asked.builds, recording.asked.strata, 1).runs(0)[0])
    monkeypatch.setattr(runner, "run_process", made.run_process)
    soak = SoakRunner(
        recording.asked, recording.store, lambda cell, count, host: made.kicks.append((cell, count)), made.live_trials
    )
    yield made, soak
    recording.killed()


async def test_a_process_run_is_given_its_lane_and_what_its_build_needs(stage: tuple[Stage, SoakRunner]) -> None:
    made, soak = stage
    await soak(made.trials, 3, made.deliver)
    (context,) = made.contexts
    assert (context.lane, context.sandbox, context.journals) == (3, True, "")
    assert context.evidence == EvidenceQuota(5, {})


async def test_what_trials_show_is_known_to_the_next_process_run_of_their_cell(stage: tuple[Stage, SoakRunner]) -> None:
    made, soak = stage

    def play(trials: Sequence[Trial], _context: TrialContext, coordinator: Coordinator) -> None:
        ok, lost = result(trials[0]), replace(result(trials[0]), verdict=LOST)
        coordinator.take([FinishedTrial(ok, healthy=HealthyBoot(0.1, 0.5, 1.0)), FinishedTrial(lost, Evidence())])

    made.play = play
    other = [replace(trial, cell_index=trial.cell_index + 1) for trial in made.trials]
    for trials in (made.trials, other, made.trials):
        await soak(trials, 0, made.deliver)
    first, elsewhere, again = made.contexts
    assert (first.learned.boots_s, elsewhere.learned.boots_s, again.learned.boots_s) == ((), (), (0.5,))
    assert [context.known for context in made.contexts] == [frozenset(), frozenset(), {FindingClass.LOST_INIT}]


async def test_results_are_delivered_as_they_will_be_stored_and_the_answer_comes_back(
    stage: tuple[Stage, SoakRunner],
) -> None:
    made, soak = stage
    answers: list[bool] = []

    def play(trials: Sequence[Trial], _context: TrialContext, coordinator: Coordinator) -> None:
        finished = FinishedTrial(replace(result(trials[0]), verdict=LOST, duration_s=1 / 3), Evidence(stderr="x"))
        answers.append(coordinator.take([finished]))
        answers.append(coordinator.take([finished, finished]))

    made.play = play
    await soak(made.trials, 0, made.deliver)
    assert answers == [True, False]
    stored = as_stored(replace(result(made.trials[0]), verdict=LOST, duration_s=1 / 3))
    assert made.delivered == [(stored, Evidence(stderr="x"))] * 3


async def test_who_runs_when_and_what_kicked_whom_is_told(stage: tuple[Stage, SoakRunner]) -> None:
    made, soak = stage
    alive: list[list[int]] = []

    def play(trials: Sequence[Trial], _context: TrialContext, coordinator: Coordinator) -> None:
        coordinator.began(trials[0], 77)
        alive.append(list(made.live_trials._alive))
        coordinator.ended(trials[0])
        alive.append(list(made.live_trials._alive))
        coordinator.kicked(2, StormCount(1.0, 3))

    made.play = play
    await soak(made.trials, 0, made.deliver)
    assert alive == [[made.trials[0].number], []]
    assert made.kicks == [(2, StormCount(1.0, 3))]


async def test_what_evidence_there_is_comes_from_the_store(stage: tuple[Stage, SoakRunner]) -> None:
    made, soak = stage
    first = made.trials[0]
    made.store.record(replace(result(first), verdict=LOST), Evidence())
    await soak(made.trials, 0, made.deliver)
    assert made.contexts[0].evidence == EvidenceQuota(5, {(FindingClass.LOST_INIT, "lost-init/x"): 1})


async def test_all_journals_are_kept_where_the_environment_says_so(
    stage: tuple[Stage, SoakRunner], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, soak = stage
    monkeypatch.setenv(JOURNALS_VARIABLE, "/some/folder")
    await soak(made.trials, 0, made.deliver)
    assert made.contexts[0].journals == "/some/folder"


async def test_hosts_are_told_apart_in_what_is_delivered_and_in_what_is_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording, lanes = Recording(tmp_path), [OLD, NEW]
    made = Stage(recording.store, Plan(recording.asked.builds, recording.asked.strata, 1).runs(0)[0])
    monkeypatch.setattr(runner, "run_process", made.run_process)
    kicks: list[Host | None] = []
    soak = SoakRunner(
        recording.asked, recording.store, lambda cell, count, host: kicks.append(host), made.live_trials,
        host_of=lambda lane: lanes[lane],
    )  # fmt: skip

    def play(trials: Sequence[Trial], _context: TrialContext, coordinator: Coordinator) -> None:
        coordinator.kicked(2, StormCount(1.0, 3))
        coordinator.take([FinishedTrial(result(trials[0]), healthy=HealthyBoot(0.1, 0.5, 1.0))])

    made.play = play
    for lane in (0, 1, 0):
        await soak(made.trials, lane, made.deliver)
    assert [delivered.host for delivered, _ in made.delivered] == kicks == [OLD, NEW, OLD]
    assert [context.learned.boots_s for context in made.contexts] == [(), (), (0.5,)]
    recording.killed()


async def test_where_builds_have_hosts_of_their_own_each_has_its_own_roll(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(tmp_path)
    made = Stage(recording.store, Plan(recording.asked.builds, recording.asked.strata, 1).runs(0)[0])
    monkeypatch.setattr(runner, "run_process", made.run_process)
    rolls = {build.name: LiveTrials() for build in recording.asked.builds}
    made.play = lambda trials, _context, coordinator: coordinator.began(trials[0], 77)
    soak = SoakRunner(recording.asked, recording.store, lambda cell, count, host: None, rolls)
    await soak(made.trials, 0, made.deliver)
    mine = made.trials[0].cell.build.name
    assert {name: list(roll._alive) for name, roll in rolls.items() if roll._alive} == {mine: [made.trials[0].number]}
    recording.killed()


async def test_a_guest_that_a_kvm_may_be_unable_to_run_is_booted_undisturbed_once_and_first(
    stage: tuple[Stage, SoakRunner],
) -> None:
    made, soak = stage
    played: list[Trial] = []

    def play(trials: Sequence[Trial], _context: TrialContext, coordinator: Coordinator) -> None:
        played.extend(trials)
        coordinator.take([FinishedTrial(result(trial)) for trial in trials])

    made.play = play
    trials = [shaped(trial, accel=Accel.KVM, linux=LINUX) for trial in made.trials[:1]]
    await soak(trials, 0, made.deliver)
    await soak(trials, 1, made.deliver)
    assert [trial.cell.stratum.hammers for trial in played] == [(), *[trials[0].cell.stratum.hammers] * 2]
    assert len(made.delivered) == 2  # the control is no trial


async def test_nothing_is_run_where_that_boot_does_not_come_up(stage: tuple[Stage, SoakRunner]) -> None:
    made, soak = stage

    def play(trials: Sequence[Trial], _context: TrialContext, coordinator: Coordinator) -> None:
        coordinator.take([FinishedTrial(replace(result(trials[0]), verdict=LOST))])

    made.play = play
    trials = [shaped(trial, accel=Accel.KVM, linux=LINUX) for trial in made.trials[:1]]
    for _ in range(2):
        with pytest.raises(RigError, match="cannot run such a guest"):
            await soak(trials, 0, made.deliver)
    assert made.delivered == []

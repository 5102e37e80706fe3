"""Many bring-ups in one QEMU: what is healthy, what is lost, and when a process has had its day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.errors import RigError
from qstress.interposer import build as interposer
from qstress.model import Accel, Evidence, FindingClass, Outcome, Trial, TrialResult
from qstress.trial import process_run
from qstress.trial.context import EvidenceQuota, FinishedTrial, TrialContext, evidence_kind
from qstress.trial.instrumented import instrumented_guest
from qstress.trial.process_run import run_process
from tests.live.rig import Telling, planned, pretending

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(120)]

Done = list[tuple[TrialResult, Evidence | None]]


def runs(first: Trial, many: int, *, lost_every: int = 0) -> list[Trial]:
    """A process-run as the plan would make it."""
    places = range(1, many + 1)
    return [replace(first, number=i, inject_lost_ap=lost_every > 0 and i % lost_every == 0) for i in places]


async def carried_out(trials: Sequence[Trial], context: TrialContext | None = None, *, most: int = 10**9) -> Done:
    """Everything that a process-run delivers; stopped once *most* results are there."""
    done: Done = []

    def deliver(finished: Sequence[FinishedTrial]) -> bool:
        done.extend((each.result, each.evidence) for each in finished)
        return len(done) < most

    await run_process(trials, context or TrialContext(), Telling(deliver))
    return done


def quick(accel: Accel, **more: object) -> Trial:
    return planned(accel, hammers=(), firmware="smpscan", restart="reset", process_trials=2, **more)  # type: ignore[arg-type]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of each trial for which a QEMU was started."""
    numbers: list[int] = []

    def counting(first: Trial, *args: object, **more: object) -> object:
        numbers.append(first.number)
        return instrumented_guest(first, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(process_run, "instrumented_guest", counting)
    return numbers


@pytest.mark.parametrize("accel", [Accel.TCG, pytest.param(Accel.KVM, marks=pytest.mark.kvm)])
async def test_smpscan_comes_up_again_and_again(accel: Accel) -> None:
    trials = runs(quick(accel), 2500 if accel is Accel.TCG else 500)
    done = await carried_out(trials)
    assert [result.trial for result, _ in done] == trials
    assert {result.verdict.outcome for result, _ in done} == {Outcome.OK}
    times = [result.started_s for result, _ in done]
    assert times == sorted(times)
    assert all(result.boot_s and result.duration_s > 0 for result, _ in done)


async def test_every_ap_that_is_left_out_is_found_and_no_other() -> None:
    trials = runs(quick(Accel.TCG), 60, lost_every=3)
    done = await carried_out(trials)
    assert [result.trial.number for result, _ in done] == [trial.number for trial in trials]
    for result, evidence in done:
        lost = result.trial.inject_lost_ap
        assert result.verdict.finding_class is (FindingClass.LOST_INIT if lost else None), result.verdict
        assert (evidence is not None) is lost
        assert (result.detection_s is not None) is lost


async def test_the_first_of_a_class_ends_its_process_and_its_repeats_do_not(started: list[int]) -> None:
    await carried_out(runs(quick(Accel.TCG), 12, lost_every=4))
    assert started == [1, 5]  # the lost AP of trial 4 was the first, those of 8 and 12 its repeats


async def test_a_qemu_that_grows_is_replaced(monkeypatch: pytest.MonkeyPatch, started: list[int]) -> None:
    monkeypatch.setattr(process_run, "MOST_GROWTH_BYTES", -1)
    await carried_out(runs(planned(Accel.TCG, 2, hammers=(), restart="reset", process_trials=2), 3))
    assert started == [1, 2, 3]


async def test_evidence_is_made_only_where_somebody_wants_it() -> None:
    trials = runs(quick(Accel.TCG), 6, lost_every=2)
    done = await carried_out(trials, TrialContext(evidence=EvidenceQuota(2)))
    assert [result.trial.number for result, evidence in done if evidence] == [2, 4]
    assert [result.trial.number for result, _ in done if result.verdict.outcome.finding] == [2, 4, 6]
    (kind,) = {evidence_kind(result.verdict) for result, evidence in done if evidence}
    again = await carried_out(trials, TrialContext(evidence=EvidenceQuota(2, {kind: 1})))
    assert [result.trial.number for result, evidence in again if evidence] == [2]


async def test_it_stops_when_nobody_wants_more() -> None:
    done = await carried_out(runs(quick(Accel.TCG), 100_000), most=50)
    assert 50 <= len(done) < 100_000


async def test_what_cannot_be_recorded_ends_the_process_run() -> None:
    def full(finished: Sequence[FinishedTrial]) -> bool:
        raise RigError("disk full", reason="disk-full")

    with pytest.raises(RigError, match="disk full"):
        await run_process(runs(quick(Accel.TCG), 1000), TrialContext(), Telling(full))


async def test_a_qemu_that_does_not_start_costs_one_trial_each(tmp_path: Path) -> None:
    trials = [replace(trial, cell=replace(trial.cell, build=replace(trial.cell.build, binary=str(tmp_path / "none"))))
              for trial in runs(quick(Accel.TCG), 3)]  # fmt: skip
    done = await carried_out(trials)
    assert [(result.trial.number, result.verdict.outcome) for result, _ in done] == [
        (number, Outcome.RIG) for number in (1, 2, 3)
    ]


async def test_seabios_comes_up_again_and_again_under_the_hammer() -> None:
    trials = runs(planned(Accel.TCG, restart="reset", process_trials=2), 12)
    done = await carried_out(trials)
    assert {result.verdict.outcome for result, _ in done} == {Outcome.OK}
    assert all(result.commands[0].returned > 0 for result, _ in done)


@pytest.mark.kvm
@pytest.mark.parametrize("firmware", ["seabios", "smpscan"])
async def test_the_real_race_is_found_again_after_its_reset(firmware: str) -> None:
    build = pretending()
    trials = runs(planned(Accel.KVM, build=build, firmware=firmware, restart="reset", process_trials=2,
                          placement="bsp-alone" if firmware == "seabios" else "none"), 3000)  # fmt: skip
    lost: list[TrialResult] = []

    def deliver(finished: Sequence[FinishedTrial]) -> bool:
        lost.extend(each.result for each in finished if each.result.verdict.finding_class is FindingClass.LOST_INIT)
        return len(lost) < 3

    await run_process(trials, TrialContext(env=interposer.environment(build)), Telling(deliver))
    assert len(lost) == 3
    assert any("INIT was sent between" in reason for result in lost for reason in result.verdict.because)


@pytest.mark.kvm
async def test_the_imitated_fix_loses_none_and_replays_some() -> None:
    build = pretending(fixed=True)
    trials = runs(planned(Accel.KVM, build=build, firmware="smpscan", restart="reset", process_trials=2), 600)
    done = await carried_out(trials, TrialContext(env=interposer.environment(build)))
    classes = Counter(result.verdict.finding_class for result, _ in done)
    assert classes[FindingClass.LOST_INIT] == 0
    assert classes[FindingClass.REPLAYED_INIT] > 0
    assert any(result.duty_cycle for result, _ in done)

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from qstress.plan.schedule import Plan
from tests.samples import build, stratum


def plan(seed: int = 1, strata: int = 3, lost_ap_share: float = 0.0, process_trials: int = 1) -> Plan:
    builds = (build("a", lost_ap_share=lost_ap_share), build("b"))
    return Plan(builds, tuple(stratum(smp, process_trials=process_trials) for smp in range(2, 2 + strata)), seed)


@given(st.integers(0, 10_000), st.integers(0, 2**32))
def test_a_block_holds_each_build_once_in_one_stratum(number: int, seed: int) -> None:
    trials = plan(seed).block(number)
    assert {trial.cell.build.name for trial in trials} == {"a", "b"}
    assert len({trial.cell.stratum for trial in trials}) == 1
    assert [trial.number for trial in trials] == [2 * number, 2 * number + 1]
    assert {trial.block for trial in trials} == {number}


def test_each_round_visits_each_stratum_once() -> None:
    smps = [plan().block(number)[0].cell.stratum.shape.smp for number in range(30)]
    assert all(sorted(smps[i : i + 3]) == [2, 3, 4] for i in range(0, 30, 3))
    assert len({tuple(smps[i : i + 3]) for i in range(0, 30, 3)}) > 1


def test_the_order_within_blocks_is_shuffled_and_balanced() -> None:
    first = Counter(plan().block(number)[0].cell.build.name for number in range(400))
    assert 150 < first["a"] < 250  # a fixed seed: this cannot flicker


def test_any_trial_can_be_found_again_by_its_number() -> None:
    for number in range(20):
        assert plan().block(number // 2)[number % 2].number == number


def test_the_seed_decides_everything() -> None:
    assert plan(1).block(7) == plan(1).block(7)
    assert [trial.seed for trial in plan(1).block(0)] != [trial.seed for trial in plan(2).block(0)]


def test_a_cell_has_its_place() -> None:
    drawn = plan()
    for number in range(12):
        for trial in drawn.block(number):
            assert drawn.cells[trial.cell_index] == trial.cell


def test_faults_are_injected_in_the_share_asked_for_and_only_where_asked() -> None:
    trials = [trial for number in range(1000) for trial in plan(lost_ap_share=0.25).block(number)]
    injected = [trial for trial in trials if trial.inject_lost_ap]
    assert {trial.cell.build.name for trial in injected} == {"a"}
    assert 200 < len(injected) < 300  # a fixed seed: this cannot flicker


def test_a_process_run_is_one_builds_trials_one_after_another() -> None:
    drawn = plan(process_trials=5)
    for number in range(20):
        runs = drawn.runs(number)
        assert [len({trial.cell for trial in run}) for run in runs] == [1, 1]
        assert [trial.number for run in runs for trial in run] == list(range(10 * number, 10 * number + 10))
        assert drawn.block(number)[7] == runs[1][2]
    assert len({trial.seed for trial in drawn.block(3)}) == 10


def test_in_a_process_run_faults_come_as_the_firmware_counts() -> None:
    for run in plan(lost_ap_share=0.25, process_trials=10).runs(0):
        places = [place for place, trial in enumerate(run, start=1) if trial.inject_lost_ap]
        assert places == ([4, 8] if run[0].cell.build.name == "a" else [])

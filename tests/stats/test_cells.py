"""One cell's counters against sums done by hand, trial by trial and by process-runs."""

from __future__ import annotations

import pytest

from qstress.model import LATENCY_BUCKETS_S, CommandCount, FindingClass, Outcome, StormCount, Verdict
from qstress.stats.cells import CellTally, both_storms, class_of
from qstress.stats.counts import Counts
from qstress.stats.tally import Tally
from tests.stats.samples import CRASH, LOST, OK, REPLAYED, RIG, UNKNOWN, build, cells, result

TALLY = Tally(cells(build("stock")))
SHARED = Tally(cells(build("stock"), process_trials=5))


def counted(*results: tuple[Verdict, dict[str, object]]) -> CellTally:
    cell = CellTally(TALLY.cells[0].cell)
    for number, (verdict, more) in enumerate(results):
        cell.add_run(number, [result(TALLY, 0, verdict, number, **more)])
    return cell


def by_runs(*runs: list[Verdict], **more: object) -> CellTally:
    cell = CellTally(SHARED.cells[0].cell)
    for block, run in enumerate(runs):
        cell.add_run(block, [result(SHARED, 0, verdict, 10 * block + i, **more) for i, verdict in enumerate(run)])
    return cell


def test_rig_and_unknown_are_trials_but_not_of_n() -> None:
    cell = counted(
        (OK, {}), (LOST, {}), (REPLAYED, {}), (CRASH, {}), (UNKNOWN, {}), (RIG, {"rig_reason": "disk-full"}), (RIG, {})
    )
    assert (cell.trials, cell.n, cell.hangs) == (7, 4, 2)
    assert cell.outcomes[Outcome.RIG] == 2
    assert cell.rig_reasons == {"disk-full": 1, "rig": 1}
    assert {c: k for c, k in cell.classes.items() if k} == {
        FindingClass.LOST_INIT: 1,
        FindingClass.REPLAYED_INIT: 1,
        FindingClass.CRASH: 1,
    }
    assert cell.found(None) == 3
    assert cell.found([FindingClass.LOST_INIT, FindingClass.BSP_SPIN]) == 1


def test_the_first_finding_is_the_earliest_to_end_not_the_first_to_be_added() -> None:
    late, early = result(TALLY, 0, LOST, 50), result(TALLY, 0, CRASH, 20)
    cell = CellTally(TALLY.cells[0].cell)
    for block, one in enumerate((result(TALLY, 0, OK, 1), late, early)):
        cell.add_run(block, [one])
    assert cell.first_hang_s == 21.0


def test_commands_are_summed_per_command_and_hammers_at_once_share_their_time() -> None:
    registers = CommandCount("info registers -a", 90, 1, 2, 3, hammered_s=0.5, due=100)
    query = CommandCount("query-status", 10, hammered_s=0.4, due=12)
    cell = counted((OK, {"commands": (registers, query)}), (OK, {"commands": (registers,)}), (OK, {}))
    assert (cell.sent, cell.due) == (2 * 96 + 10, 212)
    assert cell.hammered_s == pytest.approx(1.0)
    summed = cell.commands["info registers -a"]
    assert (summed.returned, summed.errors, summed.timeouts, summed.lost) == (180, 2, 4, 6)
    assert (summed.sent, summed.due) == (192, 200)
    assert summed.hammered_s == pytest.approx(1.0)
    assert cell.commands["query-status"].hammered_s == pytest.approx(0.4)


def test_latencies_and_times_are_kept() -> None:
    latencies = tuple(range(len(LATENCY_BUCKETS_S) + 1))
    cell = counted(
        (OK, {"latencies": latencies, "boot_s": 0.5}), (LOST, {"latencies": latencies, "detection_s": 3.0}), (OK, {})
    )
    assert cell.latencies == [2 * count for count in latencies]
    assert (cell.boot.count, cell.boot.quantile(0.5)) == (1, 0.5)
    assert (cell.detection.count, cell.detection.quantile(0.99)) == (1, 3.0)


def test_injected_lost_inits_are_told_from_others() -> None:
    cell = counted((LOST, {"injected": True}), (LOST, {}), (OK, {"injected": True}), (CRASH, {"injected": True}))
    assert (cell.classes[FindingClass.LOST_INIT], cell.lost_init_injected) == (2, 1)


def test_a_finding_without_a_class_is_not_dropped() -> None:
    assert class_of(Verdict(Outcome.HANG, "?")) is FindingClass.HANG_OTHER
    assert class_of(Verdict(Outcome.UNKNOWN, "?", FindingClass.LOST_INIT)) is None
    assert class_of(OK) is None


def test_with_one_trial_a_process_units_are_trials() -> None:
    cell = counted((OK, {}), (LOST, {}), (REPLAYED, {}), (CRASH, {}), (RIG, {}))
    assert cell.counts(None) == Counts(2, 4, 2.0, 4)
    assert cell.counts([FindingClass.CRASH, FindingClass.LOST_INIT]) == Counts(2, 4, 2.0, 4)
    assert not cell.clustered
    assert len(cell.by_run.blocks) == 0


def test_process_runs_are_units_with_the_share_of_their_trials() -> None:
    cell = by_runs([LOST, LOST, OK, OK, OK], [OK] * 5, [CRASH, LOST, RIG, OK, OK], [RIG, UNKNOWN])
    assert (cell.trials, cell.n, cell.runs) == (17, 14, 3)
    assert cell.clustered
    assert cell.counts(None) == pytest.approx(Counts(3, 14, 2 / 5 + 1 / 4, 3))
    assert cell.counts([FindingClass.CRASH]) == pytest.approx(Counts(1, 14, 1 / 4, 3))
    assert list(cell.by_run.trials) == [5, 5, 4]
    assert cell.by_run.found(None) == [2, 0, 2]
    assert list(cell.by_run.hangs) == [2, 0, 1]


def test_shares_of_several_classes_never_exceed_the_process_runs() -> None:
    """Three times 1/5 and three times 4/5 are a little more than 3 in floats."""
    cell = by_runs(*[[CRASH, LOST, LOST, LOST, LOST]] * 3)
    assert cell.counts([FindingClass.CRASH, FindingClass.LOST_INIT]) == Counts(15, 15, 3.0, 3)


def test_more_trials_than_a_process_run_has_are_refused() -> None:
    with pytest.raises(ValueError, match="6 trials of one build; a process-run has 5"):
        by_runs([OK] * 6)
    with pytest.raises(ValueError, match="2 trials of one build; a process-run has 1"):
        CellTally(TALLY.cells[0].cell).add_run(0, [result(TALLY, 0), result(TALLY, 0)])


def test_exposure_is_one_value_a_process_run() -> None:
    """D over all counted trials, commands over those that ended ok; a hung one is hammered until its verdict."""
    cell = CellTally(SHARED.cells[0].cell)
    short, long = (CommandCount("info registers -a", 100),), (CommandCount("info registers -a", 9000),)
    cell.add_run(0, [
        result(SHARED, 0, OK, commands=short, duty_cycle=0.1), result(SHARED, 0, OK),
        result(SHARED, 0, LOST, commands=long, duty_cycle=0.4), result(SHARED, 0, RIG, commands=long, duty_cycle=1.0),
    ])  # fmt: skip
    cell.add_run(1, [result(SHARED, 0, LOST, commands=long)])
    cell.add_run(2, [result(SHARED, 0, OK, commands=short, duty_cycle=0.75)])
    assert (cell.commands_ok.count, cell.commands_ok.mean) == (2, 75.0)
    assert (cell.duty.count, cell.duty_cycle) == (2, 0.5)
    assert CellTally(SHARED.cells[0].cell).duty_cycle is None


def test_a_number_that_one_storm_lacks_is_not_known_of_both() -> None:
    both = both_storms(StormCount(2.0, 10, 7, None, 40), StormCount(1.5, 5, 3, 8, 60))
    assert both == StormCount(3.5, 15, 10, None, 100)

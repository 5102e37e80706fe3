"""One cell's counters against sums done by hand."""

from __future__ import annotations

import pytest

from qstress.model import LATENCY_BUCKETS_S, CommandCount, FindingClass, Outcome, Verdict
from qstress.stats.cells import CellTally, class_of, counts_as
from qstress.stats.tally import Tally
from tests.stats.samples import CRASH, LOST, OK, REPLAYED, RIG, UNKNOWN, build, cells, result

TALLY = Tally(cells(build("stock")))


def counted(*results: tuple[Verdict, dict[str, object]]) -> CellTally:
    cell = CellTally(TALLY.cells[0].cell)
    for number, (verdict, more) in enumerate(results):
        cell.add(result(TALLY, 0, verdict, number, **more))
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
    for one in (result(TALLY, 0, OK, 1), late, early):
        cell.add(one)
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
    assert counts_as(CRASH, None)
    assert not counts_as(CRASH, [FindingClass.LOST_INIT])
    assert not counts_as(OK, None)

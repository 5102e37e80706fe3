"""Verdicts against truths, and what the table makes of them."""

from __future__ import annotations

import pytest

from qstress.model import FindingClass, Outcome, Verdict
from tools.accuracy.table import HEALTHY, LOST_INIT, Grade, Row, Truth, left, line, said, table, truth

OK = Verdict(Outcome.OK, "Found 4 cpu(s)")
LOST = Verdict(Outcome.HANG, "lost INIT: CPU#3 never left the reset vector", FindingClass.LOST_INIT)
SPIN = Verdict(Outcome.HANG, "CPU#0 waits", FindingClass.BSP_SPIN, "bsp-spin/pci")
UNKNOWN = Verdict(Outcome.UNKNOWN, "the guest is not running: paused")
RIG = Verdict(Outcome.RIG, "the host starves QEMU")


@pytest.mark.parametrize(
    ("true", "verdict", "grade"),
    [
        (HEALTHY, OK, Grade.RIGHT),
        (HEALTHY, LOST, Grade.WRONG),
        (HEALTHY, UNKNOWN, Grade.UNKNOWN),
        (HEALTHY, RIG, Grade.UNKNOWN),
        (LOST_INIT, LOST, Grade.RIGHT),
        (LOST_INIT, OK, Grade.WRONG),
        (LOST_INIT, SPIN, Grade.WRONG),
        (LOST_INIT, UNKNOWN, Grade.UNKNOWN),
        (truth(Outcome.UNKNOWN, says="paused"), UNKNOWN, Grade.RIGHT),
        (truth(Outcome.UNKNOWN, says="paused"), Verdict(Outcome.UNKNOWN, "given up"), Grade.UNKNOWN),
        (truth(Outcome.UNKNOWN), SPIN, Grade.WRONG),
        (truth(Outcome.HANG, FindingClass.BSP_SPIN, "bsp-spin/pci"), SPIN, Grade.RIGHT),
        (Truth(frozenset({Outcome.OK, Outcome.RIG})), RIG, Grade.RIGHT),
        (
            Truth(frozenset({Outcome.HANG}), frozenset({FindingClass.LOST_INIT, FindingClass.BSP_SPIN})),
            SPIN,
            Grade.RIGHT,
        ),
    ],
)
def test_a_verdict_is_worth_what_the_truth_says(true: Truth, verdict: Verdict, grade: Grade) -> None:
    assert true.grade(verdict) is grade


def test_a_row_keeps_latencies_of_what_was_rightly_found_only() -> None:
    row = Row("lost")
    for verdict, detection_s in ((LOST, 0.1), (LOST, 0.3), (SPIN, 0.2), (UNKNOWN, None)):
        row.add(LOST_INIT, verdict, detection_s)
    assert (row.n, list(row.detections_s), row.found) == (4, [0.1, 0.3], {FindingClass.LOST_INIT: 2})
    first, *more = line(row).splitlines()
    assert first.split() == ["lost", "4", "2", "1", "1", "0.100", "0.300"]
    assert [each.strip() for each in more] == [
        "1 x wrong: bsp-spin, CPU#N waits", "1 x unknown: unknown, the guest is not running: paused",
    ]  # fmt: skip


def test_two_verdicts_that_differ_in_numbers_are_the_same() -> None:
    assert said(LOST) == "lost-init, lost INIT: CPU#N never left the reset vector"


def test_a_row_with_faults_of_several_classes_says_how_many_of_each() -> None:
    either = Truth(frozenset({Outcome.HANG}), frozenset({FindingClass.LOST_INIT, FindingClass.BSP_SPIN}))
    row = Row("raced")
    for verdict in (LOST, LOST, SPIN):
        row.add(either, verdict, 0.1)
    assert [each.strip() for each in line(row).splitlines()[1:]] == ["2 x lost-init", "1 x bsp-spin"]


def test_a_row_with_and_without_faults_says_how_many_there_were() -> None:
    row = Row("raced or not")
    row.add(LOST_INIT, LOST, 0.1)
    row.add(HEALTHY, OK, None)
    assert [each.strip() for each in line(row).splitlines()[1:]] == ["1 x lost-init"]


def test_false_alarms_are_counted_where_there_is_no_fault() -> None:
    """A fault with the wrong name is wrong, and no false alarm; an unknown says nothing either way."""
    healthy, lost, other = Row("healthy", "smpscan"), Row("lost", "smpscan"), Row("other", "faults only")
    for verdict in (OK, OK, OK, LOST, UNKNOWN):
        healthy.add(HEALTHY, verdict, None)
    lost.add(LOST_INIT, SPIN, None)
    other.add(LOST_INIT, LOST, 0.1)
    *_, rate, total = table([healthy, Row("never run"), lost, other]).splitlines()
    assert rate == "false alarms, smpscan: 1/4 (0 under 8x load), upper 95 % bound 0.75"
    assert total == "7 trials, 1 faults found, 2 wrong verdicts"


def test_a_paused_guest_that_is_called_up_is_wrong_and_no_alarm() -> None:
    row = Row("paused", "SeaBIOS")
    row.add(truth(Outcome.UNKNOWN, says="paused"), OK, None)
    assert (row.grades[Grade.WRONG], row.faultless, row.alarms) == (1, 1, 0)


def test_a_fault_that_is_taken_for_healthy_is_no_false_alarm() -> None:
    row = Row("lost", "smpscan")
    row.add(LOST_INIT, OK, None)
    assert (row.grades[Grade.WRONG], row.faultless, row.alarms) == (1, 0, 0)


def test_trials_under_load_are_told_apart_in_a_false_alarm_rate() -> None:
    idle, loaded = Row("healthy", "smpscan"), Row("healthy, 8x load", "smpscan", loaded=True)
    for row in (idle, loaded, loaded):
        row.add(HEALTHY, OK, None)
    *_, rate, _ = table([idle, loaded]).splitlines()
    assert rate.startswith("false alarms, smpscan: 0/3 (2 under 8x load), ")


def test_what_is_left_is_told_at_the_pace_so_far() -> None:
    begun = Row("begun", took_s=60.0)
    for _ in range(10):
        begun.add(HEALTHY, OK, None)
    one, other, total = left([(begun, 30), (Row("never"), 5)])
    assert one.split() == ["begun", "10", "of", "30", "6.000", "s", "each,", "2.0", "min", "left"]
    assert other.split() == ["never", "0", "of", "5", "never", "run"]
    assert total == "left: 2 min, and 1 that have never run"

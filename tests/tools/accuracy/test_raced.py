"""What the window log's lines make the truth of a bring-up."""

from __future__ import annotations

from qstress.model import FindingClass, Outcome, Verdict
from tools.accuracy.raced import truth_by
from tools.accuracy.table import HEALTHY, Grade

LOST = "AP 1 was read at 0.1 s and written back at 0.2 s with flags 0xd; INIT was sent between 0.1 s and 0.2 s"
UNSEEN = "AP 1 was read 3 times without having had an INIT, and written back with flags 0xd; no other AP shows when"
REPLAYED = "AP 2 was read at 0.1 s with latched_init=1, then RUNNABLE, then written back at 0.2 s at f000:fff0"


def test_a_log_that_shows_no_race_allows_none() -> None:
    assert truth_by([]) is HEALTHY


def test_each_race_is_told_by_its_line() -> None:
    assert truth_by([LOST]).classes == truth_by([UNSEEN]).classes == {FindingClass.LOST_INIT}
    assert truth_by([REPLAYED]).classes == {FindingClass.REPLAYED_INIT}
    assert truth_by([LOST, REPLAYED]).classes == {FindingClass.LOST_INIT, FindingClass.REPLAYED_INIT}


def test_a_replay_may_end_in_a_restart_or_a_hang_and_not_in_ok() -> None:
    true = truth_by([REPLAYED])
    for outcome in (Outcome.RESTART, Outcome.HANG):
        assert true.grade(Verdict(outcome, "", FindingClass.REPLAYED_INIT)) is Grade.RIGHT
    assert true.grade(Verdict(Outcome.OK, "")) is Grade.WRONG

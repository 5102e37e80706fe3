"""The gate's three answers, at their limits, what may end a run, and the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from qstress.config.settings import LAST_GOOD, Compare, Gate
from qstress.model import FindingClass, Verdict
from qstress.report import gate as module
from qstress.report.gate import GateResult, PastRun, answered, control_of, exit_code, past_run
from qstress.report.summary import RunFacts, summary
from qstress.stats.compare import Comparison, compare
from qstress.stats.counts import Counts
from qstress.stats.exact import Table, fisher_greater
from qstress.stats.sequence import sequence
from qstress.stats.tally import Tally
from tests.stats.samples import (
    CRASH,
    LOST,
    NEW,
    OK,
    OLD,
    REPLAYED,
    RIG,
    build,
    cells,
    feed,
    feed_runs,
    result,
    verdicts,
)

PAIR = ("stock", "fixed")
LOST_ONLY = (FindingClass.LOST_INIT,)


def tally_of(a: list[Verdict], b: list[Verdict], classes: tuple[FindingClass, ...] | None = None) -> Tally:
    tally = Tally(cells(build("stock"), build("fixed")), [PAIR], classes)
    feed(tally, a, b)
    return tally


def gate(
    tally: Tally, comparisons: Sequence[Comparison] = (), *, build: str, max_hang_rate: float | None = None,
    classes: tuple[FindingClass, ...] | None = None, better_than: str | None = None, baseline: str | None = None,
    min_trials: int | None = None, **more: Any,
) -> GateResult:  # fmt: skip
    ruled = Gate(build, max_hang_rate, classes, better_than, baseline, min_trials)
    return module.gate(tally, comparisons, ruled, **more)


def compared(tally: Tally, *, complete: bool = False) -> list[Comparison]:
    return [compare(tally, *PAIR, alpha=1e-3, complete=complete)]


@pytest.mark.parametrize(
    ("k", "n", "passed", "words"),
    [
        (0, 299, True, "hang or restart 0/299 (<1.00 %) in its worst cell"),
        (0, 298, None, "at most 1.1 % with 95 % confidence; limit 1 %: inconclusive"),
        (4, 40, False, "at least 3.4 % with 95 % confidence; limit 1 %: FAILED"),
        (0, 0, None, "hang or restart 0/0 in its worst cell"),
    ],
)
def test_the_absolute_limit(k: int, n: int, passed: bool | None, words: str) -> None:
    found = gate(tally_of([OK] * n, verdicts(k, n)), build="fixed", max_hang_rate=0.01)
    assert found.passed is passed
    (line,) = found.lines
    assert line.startswith("gate: fixed: ")
    assert words in line


@pytest.mark.parametrize("limit", [0.036, 0.1, 0.21])
def test_a_limit_between_the_cells_limits_is_neither_passed_nor_failed(limit: float) -> None:
    assert gate(tally_of([OK] * 40, verdicts(4, 40)), build="fixed", max_hang_rate=limit).passed is None


def test_hangs_and_restarts_count_crashes_only_when_asked_for() -> None:
    crashes, restarts = tally_of([OK] * 40, [CRASH] * 40), tally_of([OK] * 40, [REPLAYED] * 40)
    assert gate(crashes, build="fixed", max_hang_rate=0.1).passed is True
    assert gate(crashes, build="fixed", max_hang_rate=0.1, classes=(FindingClass.CRASH,)).passed is False
    assert gate(restarts, build="fixed", max_hang_rate=0.1).passed is False
    assert gate(restarts, build="fixed", max_hang_rate=0.1, classes=LOST_ONLY).passed is True


def test_the_worst_cell_rules_not_the_pool() -> None:
    tally = Tally(cells(build("fixed"), build("other"), smp=(2, 4, 16)))
    for first, k in ((0, 0), (2, 10), (4, 0)):
        feed(tally, verdicts(k, 400), [OK] * 400, first_cell=first)
    failed = gate(tally, build="fixed", max_hang_rate=0.01)
    assert failed.passed is False
    assert "10/400" in failed.lines[0]
    assert "smp 4 " in failed.lines[0]
    assert gate(tally, build="other", max_hang_rate=0.01).passed is True


def test_failing_is_at_a_level_that_all_cells_share() -> None:
    """Any cell above the limit fails the gate, so each has its part of alpha; all have to be below it to pass."""
    one, many = Tally(cells(build("fixed"))), Tally(cells(build("fixed"), build("other"), smp=range(1, 21)))
    for verdict in verdicts(9, 400):
        one.add_block([result(one, 0, verdict)])
    feed(many, verdicts(9, 400), [OK] * 400)
    limit = 0.0115
    assert gate(one, build="fixed", max_hang_rate=limit).passed is False
    assert gate(many, build="fixed", max_hang_rate=limit).passed is None


def test_one_open_cell_leaves_the_gate_open() -> None:
    tally = Tally(cells(build("fixed"), build("other"), smp=(2, 4)))
    feed(tally, [OK] * 400, [OK] * 400, first_cell=0)
    feed(tally, [OK] * 20, [OK] * 20, first_cell=2)
    found = gate(tally, build="fixed", max_hang_rate=0.01)
    assert found.passed is None
    assert "0/20 (<14.0 %)" in found.lines[0]


@pytest.mark.parametrize(
    ("a", "b", "passed", "decision"),
    [
        (20, 0, True, "candidate-better: passed"),
        (0, 20, False, "candidate-worse; it brings lost-init, 20/40 against 0/40: FAILED"),
        (1, 0, None, "inconclusive"),
    ],
)
def test_better_than(a: int, b: int, passed: bool | None, decision: str) -> None:
    tally = tally_of(verdicts(a, 40), verdicts(b, 40), LOST_ONLY)
    found = gate(tally, compared(tally), build="fixed", better_than="stock")
    assert found.passed is passed
    assert found.lines[0].startswith("gate: fixed: better than stock in lost-init: ")
    assert found.lines[0].endswith(decision)


def test_better_than_what_was_not_compared_stays_open() -> None:
    tally = tally_of(verdicts(20, 40), [OK] * 40)
    assert gate(tally, compared(tally), build="stock", better_than="fixed").passed is None


def test_both_rules_have_to_pass_and_one_failure_is_enough() -> None:
    good = tally_of(verdicts(20, 40), [OK] * 40)
    found = gate(good, compared(good), build="fixed", max_hang_rate=0.1, better_than="stock")
    assert (found.passed, len(found.lines)) == (True, 2)
    assert gate(good, compared(good), build="fixed", max_hang_rate=0.01, better_than="stock").passed is None
    bad = tally_of([OK] * 4, verdicts(3, 4))
    assert gate(bad, compared(bad), build="fixed", max_hang_rate=0.01, better_than="stock").passed is False


def test_a_gate_without_rules_is_a_defect() -> None:
    with pytest.raises(ValueError, match="needs max_hang_rate, better_than or baseline"):
        gate(tally_of([], []), build="fixed", min_trials=5)


def test_a_limit_that_may_stop_a_run_is_a_sequence() -> None:
    """Where 299 clean trials do once, 984 have to when the run may have been stopped by what it saw."""
    for n, every_look, passed in [(299, False, True), (299, True, None), (983, True, None), (984, True, True)]:
        found = gate(tally_of([OK] * n, [OK] * n), build="fixed", max_hang_rate=0.01, every_look=every_look)
        assert found.passed is passed
    assert "at most 1.00 % with 95 % confidence at every look; limit 1 %: passed" in found.lines[0]


def test_trials_that_share_a_process_pass_by_their_process_runs() -> None:
    tally = Tally(cells(build("stock"), build("fixed"), process_trials=4), [PAIR])
    feed_runs(tally, [[OK] * 4] * 300, [[OK] * 4] * 300)
    found = gate(tally, build="fixed", max_hang_rate=0.01)
    assert found.passed is None
    assert "0/1200 (<1.00 %) in 300 process-runs in its worst cell" in found.lines[0]
    assert gate(tally, build="fixed", max_hang_rate=0.04).passed is True


def test_the_control_has_to_show_what_the_gate_looks_for() -> None:
    quiet, loud = tally_of([OK] * 984, [OK] * 984), tally_of(verdicts(100, 984), [OK] * 984)

    def judged(tally: Tally, control: str | None) -> GateResult:
        return gate(tally, build="fixed", max_hang_rate=0.01, control=control, every_look=True)

    assert judged(quiet, "stock").passed is None
    assert judged(quiet, None).passed is True
    assert judged(loud, "stock").passed is True
    assert [rule.name for rule in judged(loud, "stock").rules] == ["max_hang_rate", "max_hang_rate, control"]
    shown = judged(quiet, "stock").lines[1]
    assert "these trials could have shown it: stock 0/984 (<0.31 %) in its worst cell" in shown
    assert shown.endswith("at least 0.0 %, has to be above 1 %: inconclusive")


def test_too_few_trials_pass_nothing_and_still_fail() -> None:
    tally = Tally(cells(build("fixed"), build("other"), smp=(2, 4)))
    feed(tally, [OK] * 400, [OK] * 400, first_cell=0)
    feed(tally, [OK] * 300, [LOST] * 300, first_cell=2)
    found = gate(tally, build="fixed", max_hang_rate=0.1, min_trials=301)
    assert found.passed is None
    assert found.lines[1] == "gate: fixed: at least 301 valid trials in each cell, fewest 300: inconclusive"
    assert gate(tally, build="fixed", max_hang_rate=0.1, min_trials=300).passed is True
    assert gate(tally, build="other", max_hang_rate=0.1, min_trials=301).passed is False


@pytest.mark.parametrize(
    ("a", "b", "complete", "passed"),
    [(20, 0, False, True), (2, 2, True, True), (2, 2, False, None), (0, 20, False, False)],
)
def test_no_worse_than_the_baseline(a: int, b: int, complete: bool, passed: bool | None) -> None:
    tally = tally_of(verdicts(a, 40), verdicts(b, 40))
    found = gate(tally, compared(tally, complete=complete), build="fixed", baseline="stock")
    assert found.passed is passed
    assert found.lines[0].startswith("gate: fixed: no worse than stock in any finding: ")
    assert "a rate up to " in found.lines[0]
    assert gate(tally, (), build="fixed", baseline="stock").passed is None


def test_a_class_shown_to_be_worse_fails_what_is_better_as_a_whole() -> None:
    tally = tally_of([LOST] * 240, verdicts(20, 40, CRASH) + [OK] * 200)
    for found in (
        gate(tally, compared(tally), build="fixed", better_than="stock"),
        gate(tally, compared(tally), build="fixed", baseline="stock"),
    ):
        assert found.passed is False
        assert "candidate-better; it brings crash, 20/240 against 0/240" in found.lines[0]


def test_a_class_that_is_not_gated_is_named_all_the_same() -> None:
    tally = tally_of([LOST] * 240, verdicts(20, 40, CRASH) + [OK] * 200, LOST_ONLY)
    found = gate(tally, compared(tally), build="fixed", better_than="stock", classes=LOST_ONLY)
    assert found.passed is True
    assert "candidate-better; it brings crash, 20/240 against 0/240: passed" in found.lines[0]


def good(*counts: tuple[int, int]) -> PastRun:
    return PastRun("run-1", tuple(Counts(k, n, float(k), n) for k, n in counts))


@pytest.mark.parametrize(
    ("k", "past", "passed"), [(3, (3, 400), True), (8, (3, 400), True), (40, (3, 400), False), (0, (390, 400), True)]
)
def test_against_the_last_good_run(k: int, past: tuple[int, int], passed: bool) -> None:
    tally = tally_of([OK] * 400, verdicts(k, 400))
    found = gate(tally, build="fixed", baseline=LAST_GOOD, past=good(past))
    assert found.passed is passed
    assert found.lines[0].startswith("gate: fixed: no worse than run-1 (last-good): hang or restart ")


def test_worse_than_last_good_is_where_the_limits_no_longer_meet() -> None:
    """Half of alpha for each limit, and less with more cells: 15 against 3 of 400 is one night in 200 of Fisher's."""
    assert fisher_greater(Table(15, 400, 3, 400)) < 0.005
    for k, passed in [(15, True), (16, False)]:
        tally = tally_of([OK] * 400, verdicts(k, 400))
        assert gate(tally, build="fixed", baseline=LAST_GOOD, past=good((3, 400))).passed is passed
    for k, passed in [(17, True), (18, False)]:
        two = Tally(cells(build("fixed"), build("other"), smp=(2, 4)))
        feed(two, verdicts(k, 400), [OK] * 400)
        feed(two, [OK] * 400, [OK] * 400, first_cell=2)
        assert gate(two, build="fixed", baseline=LAST_GOOD, past=good((3, 400), (3, 400))).passed is passed
    assert gate(tally, build="fixed", baseline=LAST_GOOD, past=good((3, 400)), every_look=True).passed is True


def test_each_cell_has_its_own_history() -> None:
    tally = Tally(cells(build("fixed"), build("other"), smp=(2, 4)))
    feed(tally, verdicts(40, 400), [OK] * 400, first_cell=0)
    feed(tally, [OK] * 400, [OK] * 400, first_cell=2)
    assert gate(tally, build="fixed", baseline=LAST_GOOD, past=good((40, 400), (0, 400))).passed is True
    found = gate(tally, build="fixed", baseline=LAST_GOOD, past=good((0, 400), (40, 400)))
    assert found.passed is False
    assert "40/400 (7.2-13.4 %) against 0/400 then, in the cell that differs most (smp 2 " in found.lines[0]
    with pytest.raises(ValueError, match="run-1 has 1 cells of this build, not 2"):
        gate(tally, build="fixed", baseline=LAST_GOOD, past=good((0, 400)))


def test_the_first_run_begins_the_history() -> None:
    found = gate(tally_of([OK], [LOST]), build="fixed", baseline=LAST_GOOD, min_trials=1)
    assert (found.passed, found.rules[0].why) == (
        True, "last-good: there is no earlier run that passed, this one begins the history",
    )  # fmt: skip
    assert gate(tally_of([], []), build="fixed", baseline=LAST_GOOD, past=good((0, 400))).passed is None


def recorded(tally: Tally, code: int = 0) -> dict[str, Any]:
    facts = RunFacts("run-1", "runs/run-1", "n", "then", "now", "trials", code, {}, 1)
    return summary(facts, tally)


def test_a_summary_gives_back_what_it_counted() -> None:
    tally = Tally(cells(build("stock"), build("fixed"), smp=(2, 4), process_trials=4), [PAIR])
    feed_runs(tally, [[OK] * 4] * 3, [[LOST, OK, RIG, OK], [OK] * 4, [CRASH, LOST, LOST, REPLAYED]])
    for classes in (None, LOST_ONLY, (FindingClass.CRASH, FindingClass.BSP_SPIN)):
        past = past_run(recorded(tally), "fixed", classes)
        assert past == PastRun("run-1", tuple(cell.counts(classes) for cell in tally.build("fixed")))
    assert past_run(recorded(tally, 1), "fixed", None) is None
    assert past_run(recorded(tally, 5), "fixed", None) is None
    old = recorded(tally)
    for cell in old["cells"]:
        del cell["process_runs"]
    assert past_run(old, "fixed", None) is None


COMPARE = Compare("stock", ("fixed",), 1e-3, 0.95)


def test_who_the_control_is() -> None:
    limit = Gate("fixed", 0.01, None, None)
    assert control_of(COMPARE, limit, every_look=True) == "stock"
    assert control_of(COMPARE, limit, every_look=False) is None
    assert control_of(None, limit, every_look=True) is None
    assert control_of(COMPARE, Gate("fixed", None, None, "stock"), every_look=True) is None
    assert control_of(COMPARE, Gate("stock", 0.01, None, None), every_look=True) is None
    assert control_of(COMPARE, None, every_look=True) is None


def ends_at(a: list[Verdict], b: list[Verdict], compared: Compare | None, ruled: Gate | None) -> int | None:
    """After how many blocks a run with ``stop: {decided: true}`` ends; None if it does not."""
    tally = tally_of([], [], ruled.classes if ruled else None)
    for block, (of_a, of_b) in enumerate(zip(a, b, strict=True)):
        feed(tally, [of_a], [of_b])
        if answered(tally, compared, ruled):
            return block + 1
    return None


def test_a_comparison_ends_when_it_names_the_better_build() -> None:
    tally = tally_of([], [])
    blocks = 0
    while not compared(tally)[0].overall.decision.decided:
        feed(tally, [LOST], [OK])
        blocks += 1
    for ruled in (None, Gate("fixed", None, None, "stock"), Gate("fixed", None, None, None, "stock")):
        assert ends_at([LOST] * 40, [OK] * 40, COMPARE, ruled) == blocks
    assert ends_at(verdicts(5, 40), verdicts(5, 40), COMPARE, None) is None
    assert ends_at([LOST] * 40, [OK] * 40, None, Gate("fixed", None, None, None, LAST_GOOD)) is None


def test_a_gate_with_a_limit_ends_when_the_candidate_is_below_and_the_baseline_above() -> None:
    limit = Gate("fixed", 0.01, None, None)
    hangs = verdicts(100, 1000)
    assert ends_at(hangs, [OK] * 1000, COMPARE, limit) == 984
    assert ends_at([OK] * 1000, [OK] * 1000, COMPARE, limit) is None
    assert ends_at([OK] * 1000, [OK] * 1000, None, limit) == 984
    at = ends_at([OK] * 984 + [LOST] * 100, [OK] * 1084, COMPARE, limit)
    assert at is not None
    k = at - 984
    assert sequence(k, at, 0.05).lower >= 0.01 > sequence(k - 1, at - 1, 0.05).lower


def test_a_gate_with_a_limit_ends_when_the_candidate_is_above_it() -> None:
    assert ends_at([OK] * 40, [LOST] * 40, COMPARE, Gate("fixed", 0.1, None, "stock")) == 2


def test_both_kinds_of_rule_need_both_answers_and_their_trials() -> None:
    slow = verdicts(8, 1000)  # the baseline is above the limit long after E decides, or the other way round
    quick = Compare("stock", ("fixed",), 0.5, 0.95)
    sure = Compare("stock", ("fixed",), 1e-30, 0.95)
    limit, both = Gate("fixed", 0.1, None, None), Gate("fixed", 0.1, None, "stock")
    assert ends_at(slow, [OK] * 1000, quick, both) is None
    hangs = verdicts(400, 1000)
    below = ends_at(hangs, [OK] * 1000, quick, limit)
    assert below is not None
    later = ends_at(hangs, [OK] * 1000, sure, both)
    assert later is not None
    assert later > below
    assert ends_at(hangs, [OK] * 1000, quick, Gate("fixed", 0.1, None, None, None, 500)) == 500


def test_what_ends_a_run_is_what_the_gate_then_says() -> None:
    limit = Gate("fixed", 0.05, LOST_ONLY, None)
    for a, b in [(verdicts(200, 400), [OK] * 400), ([OK] * 400, verdicts(100, 400))]:
        tally = tally_of([], [], LOST_ONLY)
        for of_a, of_b in zip(a, b, strict=True):
            feed(tally, [of_a], [of_b])
            said = gate(
                tally, build="fixed", max_hang_rate=0.05, classes=LOST_ONLY, control="stock", every_look=True
            ).passed
            assert answered(tally, COMPARE, limit) == (said is not None)
        assert said is not None


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 1), (None, 5)])
def test_a_gate_alone_makes_the_exit_code(passed: bool | None, code: int) -> None:
    tally = tally_of([LOST, LOST], [OK, CRASH])
    assert exit_code(tally, compared(tally), GateResult(passed, ())) == code


@pytest.mark.parametrize(("a", "b", "code"), [(20, 0, 0), (0, 20, 0), (1, 0, 5)])
def test_a_comparison_without_a_gate_passes_when_it_decides(a: int, b: int, code: int) -> None:
    tally = tally_of(verdicts(a, 40), verdicts(b, 40))
    assert exit_code(tally, compared(tally), None) == code


def test_every_candidate_has_to_be_decided() -> None:
    decided, open_ = tally_of(verdicts(20, 40), [OK] * 40), tally_of([OK], [OK])
    assert exit_code(decided, compared(decided) + compared(open_), None) == 5


def test_one_build_fails_on_any_finding_counted_or_not() -> None:
    tally = Tally(cells(build("stock")))
    tally.add_block([result(tally, 0, RIG)])
    assert exit_code(tally, (), None) == 5
    tally.add_block([result(tally, 0, OK)])
    assert exit_code(tally, (), None) == 0
    tally.add_finding(CRASH, 0, None, counted=False)
    assert exit_code(tally, (), None) == 1


def test_a_cell_of_the_gate_is_all_hosts_together() -> None:
    apart = Tally(cells(build("stock"), build("fixed")), [PAIR])
    for host in (OLD, NEW):
        feed(apart, [OK] * 150, [OK] * 150, host=host)
    found = gate(apart, build="fixed", max_hang_rate=0.01, min_trials=300)
    assert found == gate(tally_of([OK] * 300, [OK] * 300), build="fixed", max_hang_rate=0.01, min_trials=300)
    assert found.passed
    assert answered(apart, None, Gate("fixed", 0.05, None, None, min_trials=300)) is True


def test_a_past_run_is_compared_whatever_its_hosts_were() -> None:
    apart = Tally(cells(build("stock"), build("fixed"), smp=(2, 4), process_trials=4), [PAIR])
    for host in (OLD, NEW):
        feed_runs(apart, [[OK] * 4] * 3, [[LOST, OK, RIG, OK], [OK] * 4, [CRASH, LOST, LOST, REPLAYED]], host=host)
    past = past_run(recorded(apart), "fixed", None)
    assert past is not None
    assert past.cells == (Counts(8, 22, past.cells[0].shares, 6), Counts(0, 0, 0.0, 0))
    assert past.cells[0].shares == pytest.approx(2 * (1 / 3 + 3 / 4))
    now = Tally(cells(build("stock"), build("fixed"), smp=(2, 4), process_trials=4), [PAIR])
    feed_runs(now, [[OK] * 4] * 3, [[OK] * 4] * 3, host=NEW)
    assert gate(now, build="fixed", baseline=LAST_GOOD, past=past).passed is None  # smp 4 has not run

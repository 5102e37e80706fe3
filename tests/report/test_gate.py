"""The gate's three answers, at their limits, and the exit code."""

from __future__ import annotations

import pytest

from qstress.model import FindingClass, Verdict
from qstress.report.gate import GateResult, exit_code, gate
from qstress.stats.compare import Comparison, compare
from qstress.stats.tally import Tally
from tests.stats.samples import CRASH, LOST, OK, REPLAYED, RIG, build, cells, feed, result, verdicts

PAIR = ("stock", "fixed")
LOST_ONLY = (FindingClass.LOST_INIT,)


def tally_of(a: list[Verdict], b: list[Verdict], classes: tuple[FindingClass, ...] | None = None) -> Tally:
    tally = Tally(cells(build("stock"), build("fixed")), [PAIR], classes)
    feed(tally, a, b)
    return tally


def compared(tally: Tally) -> list[Comparison]:
    return [compare(tally, *PAIR, alpha=1e-3)]


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
    failed = gate(tally, build="fixed", max_hang_rate=0.0125)
    assert failed.passed is False
    assert "10/400" in failed.lines[0]
    assert "smp 4 " in failed.lines[0]
    assert gate(tally, build="other", max_hang_rate=0.0125).passed is True


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
        (0, 20, False, "candidate-worse: FAILED"),
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
    with pytest.raises(ValueError, match="needs max_hang_rate or better_than"):
        gate(tally_of([], []), build="fixed")


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

"""Comparisons: decisions at their limits, strata, classes, and the figures beside them."""

from __future__ import annotations

import math

import pytest

from qstress.model import FindingClass
from qstress.stats.compare import Comparison, Decision, compare, decided
from qstress.stats.evalue import fewest_trials
from qstress.stats.exact import Table, fisher_greater
from qstress.stats.intervals import upper_limit
from qstress.stats.strata import stratified_greater
from qstress.stats.tally import Tally
from tests.stats.samples import CRASH, LOST, OK, REPLAYED, build, cells, feed, verdicts

PAIR = ("stock", "fixed")


def new(*, smp: tuple[int, ...] = (4,), classes: tuple[FindingClass, ...] | None = None) -> Tally:
    return Tally(cells(build("stock"), build("fixed"), smp=smp), [PAIR], classes)


def compared(tally: Tally, alpha: float = 1e-3, *, complete: bool = False) -> Comparison:
    return compare(tally, *PAIR, alpha=alpha, complete=complete)


def test_a_cure_is_better_and_a_regression_worse() -> None:
    cure, regression = new(), new()
    feed(cure, verdicts(20, 40), [OK] * 40)
    feed(regression, [OK] * 40, verdicts(20, 40))
    assert compared(cure).overall.decision is Decision.BETTER
    assert compared(regression).overall.decision is Decision.WORSE
    assert compared(cure).overall.evalue_log10 == compared(regression).overall.worse_log10 > 3
    assert decided(cure, *PAIR, 1e-3)
    assert decided(regression, *PAIR, 1e-3)


def test_better_needs_one_over_alpha_and_worse_twice_that() -> None:
    cure, regression = new(), new()
    feed(cure, verdicts(20, 40), [OK] * 40)
    feed(regression, [OK] * 40, verdicts(20, 40))
    alpha = 10.0 ** -cure.evidence_log10(*PAIR)[0]
    near, far = 1.000001, 1 / 1.000001
    assert decided(cure, *PAIR, alpha * near)
    assert not decided(cure, *PAIR, alpha * far)
    assert decided(regression, *PAIR, 2 * alpha * near)
    assert not decided(regression, *PAIR, 2 * alpha * far)


def test_no_difference_is_said_only_of_a_complete_run_that_could_have_decided() -> None:
    alpha = 1e-3
    enough = fewest_trials(alpha)
    for n, complete, decision in [
        (enough, True, Decision.NO_DIFFERENCE),
        (enough, False, Decision.INCONCLUSIVE),
        (enough - 1, True, Decision.INCONCLUSIVE),
    ]:
        tally = new()
        feed(tally, [OK] * n, [OK] * n)
        assert compared(tally, alpha, complete=complete).overall.decision is decision
    assert not decided(tally, *PAIR, alpha)


def test_nothing_at_all_is_inconclusive() -> None:
    overall = compared(new(), complete=True).overall
    assert (overall.decision, overall.fisher_p, overall.evalue_log10) == (Decision.INCONCLUSIVE, 1.0, 0.0)
    assert overall.candidate_rate_upper == 1.0


def test_figures_of_one_stratum() -> None:
    tally = new()
    feed(tally, verdicts(5, 40), verdicts(1, 40))
    overall = compare(tally, *PAIR, alpha=1e-3, confidence=0.9).overall
    assert overall.table == Table(5, 40, 1, 40)
    assert overall.fisher_p == fisher_greater(Table(5, 40, 1, 40))
    assert overall.candidate_rate_upper == pytest.approx(upper_limit(1, 40, 0.1))


def test_strata_are_tested_together_not_pooled() -> None:
    tally = new(smp=(2, 4, 16))
    for first, k in zip((0, 2, 4), (5, 9, 2), strict=True):
        feed(tally, verdicts(k, 40), [OK] * 40, first_cell=first)
    overall = compared(tally).overall
    assert overall.table == Table(16, 120, 0, 120)
    assert overall.fisher_p == stratified_greater([Table(k, 40, 0, 40) for k in (5, 9, 2)])
    assert overall.fisher_p == pytest.approx(7.96641e-6, rel=1e-6)


def test_each_class_seen_is_compared_and_the_two_races_always() -> None:
    tally = new()
    feed(tally, [LOST, LOST, OK, CRASH], [OK, OK, REPLAYED, OK])
    by_class = compared(tally).by_class
    assert list(by_class) == [FindingClass.LOST_INIT, FindingClass.REPLAYED_INIT, FindingClass.CRASH]
    assert by_class[FindingClass.LOST_INIT].table == Table(2, 4, 0, 4)
    assert by_class[FindingClass.REPLAYED_INIT].table == Table(0, 4, 1, 4)
    assert list(compared(new()).by_class) == [FindingClass.LOST_INIT, FindingClass.REPLAYED_INIT]


def test_the_chosen_classes_decide_while_others_are_shown() -> None:
    """The fix cures lost-init and leaves replayed-init: overall follows the gate's classes."""
    tally = new(classes=(FindingClass.LOST_INIT,))
    feed(tally, verdicts(30, 60), verdicts(30, 60, REPLAYED))
    found = compared(tally)
    assert found.overall == found.by_class[FindingClass.LOST_INIT]
    assert found.overall.decision is Decision.BETTER
    assert found.by_class[FindingClass.REPLAYED_INIT].decision is Decision.WORSE
    assert found.classes == (FindingClass.LOST_INIT,)
    everything = new()
    feed(everything, verdicts(30, 60), verdicts(30, 60, REPLAYED))
    assert not decided(everything, *PAIR, 1e-3)


def test_the_threshold_is_that_of_the_evidence_shown() -> None:
    tally = new()
    feed(tally, verdicts(10, 20), [OK] * 20)
    overall = compared(tally, 0.05).overall
    assert (overall.decision is Decision.BETTER) == (overall.evalue_log10 >= -math.log10(0.05))

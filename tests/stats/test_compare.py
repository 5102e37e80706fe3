"""Comparisons: decisions at their limits, strata, classes, and the figures beside them."""

from __future__ import annotations

import math

import pytest

from qstress.model import CommandCount, FindingClass, Verdict
from qstress.stats.clusters import pooled_index, spread
from qstress.stats.compare import Comparison, Decision, Effect, compare, winner_so_far
from qstress.stats.evalue import fewest_runs
from qstress.stats.exact import Table, fisher_greater
from qstress.stats.exposure import ExposureMeasure
from qstress.stats.intervals import upper_limit
from qstress.stats.permute import permutation_greater
from qstress.stats.strata import stratified_greater
from qstress.stats.tally import Tally
from tests.stats.samples import CRASH, LOST, OK, REPLAYED, RIG, build, cells, feed, feed_runs, result, verdicts

PAIR = ("stock", "fixed")


def new(
    *, smp: tuple[int, ...] = (4,), classes: tuple[FindingClass, ...] | None = None, process_trials: int = 1
) -> Tally:
    return Tally(cells(build("stock"), build("fixed"), smp=smp, process_trials=process_trials), [PAIR], classes)


def compared(tally: Tally, alpha: float = 1e-3, *, complete: bool = False) -> Comparison:
    return compare(tally, *PAIR, alpha=alpha, complete=complete)


def decided(tally: Tally, baseline: str, candidate: str, alpha: float) -> bool:
    return winner_so_far(tally, baseline, candidate, alpha) is not None


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
    enough = fewest_runs(alpha)
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


def test_a_decision_is_not_taken_back_by_blocks_that_were_under_way() -> None:
    tally = new()
    feed(tally, verdicts(20, 40), [OK] * 40)
    at_decision = compared(tally, 1e-6).overall
    alpha = 10.0**-at_decision.evalue_log10 * 1.000001
    feed(tally, [OK] * 3, [OK, LOST, OK])
    after = compared(tally, alpha).overall
    assert after.evalue_log10 < at_decision.evalue_log10 == pytest.approx(after.reached_log10)
    assert after.decision is Decision.BETTER
    assert decided(tally, *PAIR, alpha)


def test_what_a_candidate_does_to_a_class() -> None:
    for a, b, effect in [
        (20, 0, Effect.CURES),
        (38, 2, Effect.LOWERS),
        (3, 2, Effect.LEAVES),
        (2, 0, Effect.OPEN),
        (2, 38, Effect.RAISES),
        (0, 1, Effect.BRINGS),
        (0, 30, Effect.BRINGS),
        (0, 0, Effect.ABSENT),
    ]:
        tally = new()
        feed(tally, verdicts(a, 40), verdicts(b, 40))
        assert compared(tally).by_class[FindingClass.LOST_INIT].effect is effect


def test_a_better_candidate_does_not_hide_what_it_brings_or_raises() -> None:
    tally = new()
    feed(tally, verdicts(36, 40) + [LOST] * 200, verdicts(20, 40, CRASH) + [OK] * 200)
    found = compared(tally)
    assert found.overall.decision is Decision.BETTER
    assert found.by_class[FindingClass.CRASH].effect is Effect.BRINGS
    assert found.shown_worse == [FindingClass.CRASH]
    gated = new(classes=(FindingClass.LOST_INIT,))
    feed(gated, verdicts(36, 40), verdicts(20, 40, CRASH))
    assert compared(gated).by_class[FindingClass.CRASH].effect is Effect.BRINGS
    assert compared(gated).shown_worse == []  # not among the classes that it is about


def test_several_candidates_are_answered_together() -> None:
    """Each against the baseline by Holm: a cure that is decided alone has to reach 2/alpha beside an open one."""
    tally = Tally(cells(build("stock"), build("one"), build("two")), [("stock", "one"), ("stock", "two")])
    alone = new()
    for of_stock in verdicts(20, 40):
        trials = (of_stock, OK, of_stock)
        tally.add_block([result(tally, cell, verdict) for cell, verdict in enumerate(trials)])
        feed(alone, [of_stock], [OK])
    assert tally.evidence_log10("stock", "one") == alone.evidence_log10(*PAIR)
    reached = alone.reached_log10(*PAIR)[0]
    just, twice = 10.0**-reached * 1.000001, 2 * 10.0**-reached * 1.000001
    assert decided(alone, *PAIR, just)
    assert not decided(tally, "stock", "one", just)
    assert decided(tally, "stock", "one", twice)
    assert not decided(tally, "stock", "two", twice)
    assert compare(tally, "stock", "one", alpha=twice).overall.decision is Decision.BETTER
    assert compare(tally, "stock", "one", alpha=just).overall.decision is Decision.INCONCLUSIVE


def test_two_cures_help_each_other_down_the_steps() -> None:
    pairs = [("stock", "one"), ("stock", "two")]
    tally = Tally(cells(build("stock"), build("one"), build("two")), pairs)
    for i, of_stock in enumerate(verdicts(30, 40)):
        trials = (of_stock, OK, LOST if i % 9 == 0 else OK)
        tally.add_block([result(tally, cell, verdict) for cell, verdict in enumerate(trials)])
    first, second = (tally.reached_log10(*pair)[0] for pair in pairs)
    alpha = 10.0**-second * 1.000001
    assert first > second + math.log10(2)
    assert [decided(tally, *pair, alpha) for pair in pairs] == [True, True]


def runs(*shown: int) -> list[list[Verdict]]:
    """Process-runs of five trials, of which so many hang."""
    return [[LOST] * k + [OK] * (5 - k) for k in shown]


def test_clustered_trials_count_as_process_runs() -> None:
    tally = new(process_trials=5)
    a, b = [5, 0, 4, 0, 5, 1, 0, 5], [0, 1, 0, 0, 0, 0, 2, 0]
    feed_runs(tally, runs(*a), runs(*b))
    found = compare(tally, *PAIR, alpha=1e-3, confidence=0.9)
    overall = found.overall
    assert overall.table == Table(20, 40, 3, 40)
    assert overall.runs == Table(5, 8, 2, 8)
    assert overall.fisher_p is None
    assert overall.permutation_p == permutation_greater([Table(x, 5, y, 5) for x, y in zip(a, b, strict=True)])
    arms, both = [spread([(arm, [5] * 8)]) for arm in (a, b)], spread([(a, [5] * 8), (b, [5] * 8)])
    index = pooled_index(arms[1], both)
    assert (overall.dispersion_a, overall.dispersion_b) == (pooled_index(arms[0], both), index)
    assert index is not None
    assert overall.candidate_rate_upper == pytest.approx(upper_limit(3 / index, 40 / index, 0.1))
    assert found.by_class[FindingClass.REPLAYED_INIT].dispersion_b == 5.0


def test_only_blocks_with_both_arms_are_exchanged() -> None:
    tally = new(process_trials=5, smp=(2, 4))
    feed_runs(tally, runs(5, 4), [[RIG] * 5, *runs(0)])
    feed_runs(tally, runs(3), runs(1), first_cell=2)
    assert compared(tally).overall.permutation_p == permutation_greater([Table(4, 5, 0, 5), Table(3, 5, 1, 5)])


def test_no_difference_needs_enough_process_runs_not_trials() -> None:
    enough = fewest_runs(1e-3)
    for count, decision in [(enough, Decision.NO_DIFFERENCE), (enough - 1, Decision.INCONCLUSIVE)]:
        tally = new(process_trials=5)
        feed_runs(tally, runs(*[0] * count), runs(*[0] * count))
        assert compared(tally, complete=True).overall.decision is decision


def test_exposure_of_both_arms() -> None:
    tally = new()
    more, less = ((CommandCount("info registers -a", sent),) for sent in (700, 300))
    for _ in range(10):
        arms = [result(tally, cell, OK, commands=sent, duty_cycle=0.2) for cell, sent in ((0, more), (1, less))]
        tally.add_block(arms)
    duty, commands = compared(tally).exposures
    assert (duty.measure, duty.differs) == (ExposureMeasure.DUTY, False)
    assert (commands.measure, commands.baseline, commands.candidate) == (ExposureMeasure.COMMANDS, 700.0, 300.0)
    assert commands.less
    assert commands.cell.build.name == "fixed"
    assert compared(new()).exposures == ()


def test_the_threshold_is_that_of_the_evidence_shown() -> None:
    tally = new()
    feed(tally, verdicts(10, 20), [OK] * 20)
    overall = compared(tally, 0.05).overall
    assert (overall.decision is Decision.BETTER) == (overall.evalue_log10 >= -math.log10(0.05))

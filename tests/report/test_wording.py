"""Rates, percentages, durations and labels as people read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.model import Accel, FindingClass, Verdict
from qstress.report.wording import (
    classes_text,
    decision_text,
    dispersion_text,
    duration,
    evidence,
    exposure_text,
    percent_down,
    percent_up,
    power,
    power_up,
    printable,
    rate,
    runs_text,
    shape_text,
    verdict_sentence,
)
from qstress.stats.compare import Comparison, Decision, compare
from qstress.stats.intervals import clopper_pearson
from qstress.stats.tally import Tally
from tests.stats.samples import CRASH, LOST, OK, REPLAYED, build, cells, feed, feed_runs, result, verdicts


@pytest.mark.parametrize(
    ("k", "n", "text"),
    [
        (31, 248, "31/248 (8.6-17.3 %)"),
        (0, 251, "0/251 (<1.2 %)"),
        (38, 38, "38/38 (>92.4 %)"),
        (5, 40, "5/40 (4.1-26.9 %)"),
        (1, 100_000, "1/100000 (0.000025-0.0056 %)"),
        (0, 1_000_000, "0/1000000 (<0.00030 %)"),
        (0, 0, "0/0"),
    ],
)
def test_rates(k: int, n: int, text: str) -> None:
    assert rate(k, n) == text


def test_clustered_trials_have_wider_limits() -> None:
    assert rate(31, 248, dispersion=4.0) == "31/248 (5.4-23.4 %)"
    assert rate(31, 248, dispersion=0.5) == rate(31, 248, dispersion=None) == rate(31, 248)
    assert rate(0, 400, dispersion=10.0) == rate(0, 40).replace("0/40", "0/400")
    assert rate(400, 400, dispersion=10.0) == rate(40, 40).replace("40/40", "400/400")
    assert [dispersion_text(index, 40, 10, known=False) for index in (3.14, 4.0)] == ["3.1", "unknown, taken as 4"]
    assert dispersion_text(4.0, 40, 10, known=True) == "4"
    assert dispersion_text(None, 0, 0, known=False) == "unknown"


PAIR = ("stock", "patched")


def judged(a: list[Verdict], b: list[Verdict]) -> Comparison:
    tally = Tally(cells(build("stock"), build("patched")), [PAIR])
    feed(tally, a, b)
    return compare(tally, *PAIR, alpha=1e-3)


def test_the_verdict_in_one_sentence() -> None:
    a = [LOST if i % 2 else REPLAYED if i % 60 == 0 else OK for i in range(720)]
    b = [REPLAYED if i % 51 == 0 else OK for i in range(720)]
    assert verdict_sentence(judged(a, b)) == (
        "patched cures lost-init; leaves replayed-init, 15/720 against 12/720; brings nothing new"
    )


def test_a_better_candidate_never_hides_a_new_class() -> None:
    found = judged([LOST] * 200, [CRASH] * 2 + [OK] * 198)
    assert found.overall.decision is Decision.BETTER
    assert verdict_sentence(found) == (
        "patched cures lost-init; brings crash, 2/200 against 0/200 (which may be chance)"
    )
    sure = judged([LOST] * 200, [CRASH] * 30 + [OK] * 170)
    assert verdict_sentence(sure) == "patched cures lost-init; brings crash, 30/200 against 0/200"


@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        (38, 2, "patched lowers lost-init, 2/40 against 38/40; brings nothing new"),
        (2, 38, "patched raises lost-init, 38/40 against 2/40; brings nothing new"),
        (2, 0, "patched leaves open lost-init, 0/40 against 2/40; brings nothing new"),
        (0, 0, "patched brings nothing new"),
    ],
)
def test_each_effect(a: int, b: int, sentence: str) -> None:
    assert verdict_sentence(judged(verdicts(a, 40), verdicts(b, 40))) == sentence


def test_nothing_compared_yet() -> None:
    assert verdict_sentence(judged([], [])) == "patched has not been compared with stock yet"


def test_exposure_in_words() -> None:
    tally = Tally(cells(build("stock"), build("patched")), [PAIR])
    for _ in range(10):
        tally.add_block([result(tally, 0, OK, duty_cycle=0.08), result(tally, 1, OK, duty_cycle=0.21)])
    found = compare(tally, *PAIR, alpha=1e-3)
    assert exposure_text(found, found.exposures[0]) == (
        "the candidate was more exposed: patched had D 0.21 against 0.08 (smp 4 pc kvm, info registers -a @ every 2ms, "
        "T1)"
    )


def test_the_units_of_clustered_evidence() -> None:
    tally = Tally(cells(build("stock"), build("patched"), process_trials=3), [PAIR])
    feed_runs(tally, [[LOST, LOST, OK], [OK] * 3], [[OK] * 3] * 2)
    text = ", in 1 of 2 process-runs against 0 of 2 (dispersion 3)"
    assert runs_text(compare(tally, *PAIR, alpha=1e-3).overall) == text
    assert runs_text(judged([LOST], [OK]).overall) == ""


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n + 1))))
def test_printed_limits_hold_the_exact_interval(counts: tuple[int, int]) -> None:
    k, n = counts
    lower, upper = rate(k, n).partition("(")[2].removesuffix(" %)").split("-")
    exact = clopper_pearson(k, n)
    assert float(lower) <= 100 * exact.lower + 1e-6
    assert float(upper) >= 100 * exact.upper - 1e-6
    assert float(upper) - float(lower) <= 100 * (exact.upper - exact.lower) + 0.2


def test_percentages_round_outwards_but_not_off_a_whole_number() -> None:
    assert (percent_down(0.12349), percent_up(0.12341)) == ("12.3", "12.4")
    assert (percent_down(0.29), percent_up(0.07)) == ("29.0", "7.0")  # 28.999999999999996, 7.000000000000001
    assert (percent_down(0.0), percent_up(0.0), percent_down(1e-62)) == ("0.0", "0.0", "0.0")
    assert (percent_down(0.000429), percent_up(0.000421)) == ("0.042", "0.043")


def test_evidence_is_never_overstated() -> None:
    assert evidence(7.19) == "10^7.1 : 1"
    assert evidence(0.0) == "10^0.0 : 1"
    assert evidence(-0.31) == "10^-0.4 : 1"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0451, "0.045 s"),
        (0.996, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (190.0, "3 min 10 s"),
        (7512.0, "2 h 5 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_labels() -> None:
    (cell,) = cells(build("stock"), smp=(64,), accel=Accel.TCG)
    assert shape_text(cell) == "smp 64 pc tcg, info registers -a @ every 2ms, T1"
    assert classes_text(None) == "any finding"
    assert classes_text([FindingClass.LOST_INIT, FindingClass.CRASH]) == "lost-init or crash"


def test_what_qemu_said_cannot_steer_a_terminal() -> None:
    assert printable("died:\x1b[2J\nbye\r") == "died: [2J bye "


def test_a_decision_tells_its_evidence_or_how_much_is_missing() -> None:
    assert decision_text(judged([LOST] * 40, [OK] * 40).overall) == "candidate-better, evidence 10^22.0 : 1"
    some = judged([LOST] * 5 + [OK] * 5, [OK] * 10).overall
    assert re.fullmatch(r"undecided: 10\^[12]\.\d of 10\^3 needed", decision_text(some))
    worse = judged([OK] * 10, [LOST] * 5 + [OK] * 5).overall
    assert re.fullmatch(r"undecided: 10\^[12]\.\d of 10\^3\.4 needed for worse", decision_text(worse))


def test_evidence_is_rounded_down_and_what_it_takes_up() -> None:
    assert (power(2.59), power_up(2.5), power_up(3.0), power_up(3.31)) == ("10^2.5", "10^2.5", "10^3", "10^3.4")


def test_the_first_of_several_candidates_needs_more() -> None:
    tally = Tally(cells(build("a"), build("b"), build("c")), [("a", "b"), ("a", "c")])
    assert "of 10^3.4 needed" in decision_text(compare(tally, "a", "b", alpha=1e-3).overall)

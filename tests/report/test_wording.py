"""Rates, percentages, durations and labels as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.model import Accel, FindingClass
from qstress.report.wording import (
    classes_text,
    duration,
    evidence,
    percent_down,
    percent_up,
    printable,
    rate,
    shape_text,
)
from qstress.stats.intervals import clopper_pearson
from tests.stats.samples import build, cells


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
    assert (percent_down(0.0), percent_up(0.0)) == ("0.0", "0.0")
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

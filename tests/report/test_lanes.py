from __future__ import annotations

import pytest

from qstress.report.lanes import HALTED, RESET_VECTOR, RUNNING, SPINNING, Lane, Span, columns, shown, spans
from tests.samples import at_reset, running, seen

DONE = 0xFD09A


def test_a_state_holds_from_the_dump_that_shows_it_to_the_next() -> None:
    found = spans(
        [
            seen(running(0, 0xE0000), at_reset(1), at_s=0.1),
            seen(running(0, 0xE8000), at_reset(1), at_s=0.2),
            seen(running(0, 0xE8010), running(1, DONE, halted=True), at_s=0.3),
            seen(running(0, 0xE8000), running(1, DONE, halted=True), at_s=0.5),
        ]
    )
    assert found == {
        0: (Span(0.1, 0.2, RUNNING), Span(0.2, 0.5, SPINNING)),
        1: (Span(0.1, 0.3, RESET_VECTOR), Span(0.3, 0.5, HALTED)),
    }


def boot_cpu(*at: tuple[float, int]) -> list[tuple[str, float]]:
    """What the boot CPU is drawn as, and since when, if it was seen at these times at these addresses."""
    return [(span.state, span.from_s) for span in spans([seen(running(0, eip), at_s=at_s) for at_s, eip in at])[0]]


def test_short_waits_of_an_ordinary_boot_are_no_loop() -> None:
    """700 dumps a second: many in a row find the boot CPU where it waits for a timer, and then somewhere else."""
    post = [(i / 700, 0xE0000 + 0x1000 * (i // 20) + i % 3) for i in range(280)]
    assert boot_cpu(*post, (0.41, 0x1234)) == [(RUNNING, 0.0)]


def test_a_long_wait_is_a_loop_and_so_is_one_that_lasts_to_the_end() -> None:
    early = [(i / 700, 0xE0000 + 0x1000 * i) for i in range(10)]
    assert boot_cpu(*early, (0.1, 0xEE2E7), (0.3, 0xEE2E1)) == [(RUNNING, 0.0), (SPINNING, 0.1)]
    ends = [(0.02 + i / 700, 0xEE2E1 + i % 2) for i in range(6)]
    assert boot_cpu(*early, *ends) == [(RUNNING, 0.0), (SPINNING, 0.02)]
    assert boot_cpu(*early, *ends[:5]) == [(RUNNING, 0.0)]


def test_a_vcpu_that_comes_later_or_is_missing_once_has_its_own_time() -> None:
    found = spans([seen(running(0), at_s=1.0), seen(at_reset(1), at_s=2.0), seen(running(0), at_reset(1), at_s=3.0)])
    assert found[1] == (Span(2.0, 3.0, RESET_VECTOR),)
    assert found[0][0].from_s == 1.0
    assert spans([]) == {}


def many(aps: int, *lost: int) -> dict[int, tuple[Span, ...]]:
    return {0: (Span(0, 1, SPINNING),)} | {
        i: (Span(0, 0.5, RESET_VECTOR), Span(0.5, 1, HALTED)) if i not in lost else (Span(0, 1, RESET_VECTOR),)
        for i in range(1, aps + 1)
    }


def test_few_have_a_lane_each() -> None:
    assert [lane.name for lane in shown(many(3, 2), 16)] == ["CPU#0", "CPU#1", "CPU#2", "CPU#3"]
    assert shown({}, 16) == []


def test_of_many_the_boot_cpu_and_those_that_differ_stay_alone() -> None:
    lanes = shown(many(63, 7, 40), 16)
    assert [lane.name for lane in lanes] == ["CPU#0", "CPU#7", "CPU#40", "61 others"]
    assert [lane.last for lane in lanes] == [SPINNING, RESET_VECTOR, RESET_VECTOR, HALTED]
    assert lanes[-1].spans == (Span(0, 0.5, RESET_VECTOR), Span(0.5, 1, HALTED))


def test_never_more_than_were_asked_for() -> None:
    assert len(shown(many(63, *range(1, 31)), 16)) == 16


@pytest.mark.parametrize("wide", [0.1, 0.25, 1.0])
def test_columns_keep_what_lasts_and_are_few(wide: float) -> None:
    flicker = [Span(i / 100, (i + 1) / 100, RUNNING if i % 10 == 0 else SPINNING) for i in range(100)]
    edges = [i * wide for i in range(int(1 / wide) + 1)]
    assert [span.state for span in columns(flicker, edges)] == [SPINNING]


def test_columns_begin_and_end_where_something_was_seen() -> None:
    own = [Span(0.3, 0.6, RESET_VECTOR), Span(0.6, 0.9, HALTED)]
    edges = [i / 10 for i in range(11)]
    found = columns(own, edges)
    assert [span.state for span in found] == [RESET_VECTOR, HALTED]
    assert (found[0].from_s, found[0].to_s, found[1].to_s) == pytest.approx((0.3, 0.6, 0.9))


def test_a_lane_without_a_dump_has_no_last_state() -> None:
    assert Lane("CPU#1", ()).last == ""

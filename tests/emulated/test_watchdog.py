from __future__ import annotations

import pytest

from qstress.emulated.watchdog import BOOT_S, LAST_LINES, SILENCE_S, is_dead, last_words, starved_s, telling_line


@pytest.mark.parametrize(
    ("silent_s", "starved", "booting", "dead"),
    [
        (SILENCE_S - 1, 0.0, False, False),
        (SILENCE_S + 1, 0.0, False, True),
        (4 * SILENCE_S, 3.1 * SILENCE_S, False, False),  # it had no CPU: slow
        (4 * SILENCE_S, 2.9 * SILENCE_S, False, True),
        (SILENCE_S + 1, 0.0, True, False),
        (BOOT_S + 1, 0.0, True, True),
    ],
)
def test_dead_is_who_could_have_spoken(silent_s: float, starved: float, booting: bool, dead: bool) -> None:
    assert is_dead(silent_s, starved, booting=booting) is dead


def test_who_waited_most_counts() -> None:
    assert starved_s({1: 5.0, 2: 1.0}, {1: 6.0, 2: 3.5, 3: 0.5}) == 2.5
    assert starved_s({1: 5.0}, {}) == 0.0


def test_the_last_words_of_a_kernel() -> None:
    console = "\r\n\n[    1.0] fine\r\n[  2.0] Oops: int3: 0000 [#1] SMP\n[  2.1] Call Trace:\n[  2.2] end\n"
    assert last_words(console) == [
        "[    1.0] fine",
        "[  2.0] Oops: int3: 0000 [#1] SMP",
        "[  2.1] Call Trace:",
        "[  2.2] end",
    ]
    assert telling_line(last_words(console)) == "Oops: int3: 0000 [#1] SMP"
    assert telling_line(["one", "[ 3.0] two"]) == "two"
    assert telling_line([]) == "(nothing)"
    assert len(last_words("x\n" * 1000)) == LAST_LINES

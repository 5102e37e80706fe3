"""Lines of a firmware that is not SeaBIOS (SeaBIOS's: test_seabios)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.firmware.lines import LineBoot, LinePatterns
from qstress.model import Milestone
from tests.firmware.judging import pieces

TOY = LinePatterns(
    "toy", {Milestone.BANNER: r"^toy starts", Milestone.FOUND: r"^all (\d+) up", Milestone.BOOT: "boots"}
)


def test_milestones_are_those_that_its_patterns_name() -> None:
    log = LineBoot(patterns=TOY)
    assert not log.feed(b"BIOS: toy starts\n")
    for line, milestone in ((b"toy starts\r\n", Milestone.BANNER), (b"all 12 up\n", Milestone.FOUND)):
        assert log.feed(line)
        assert log.milestone is milestone
    assert (log.found, log.clean, log.last_line) == (12, True, "all 12 up")


def test_a_second_start_is_named_by_its_firmware() -> None:
    log = LineBoot(patterns=TOY)
    log.feed(b"toy starts\ntoy starts\n")
    assert log.restart_signs == ("2 toy banners before Found",)


@pytest.mark.parametrize(
    ("milestone", "pattern"),
    [
        (Milestone.START, ""),
        (Milestone.BANNER, r"^toy starts"),
        (Milestone.PCI, r"^all (\d+) up"),
        (Milestone.FOUND, r"^all (\d+) up"),
        (Milestone.BOOT, "boots"),
    ],
)
def test_a_milestone_that_is_not_printed_is_seen_by_the_next_one_that_is(milestone: Milestone, pattern: str) -> None:
    assert TOY.reached(milestone) == pattern
    assert LinePatterns("mute", {}).reached(Milestone.FOUND) == "(?!)"  # never


@given(st.lists(st.integers(0, 21_000), max_size=5))
def test_an_endless_line_is_not_kept_and_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    text = b"toy starts" + b"x" * 10_000 + b"\nall 3 up\n" + b"y" * 5000 + b"boots\n" + b"y" * 5000
    log, whole = LineBoot(patterns=TOY), LineBoot(patterns=TOY)
    whole.feed(text)
    for data in pieces(text, cuts):
        log.feed(data)
    assert log == whole
    assert (log.milestone, log.found, len(log._rest) <= 4096) == (Milestone.FOUND, 3, True)

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstress.firmware.smpscan_console import (
    RoundEnd,
    ScanRound,
    SmpscanBoot,
    SmpscanLog,
    SmpscanProgress,
    SmpscanSeries,
)
from qstress.model import Milestone
from tests.firmware.judging import every_byte, judged, judged_series, pieces

ABOUT = b"smpscan 1 cpus=4 ids=4 khz=2601640 rounds=0\n"
ROUNDS = b"smpscan 1 cpus=4 ids=4 khz=2601640 rounds=2\n"
EVERYTHING = (
    ABOUT + b"()(\x82)(missing 1: 2\n(missing 2: 1 3\n+()(mis\xc4\x86sing 1: 3\n((missing 1: 1\n\x83()\x81(" + ROUNDS
    + b"()..()missing 1: 3\n+.(\x81"
)  # fmt: skip


def fed(text: bytes) -> tuple[SmpscanLog, list[ScanRound]]:
    log = SmpscanLog()
    return log, log.feed(text)


def test_the_first_line_tells_what_runs() -> None:
    log, over = fed(ABOUT)
    assert (log.cpus, log.ids, log.tsc_khz, log.rounds_a_bringup) == (4, 4, 2601640, 0)
    assert (log.started, log.current, log.underway, over) == (0, None, False, [])


def test_healthy_bringups_are_two_bytes_each() -> None:
    log, over = fed(ABOUT + b"()()(")
    assert over == [ScanRound(1, end=RoundEnd.ALL_IN), ScanRound(2, end=RoundEnd.ALL_IN)]
    assert all(bringup.ok for bringup in over)
    assert (log.started, log.underway, log.current) == (3, True, ScanRound(3))


def test_missing_aps_are_named_in_hex() -> None:
    log, over = fed(ABOUT + b"(missing 3: 1 a 118\n")
    assert over == [ScanRound(1, end=RoundEnd.MISSING, lost=3, missing=(1, 0xA, 0x118))]
    assert not over[0].ok
    assert not log.underway
    log.feed(b"(")
    assert log.started == 2


def test_those_that_come_late_amend_the_report() -> None:
    _, over = fed(b"(missing 2: 1 3\n+(")
    assert over[1] == ScanRound(1, end=RoundEnd.ALL_IN, late=True)
    assert not over[1].ok
    assert len(over) == 2


@pytest.mark.parametrize(
    ("said", "apic_id"), [(b"\x80", 0), (b"\x83", 3), (b"\xbf", 63), (b"\xc1\x80", 64), (b"\xc4\x9f", 287)]
)
def test_a_replayed_ap_gives_its_apic_id(said: bytes, apic_id: int) -> None:
    log, over = fed(b"(" + said)
    assert over == []
    assert log.current == ScanRound(1, replayed=(apic_id,))
    (bringup,) = log.feed(b")")
    assert bringup == ScanRound(1, end=RoundEnd.ALL_IN, replayed=(apic_id,))
    assert not bringup.ok


def test_a_replay_belongs_to_its_bringup_only() -> None:
    _, over = fed(b"(\x83\x81\x83)()")
    assert [bringup.replayed for bringup in over] == [(3, 1), ()]


def test_a_replay_inside_a_line_disturbs_neither() -> None:
    _, over = fed(b"(mis\xc1sing 1:\x82 3\n")
    assert over == [ScanRound(1, end=RoundEnd.MISSING, lost=1, missing=(3,), replayed=(66,))]


def test_a_replay_after_the_end_amends_it() -> None:
    _, over = fed(b"()\x81(")
    assert over == [ScanRound(1, end=RoundEnd.ALL_IN), ScanRound(1, end=RoundEnd.ALL_IN, replayed=(1,))]


@pytest.mark.parametrize("said", [b"((", b"(\x81(", b"(missing 1:(", b"(smp("])
def test_a_bringup_that_a_reset_ends_is_cut(said: bytes) -> None:
    log, over = fed(said)
    assert [bringup.end for bringup in over] == [RoundEnd.CUT]
    assert (log.started, log.underway) == (2, True)
    assert log.feed(b")") == [ScanRound(2, end=RoundEnd.ALL_IN)]


def test_a_reset_after_a_report_cuts_nothing() -> None:
    _, over = fed(b"(missing 1: 3\n()")
    assert [bringup.end for bringup in over] == [RoundEnd.MISSING, RoundEnd.ALL_IN]


def test_rounds_are_never_bringups() -> None:
    log, over = fed(ROUNDS + b"()..()\x81.missing 1: 3\n+(")
    assert [(bringup.number, bringup.round) for bringup in over] == [
        (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (2, 2),
    ]  # fmt: skip
    assert over[4] == ScanRound(2, 1, RoundEnd.ALL_IN, replayed=(1,))
    assert over[5:] == [ScanRound(2, 2, RoundEnd.MISSING, 1, (3,)), ScanRound(2, 2, RoundEnd.ALL_IN, late=True)]
    assert log.started == 3


def test_an_unfinished_first_line_is_said_again_after_a_reset() -> None:
    log, _ = fed(b"smpscan 1 cpus=" + ABOUT)
    assert log.cpus == 4


@pytest.mark.parametrize("noise", [b")", b"+", b".", b"\x81", b"missing 1: 3\n", b"missing x\n", b"\x00\n A?"])
def test_what_makes_no_sense_is_passed_over(noise: bytes) -> None:
    log, over = fed(noise)
    assert (over, log.started, log.current) == ([], 0, None)
    assert [bringup.ok for bringup in log.feed(b"()")] == [True]
    for other in (b")", b"+", b"."):
        assert log.feed(other) == []


@given(st.lists(st.integers(0, len(EVERYTHING)), max_size=40))
def test_where_the_bytes_are_cut_does_not_matter(cuts: list[int]) -> None:
    whole, expected = fed(EVERYTHING)
    log, over = SmpscanLog(), list[ScanRound]()
    edges = [0, *sorted(cuts), len(EVERYTHING)]
    for start, end in zip(edges, edges[1:], strict=False):
        over += log.feed(EVERYTHING[start:end])
    assert (log, over) == (whole, expected)


#: Bytes of the protocol mixed with any others.
CONSOLES = st.lists(
    st.binary(max_size=4)
    | st.sampled_from([b"(", b")", b"+", b".", b"\n", b"missing 1: 3\n", b"missing 99999:", b" ffff", ROUNDS, b"\xc4"])
).map(b"".join)


@given(CONSOLES)
def test_no_bytes_can_break_it(data: bytes) -> None:
    log, over = fed(data)
    assert log.started == data.count(b"(")
    assert [bringup.number for bringup in over] == sorted(bringup.number for bringup in over)
    assert all(0 <= apic_id < 4096 for bringup in over for apic_id in bringup.replayed)


def test_an_endless_line_is_not_kept() -> None:
    log, _ = fed(b"m" * 100_000)
    assert len(log._line or b"") < 40_000


def progress(text: bytes) -> SmpscanProgress:
    boot = SmpscanProgress()
    boot.feed(text)
    return boot


ABOUT_4 = b"smpscan 1 cpus=4 ids=4 khz=2600000 rounds=0\n"


def test_as_a_boot_it_goes_through_the_milestones_and_all_are_found() -> None:
    boot = SmpscanProgress()
    assert boot.milestone is Milestone.START
    for text, milestone in ((ABOUT_4, Milestone.BANNER), (b"(", Milestone.PCI), (b")", Milestone.FOUND)):
        assert boot.feed(text)
        assert boot.milestone is milestone
    assert (boot.found, boot.clean, boot.stuck, boot.restart_signs) == (4, True, False, ())
    assert not boot.feed(b"")


def test_as_a_boot_missing_aps_are_stuck_until_they_come() -> None:
    boot = progress(ABOUT_4 + b"(missing 1: 3\n")
    assert (boot.stuck, boot.found, boot.last_line) == (True, None, "missing 1: 3")
    boot.feed(b"+")
    assert (boot.stuck, boot.found) == (False, 4)


def test_as_a_boot_a_replayed_ap_or_another_bringup_is_a_restart() -> None:
    assert "APIC id 2" in progress(ABOUT_4 + b"(\x82)").restart_signs[0]
    cut = progress(ABOUT_4 + b"((")
    assert cut.restart_signs == ("2 bring-ups began",)
    assert not cut.clean


def series(*chunks: bytes) -> SmpscanSeries:
    boot = SmpscanSeries()
    for chunk in chunks:
        boot.feed(chunk)
    return boot


def test_a_series_counts_what_is_over_once_the_next_begins() -> None:
    assert not series(ABOUT_4 + b"()").over
    assert list(series(ABOUT_4 + b"()(").over) == [1]
    assert list(series(ABOUT_4, b"(", b")(", b")()(", b")").over) == [3]


def test_a_series_keeps_what_was_not_healthy_in_its_place() -> None:
    boot = series(ABOUT_4 + b"()()(", b"\x82)()((", b"missing 1: 3\n")
    before, replayed, after, cut = boot.over
    assert (before, after) == (2, 1)
    assert isinstance(replayed, SmpscanBoot)
    assert isinstance(cut, SmpscanBoot)
    assert (replayed.restart_signs[0][-1], replayed.found, cut.restart_signs) == ("2", None, ("2 bring-ups began",))
    assert (boot.stuck, boot.found, boot.last_line) == (True, None, "missing 1: 3")


def test_an_ap_that_is_replayed_after_the_end_of_its_bringup_still_belongs_to_it() -> None:
    (replayed,) = series(ABOUT_4 + b"()", b"\x81", b"(").over
    assert isinstance(replayed, SmpscanBoot)
    assert replayed.restart_signs


def test_aps_that_come_in_late_end_their_bringup_and_are_told_apart() -> None:
    boot = series(ABOUT_4 + b"(missing 1: 3\n", b"+", b"(")
    (late,) = boot.over
    assert isinstance(late, SmpscanBoot)
    assert late.now is not None
    assert (late.now.late, late.found, late.restart_signs, boot.stuck) == (True, 4, (), False)


def test_after_a_reset_from_outside_nothing_was_cut_short() -> None:
    boot = series(ABOUT_4 + b"()(").again()
    assert (boot.cpus, list(boot.over), boot.milestone) == (4, [], Milestone.BANNER)
    boot.feed(b"()(")
    assert list(boot.over) == [1]


@given(CONSOLES.filter(lambda data: ROUNDS not in data), st.lists(st.integers(0, 200), max_size=20))
def test_a_series_says_what_its_bringups_say_however_the_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    log, ended = fed(data)
    last = {bringup.number: bringup for bringup in ended if bringup.end is not RoundEnd.MISSING or bringup.replayed}
    expected = [bringup.ok for bringup in last.values() if bringup.number < log.started]
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    boot = series(*(data[start:end] for start, end in zip(edges, edges[1:], strict=False)))
    told = [ok for item in boot.over for ok in ([True] * item if isinstance(item, int) else [False])]
    assert told == expected


SCANS = CONSOLES.filter(lambda data: ROUNDS not in data).map(lambda data: ABOUT_4 + data)


@settings(deadline=None)
@given(SCANS, st.lists(st.integers(0, 200), max_size=20))
def test_how_a_console_was_cut_into_reads_does_not_change_the_verdict_on_its_first_bringup(
    text: bytes, cuts: list[int]
) -> None:
    expected = judged(SmpscanProgress(), every_byte(text), accounts_for_aps=True)
    assert judged(SmpscanProgress(), pieces(text, cuts), accounts_for_aps=True) == expected
    assert judged(SmpscanProgress(), [text], accounts_for_aps=True) == expected


@settings(deadline=None)
@given(SCANS, st.lists(st.integers(0, 200), max_size=20))
def test_how_a_console_was_cut_into_reads_changes_neither_count_nor_verdict_of_a_series(
    text: bytes, cuts: list[int]
) -> None:
    healthy, verdict = judged_series(SmpscanSeries(), every_byte(text))
    for reads in (pieces(text, cuts), [text]):
        assert judged_series(SmpscanSeries(), reads) == (healthy, verdict)


def test_what_is_said_after_all_came_in_is_no_part_of_a_process_first_bringup() -> None:
    for later in (b"(", b"\x82", b"()(missing 1: 3\n"):
        boot = progress(ABOUT_4 + b"()" + later)
        assert (boot.found, boot.clean, boot.restart_signs, boot.stuck) == (4, True, (), False)


def test_an_ap_replayed_after_a_report_of_missing_ones_is_not_passed_over_by_a_series() -> None:
    (replayed,) = series(ABOUT_4 + b"(missing 1: 3\n\x83(").over
    assert isinstance(replayed, SmpscanBoot)
    assert (replayed.restart_signs[0][-1], replayed.clean) == ("3", True)

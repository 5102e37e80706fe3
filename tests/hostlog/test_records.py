from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.hostlog.records import KmsgReader, LogLine
from tests.hostlog.samples import recorded


def test_one_record_is_one_line() -> None:
    records = KmsgReader()
    assert records.feed(b"4,17,1234567,-;WARNING: x\n") == [LogLine(4, 1234567, "", "WARNING: x")]
    assert (records.read, records.lost, records.torn) == (1, 0, 0)


def test_further_fields_and_key_value_lines_are_passed_over() -> None:
    said = b"6,339,5140900,c,caller=T5117,new=1;x;y,z\n SUBSYSTEM=pci\n DEVICE=+pci:0000\n6,340,5140901,-,caller=C1;b\n"
    assert KmsgReader().feed(said) == [LogLine(6, 5140900, "T5117", "x;y,z"), LogLine(6, 5140901, "C1", "b")]


def test_only_facility_0_is_the_kernels_own() -> None:
    records = KmsgReader()
    planted = b"BUG: KCSAN: data-race in a / b\n"
    assert records.feed(b"12,1,1,-;" + planted + b"8,2,1,-;" + planted + b"7,3,1,-;real\n") == [
        LogLine(7, 1, "", "real")
    ]
    assert (records.read, records.lost) == (3, 0)


def test_escaped_characters_come_back_but_none_that_a_terminal_would_obey() -> None:
    said = rb"4,1,1,-;a\x0ab\x5cc\x09d \x1b[31m \xe2 \x7f" + b"\n"
    assert [line.text for line in KmsgReader().feed(said)] == ["a", "b\\c\td \\x1b[31m \xe2 \\x7f"]


def test_gaps_in_the_numbers_are_lost_records() -> None:
    records = KmsgReader()
    records.feed(recorded(["a"], first=10) + recorded(["b"], first=11) + recorded(["c"], first=20))
    assert (records.read, records.lost) == (3, 8)


@pytest.mark.parametrize(
    "torn", [b"4,3,1", b"4,3,1,-no semicolon", b"nonsense", b"-1,3,1,-;x", b"4,3,1,-\xff", b",,,;"]
)
def test_a_torn_record_is_counted_and_the_next_is_read(torn: bytes) -> None:
    records = KmsgReader()
    lines = records.feed(recorded(["a"], first=1) + torn + b"\n" + recorded(["b"], first=2))
    assert [line.text for line in lines] == ["a", "b"]
    assert (records.read, records.torn) == (2, 1)


def test_a_record_without_an_end_is_not_kept_for_ever() -> None:
    records = KmsgReader()
    for _ in range(1000):
        records.feed(b"x" * 1000)
    assert records.torn > 0
    assert len(records._rest) < 20_000


@given(st.lists(st.integers(0, 200), max_size=20))
def test_where_the_bytes_are_cut_does_not_matter(cuts: list[int]) -> None:
    said = recorded(["a\nb", "c", "d" * 40]) + b" KEY=value\ntorn\n" + recorded(["e"], first=9)
    whole, piecewise = KmsgReader(), KmsgReader()
    edges = [0, *sorted(cuts), len(said)]
    lines = [line for begin, end in zip(edges, edges[1:], strict=False) for line in piecewise.feed(said[begin:end])]
    assert lines == whole.feed(said)
    assert (piecewise.read, piecewise.lost, piecewise.torn) == (whole.read, whole.lost, whole.torn)


@given(st.binary(max_size=300))
def test_no_bytes_can_break_it(data: bytes) -> None:
    KmsgReader().feed(data + b"\n")

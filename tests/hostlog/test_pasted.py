from __future__ import annotations

import pytest

from qstress.hostlog.pasted import log_lines
from qstress.hostlog.records import LogLine


@pytest.mark.parametrize(
    ("text", "line", "stamped"),
    [
        ("BUG: KASAN: x in y", LogLine(-1, 0, "", "BUG: KASAN: x in y"), False),
        ("[   12.345678] BUG: KASAN: x", LogLine(-1, 12_345_678, "", "BUG: KASAN: x"), True),
        ("[   12.345678][ T4401] Call Trace:", LogLine(-1, 12_345_678, "T4401", "Call Trace:"), True),
        ("[   12.345678][    C3]  <IRQ>", LogLine(-1, 12_345_678, "C3", " <IRQ>"), True),
        ("<3>[   12.345678] x", LogLine(3, 12_345_678, "", "x"), True),
        ("<11>x", LogLine(3, 0, "", "x"), True),
        ("kern  :err   : [   12.345678] x", LogLine(3, 12_345_678, "", "x"), True),
        ("[Tue Sep  9 12:00:01 2025] x", LogLine(-1, 0, "", "x"), True),
        ("[  +0.000012] x", LogLine(-1, 0, "", "x"), True),
        ("2025-09-09T12:00:01,123456+02:00 Call Trace:", LogLine(-1, 0, "", "Call Trace:"), False),
        ("Sep 09 12:00:01 host-3 kernel: Call Trace:", LogLine(-1, 0, "", "Call Trace:"), True),
        ("Sep  9 12:00:01 host kernel: [   12.345678]  f+0x1/0x2", LogLine(-1, 12_345_678, "", " f+0x1/0x2"), True),
        ("2025-09-09T12:00:01+0200 host kernel: x", LogLine(-1, 0, "", "x"), True),
        ("[   12.345678] host kernel: x", LogLine(-1, 0, "", "x"), True),
        ("\x1b[0;31m[   12.345678] x\x1b[0m", LogLine(-1, 12_345_678, "", "x"), True),
        ("host login: [   12.345678] WARNING: x", LogLine(-1, 12_345_678, "", "WARNING: x"), True),
        ("> > [   12.345678] x", LogLine(-1, 12_345_678, "", "x"), True),
        ('{"MESSAGE": "x", "PRIORITY": "3", "_TRANSPORT": "kernel"}', LogLine(3, 0, "", "x"), True),
    ],
)
def test_a_line_is_freed_of_what_a_log_writes_before_it(text: str, line: LogLine, stamped: bool) -> None:
    assert list(log_lines(text.encode())) == [(line, stamped)]


@pytest.mark.parametrize(
    "text",
    [
        "Sep 09 12:00:01 host systemd[1]: kernel BUG at x!",
        "2025-09-09T12:00:01+0200 host app[12]: kernel BUG at x!",
        "[   12.345678] host app[12]: kernel BUG at x!",
        '{"MESSAGE": "kernel BUG at x!", "_TRANSPORT": "journal"}',
        '{"MESSAGE": broken',
    ],
)
def test_what_other_programs_say_is_left_out(text: str) -> None:
    assert list(log_lines(text.encode())) == []


def test_the_records_of_dev_kmsg() -> None:
    text = b"4,1,12345678,-,caller=T12;one\n SUBSYSTEM=pci\n12,2,12345679,-;of a program\n6,3,12345680,-;two"
    assert list(log_lines(text)) == [
        (LogLine(4, 12_345_678, "T12", "one"), True),
        (LogLine(6, 12_345_680, "", "two"), True),
    ]


def test_lines_of_a_serial_console_end_with_a_carriage_return() -> None:
    assert [line.text for line, _ in log_lines(b"[    1.000000] a\r\n[    1.000001] b\r\n") if line.text] == ["a", "b"]

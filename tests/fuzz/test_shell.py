"""Any bytes come out of a shell's printf as they went in."""

from __future__ import annotations

import subprocess

from qstress.fuzz.shell import printf_b


def test_bytes_of_all_kinds_are_printed_as_they_are() -> None:
    data = bytes(range(256)) + b"'\"$`%s\\\n"
    assert subprocess.run(["sh", "-c", f"printf '%b' {printf_b(data)}"], stdout=-1, check=True).stdout == data


def test_plain_text_stays_readable() -> None:
    assert printf_b(b'{"execute": "stop"}\n') == """'{"execute": "stop"}\\n'"""

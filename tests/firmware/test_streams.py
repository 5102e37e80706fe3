from __future__ import annotations

import pytest

from qstress.firmware.streams import LINE_BYTES, SerialLines

#: As OVMF 2025.02 begins its boot menu, shortened.
MENU = b'\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: loading Boot0001 "EFI Shell"\r\nBdsDxe: starting\r\n\r\nShell> '


@pytest.mark.parametrize("step", [1, 2, 7, len(MENU)])
def test_a_line_does_not_depend_on_how_it_was_cut(step: int) -> None:
    serial = SerialLines()
    told = [line for at in range(0, len(MENU), step) for line in serial.feed(MENU[at : at + step])]
    assert told == ['BdsDxe: loading Boot0001 "EFI Shell"', "BdsDxe: starting"]
    assert serial.feed(b"exit\n") == ["Shell> exit"]


def test_a_line_without_end_is_kept_as_far_as_it_is_read() -> None:
    serial = SerialLines()
    for _ in range(100):
        assert serial.feed(b"\xff" * 1000) == []
        assert len(serial._rest) <= LINE_BYTES
    assert serial.feed(b"\nnext\n") == ["\xff" * LINE_BYTES, "next"]

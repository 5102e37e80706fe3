"""The ROMs' bytes: QEMU wants whole 64 KiB, x86 starts at the last 16 of them."""

from __future__ import annotations

import pytest

from qstress.firmware.seabios import BootLog
from qstress.model import Milestone
from tools.accuracy.roms import Doing, Saying, rom


def printed(image: bytes) -> bytes:
    """What the code at the start prints: ``mov al, …`` and ``out dx, al``, again and again."""
    assert image[:4] == b"\xfa\xba\x02\x04"
    said, at = b"", 4
    while image[at] == 0xB0 and image[at + 2] == 0xEE:
        said += image[at + 1 : at + 2]
        at += 3
    return said


@pytest.mark.parametrize("doing", Doing)
@pytest.mark.parametrize(
    ("saying", "milestone"),
    [(Saying.NOTHING, Milestone.START), (Saying.BANNER, Milestone.BANNER), (Saying.PCI, Milestone.PCI)],
)
def test_a_rom_starts_prints_and_does_its_thing(saying: Saying, milestone: Milestone, doing: Doing) -> None:
    image = rom(saying, doing)
    assert len(image) == 65536
    assert image[0xFFF0] == 0xE9  # a near jump from the reset vector
    assert (0xFFF3 + int.from_bytes(image[0xFFF1:0xFFF3], "little")) % 65536 == 0
    log = BootLog()
    log.feed(printed(image))
    assert (log.milestone, log.banners) == (milestone, int(saying is not Saying.NOTHING))
    assert image[4 + 3 * len(saying.value) :].startswith(doing.value)


def test_the_triple_fault_finds_its_descriptor_and_its_code() -> None:
    image = rom(Saying.NOTHING, Doing.TRIPLE_FAULT)
    base = int.from_bytes(image[0x8022:0x8026], "little")
    descriptor = image[base - 0xF0000 + 8 :][:8]
    assert descriptor == bytes.fromhex("ffff0000009bcf00")  # flat, 32-bit code, present
    assert image[0x9000:0x9009] == bytes.fromhex("0f011d000500000f0b")  # lidt [0x500]; ud2

"""Firmware of a few bytes that does one thing, to be given to ``-bios`` (pure).

It starts where x86 starts, in real mode at CS base ffff0000, and never wakes an AP. What it prints first on the debug
port makes it look like SeaBIOS, whose milestones qstress knows; a silent one is a firmware that it knows nothing about.
"""

from __future__ import annotations

import struct
from enum import Enum

_SIZE = 64 * 1024
_BANNER = b"SeaBIOS (version accuracy)\n"
_PCI = b"PCI: No VGA devices found\n"


class Saying(Enum):
    """What a ROM prints before it does its thing."""

    NOTHING = b""
    BANNER = _BANNER
    PCI = _BANNER + _PCI


#: Offsets in the ROM, which is also seen at 0xf0000: the GDT, what is loaded into its register, 32-bit code.
_GDT, _GDT_POINTER, _CODE32, _ALIAS = 0x8000, 0x8020, 0x9000, 0xF0000
_FLAT = 0xCF9B000000FFFF  # a code segment from 0 to 4 GiB
_INTO_PROTECTED_MODE = (
    b"\x2e\x66\x0f\x01\x16" + struct.pack("<H", _GDT_POINTER)  # o32 lgdt [cs:…]
    + b"\x0f\x20\xc0\x0c\x01\x0f\x22\xc0"  # CR0 bit 0
    + b"\x66\xea" + struct.pack("<IH", _ALIAS + _CODE32, 8)  # jmp 8:…
)  # fmt: skip
#: lidt [0x500], which is zero, so that there is a handler neither for ud2 nor for what follows from that. In real mode
#: KVM's emulator would not look at the limit.
_FAULT_THRICE = b"\x0f\x01\x1d\x00\x05\x00\x00\x0f\x0b"


class Doing(Enum):
    """What a ROM does once it has printed: 16-bit code, entered with interrupts off."""

    HALT = b"\xf4\xeb\xfd"  # hlt; jmp back
    LOOP = b"\x90\xf3\x90\x90\xeb\xfa"  # nop; pause; nop; jmp back
    PORT_RESET = b"\xba\xf9\x0c\xb0\x06\xee\xf4"  # mov dx, 0xcf9; mov al, 6; out dx, al; hlt
    FILL_PIPE = b"\xba\x03\x04\xee\xeb\xfd"  # mov dx, 0x403; out dx, al; jmp back
    TRIPLE_FAULT = _INTO_PROTECTED_MODE


def rom(saying: Saying, doing: Doing) -> bytes:
    """Return the image: 64 KiB, mapped to end at 4 GiB and at 1 MiB."""
    code = b"\xfa\xba\x02\x04"  # cli; mov dx, 0x402
    code += b"".join(b"\xb0" + bytes((character,)) + b"\xee" for character in saying.value)  # mov al, …; out dx, al
    parts = {
        0: code + doing.value,
        _GDT: struct.pack("<QQ", 0, _FLAT),
        _GDT_POINTER: struct.pack("<HI", 15, _ALIAS + _GDT),
        _CODE32: _FAULT_THRICE,
        0xFFF0: b"\xe9\x0d\x00",  # the reset vector: jmp to offset 0
    }
    image = bytearray(b"\xf4" * _SIZE)
    for offset, part in parts.items():
        image[offset : offset + len(part)] = part
    return bytes(image)

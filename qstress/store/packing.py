"""Lists of small numbers as few bytes (pure): LEB128 integers, each zero followed by how many more zeros follow it."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: In LEB128 a byte is zero only where it is a whole number of its own, so runs of zeros are runs of zero bytes.
_ZEROS = re.compile(rb"\0+")
_ONE_BYTE = [bytes([number]) for number in range(0x80)]


def pack(numbers: Sequence[int]) -> bytes:
    """Return *numbers* (each >= 0) as bytes, short for small numbers and for runs of zeros.

    >>> pack([300, 0, 0, 0, 5]).hex()
    'ac02000205'
    """
    plain = b"".join([_ONE_BYTE[number] if number < 0x80 else _leb128(number) for number in numbers])
    return _ZEROS.sub(lambda zeros: b"\0" + _leb128(len(zeros[0]) - 1), plain)


def unpack(data: bytes) -> list[int]:
    """Return what :func:`pack` was given.

    :raises ValueError: *data* ends inside a number.

    >>> unpack(bytes.fromhex("ac02000205"))
    [300, 0, 0, 0, 5]
    """
    out: list[int] = []
    value = shift = 0
    zeros_follow = False
    for byte in data:
        if byte & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            continue
        value |= byte << shift
        if zeros_follow:
            out.extend([0] * value)
            zeros_follow = False
        else:
            out.append(value)
            zeros_follow = value == 0
        value = shift = 0
    if shift or zeros_follow:
        raise ValueError("packed numbers are cut off")
    return out


def fold(number: int) -> int:
    """Return a natural number for any integer, small for those near 0: 0, -1, 1, -2, … become 0, 1, 2, 3, …"""
    return -2 * number - 1 if number < 0 else 2 * number


def unfold(number: int) -> int:
    """Return what :func:`fold` was given."""
    return -(number + 1) // 2 if number & 1 else number // 2


def _leb128(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)

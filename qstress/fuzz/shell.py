"""Bytes in the words of a POSIX shell (pure)."""

from __future__ import annotations

from shlex import quote


def printf_b(data: bytes) -> str:
    """Return *data* as an argument of ``printf %b``: octal for what is no plain character (POSIX: printf, "%b")."""
    text = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else "\\n" if byte == 0x0A else f"\\0{byte:03o}"
        for byte in data
    )
    return quote(text)

"""Bytes that are no clean QMP message: cut, bent, nested, too big, not UTF-8 (pure).

QEMU's JSON parser (qobject/json-lexer.c, json-parser.c, json-streamer.c) answers each with an error that has no id and
stays usable: limits are 1,024 levels, 2 million tokens and 64 MiB. A byte 0xFF, which is in no UTF-8 text, brings it
back to its start (docs/interop: "guest-sync-delimited"), so whatever was left open ends at :data:`RESET`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

from qstress.fuzz.pool import pick

#: Ends whatever a corrupt message left open.
RESET = b"\xff\n"


def corrupt(message: bytes, rng: Random) -> bytes:
    """Return *message* (one line of valid QMP) with something wrong with its bytes."""
    return pick(rng, _WAYS)(message, rng)


def pieces(message: bytes, rng: Random) -> tuple[bytes, ...]:
    """Return *message* cut at one to four places, to be sent one after another; at every byte now and then."""
    if rng.random() < 0.1:
        cuts = [*range(min(len(message), 65)), len(message)]
    else:
        cuts = sorted({int(rng.random() * len(message)) for _ in range(1 + int(rng.random() * 4))} | {0, len(message)})
    return tuple(message[start:end] for start, end in pairwise(cuts))


def _truncated(message: bytes, rng: Random) -> bytes:
    return message[: int(rng.random() * len(message))]


def _bent(message: bytes, rng: Random) -> bytes:
    bent = bytearray(message)
    for _ in range(1 + int(rng.random() * 4)):
        bent[int(rng.random() * len(bent))] = int(rng.random() * 256)
    return bytes(bent)


def _spliced(message: bytes, rng: Random) -> bytes:
    at = int(rng.random() * len(message))
    return message[:at] + pick(rng, _TOKENS) + message[at:]


def _doubled(message: bytes, rng: Random) -> bytes:
    return _truncated(message, rng) + message


def _nested(message: bytes, rng: Random) -> bytes:
    levels = pick(rng, (10, 100, 1023, 1024, 1025, 5000))
    head, tail = pick(rng, ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")))
    return head * levels + b"1" + (tail * levels if rng.random() < 0.7 else b"") + b"\n"


def _huge(message: bytes, rng: Random) -> bytes:
    return b'{"execute": "query-status", "id": ' + pick(rng, _HUGE) + b"}\n"


def _argument(message: bytes, rng: Random) -> bytes:
    return b'{"execute": "human-monitor-command", "arguments": ' + pick(rng, _ARGUMENTS) + b"}\n"


def _key(message: bytes, rng: Random) -> bytes:
    return b'{"execute": ' + pick(rng, _TOKENS) + b', "execute": "stop", "id": "x", "id": {}, "exec-oob": "yank"}\n'


_WAYS: tuple[Callable[[bytes, Random], bytes], ...] = (
    _truncated, _truncated, _bent, _bent, _spliced, _spliced, _doubled, _nested, _huge, _argument, _key,
)  # fmt: skip
_TOKENS = (
    b"\x00", b"\x01", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xfe", b"\xff", b"\xef\xbb\xbf", b'"', b"'",
    b"\\", b"\\u", b'"\\ud800"', b'"\\u0000"', b'"\\x41"', b",", b":", b"}", b"]", b"{", b"[", b"\n", b"\r\n", b"\t",
    b"nul", b"tru", b"NaN", b"-", b"1e", b"0123", b"/* */", b"%s", b"%p", b"%i", b'"%n"', b"\x1b[A", b"\x7f",
    b"\xe2\x80\xa8",
)  # fmt: skip
_HUGE = (
    b"9" * 400, b"1e400", b"-1e400", b"1e-400", b"0." + b"3" * 1000, b"18446744073709551616", b"-9223372036854775809",
    b"1" * 70000, b'"' + b"x" * 70000 + b'"', b"[" + b"0," * 20000 + b"0]",
)  # fmt: skip
_ARGUMENTS = (
    b"null", b"[]", b'""', b"1", b"{", b'{"command-line": 1}',
    b'{"command-line": "info status", "command-line": "stop"}',
    b'{"command-line": "info status", "cpu-index": 1e1}', b'{"command-line": "\\ud83d\\ude00"}', b'{"": {}}',
    b'{"command-line": "info status", "cpu-index": -1}', b'{"command-line": "info status", "cpu-index": 99999999999}',
)  # fmt: skip

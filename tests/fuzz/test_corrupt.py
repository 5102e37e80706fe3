"""Bytes below the protocol: many kinds of wrong, and pieces that add up."""

from __future__ import annotations

import json
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from qstress.fuzz.corrupt import RESET, corrupt, pieces

MESSAGE = b'{"execute": "query-status", "arguments": {}, "id": "x"}\n'


def test_there_are_all_kinds_of_wrong() -> None:
    made = [corrupt(MESSAGE, Random(seed)) for seed in range(2000)]
    assert any(MESSAGE.startswith(each) and len(each) < len(MESSAGE) for each in made)  # truncated
    assert any(each.count(b"[") >= 5000 for each in made)  # beyond QEMU's 1,024 levels
    assert any(b"1e400" in each for each in made)
    assert any(b"\xed\xa0\x80" in each for each in made)  # half a character
    assert any(b"\x00" in each for each in made)
    assert max(map(len, made)) > 65536
    assert sum(_is_json(each) for each in made) < 600


@given(st.binary(max_size=300), st.integers(0, 1000))
def test_pieces_add_up_to_the_message(message: bytes, seed: int) -> None:
    assert b"".join(pieces(message, Random(seed))) == message


def test_a_message_is_cut_at_every_byte_now_and_then() -> None:
    counts = {len(pieces(MESSAGE, Random(seed))) for seed in range(200)}
    assert len(MESSAGE) in counts
    assert {2, 3, 4, 5} <= counts


def test_the_reset_is_no_text() -> None:
    assert not _is_json(RESET)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True

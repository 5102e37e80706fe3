from __future__ import annotations

import pytest

from qstress.emulated.frames import MOST_BYTES, Decoder, Frame, Kind

FRAMES = [Frame(Kind.HELLO, body=b"{}"), Frame(Kind.OUTPUT, 7, b"x" * 1000), Frame(Kind.INPUT, 2**32 - 1)]


def test_a_stream_cut_anywhere_gives_the_same_frames() -> None:
    stream = b"".join(frame.encoded() for frame in FRAMES)
    for size in (1, 3, 9, 10, len(stream)):
        decoder = Decoder()
        got = [frame for at in range(0, len(stream), size) for frame in decoder.feed(stream[at : at + size])]
        assert got == FRAMES


def test_what_is_no_stream_of_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="frame of"):
        list(Decoder().feed(b"O" + (0).to_bytes(4, "big") + (MOST_BYTES + 1).to_bytes(4, "big")))
    with pytest.raises(ValueError, match="Kind"):
        list(Decoder().feed(b"?" + bytes(8)))

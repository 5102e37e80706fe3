"""Growth, in every round and alike."""

from __future__ import annotations

import pytest

from qstress.fuzz.ops import Footprint, MeasureFootprint, Op, Result
from qstress.fuzz.oracles.leak import REPEATS_AGAIN, Growth, LeakOracle, growth
from tests.fuzz.oracles.samples import Judged, send
from tests.fuzz.samples import reply

PAGE = 4096


def looks(*anon_pages: int, descriptors: tuple[int, ...] = (20, 20, 20, 20)) -> list[Footprint]:
    return [Footprint(fds, pages * PAGE) for pages, fds in zip(anon_pages, descriptors, strict=True)]


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        (looks(0, 100, 100, 100), None),  # the first round warms up
        (looks(0, 100, 102, 104), None),  # 170 bytes each: noise
        (looks(0, 48, 96, 144), Growth(4096.0, 0.0)),
        (looks(0, 48, 96, 96), None),  # not in every round
        (looks(0, 48, 96, 400), None),  # not alike
        (looks(9, 9, 9, 9, descriptors=(20, 68, 116, 164)), Growth(0.0, 1.0)),
        (looks(9, 9, 9, 9, descriptors=(20, 21, 22, 23)), None),
        (looks(9, 9, 9, 9, descriptors=(20, 0, 0, 0)), None),  # it is gone
        ([], None),
    ],
)
def test_growth_must_be_in_every_round_and_alike(seen: list[Footprint], found: Growth | None) -> None:
    assert growth(seen, 48) == found


def test_growth_counts_when_it_was_probed_again() -> None:
    seen = [Footprint(20, round_ * REPEATS_AGAIN * PAGE) for round_ in range(4)]
    ops: list[Op] = [send("query-status"), *(MeasureFootprint() for _ in seen)]
    results: list[Result] = [reply("q1", {"running": True, "status": ""}), *seen]
    assert Judged(LeakOracle).faults(ops, results, "probe") == []
    (fault,) = Judged(LeakOracle).faults(ops, results, "probe-again")
    assert (fault.kind, fault.title) == ("leak", "query-status leaks memory")
    assert fault.because[0] == "each costs 4096 bytes and 0.00 descriptors, in every round"

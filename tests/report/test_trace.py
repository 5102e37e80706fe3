from __future__ import annotations

import json

import pytest

from qstress.report import trace
from qstress.report.trace import Trace, now
from qstress.stats.tally import Tally
from tests.stats.samples import LOST, OK, build, cells, feed


def new_tally() -> Tally:
    return Tally(cells(build("a"), build("b")), [("a", "b")])


def grown(blocks: int, *, since: Trace | None = None, begin: int = 0) -> tuple[Trace, Tally]:
    """A trace of *blocks* blocks; *since* took note of the first *begin* of them already."""
    tally, made = new_tally(), since or Trace()
    for block in range(blocks):
        feed(tally, [LOST if block % 3 == 0 else OK], [OK])
        if block >= begin:
            made.note(tally)
    return made, tally


def test_a_point_is_where_the_evidence_stands() -> None:
    made, tally = grown(4)
    assert [(p.blocks, p.trials) for p in made.points] == [(1, 2), (2, 4), (3, 6), (4, 8)]
    assert made.points[-1] == now(tally)
    assert made.points[-1].log10s == (tally.evidence_log10("a", "b")[0],)


def test_points_stay_few_and_evenly_spaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "POINTS_MAX", 8)
    made, _ = grown(100)
    assert made.stride == 16
    assert [point.blocks for point in made.points] == [16, 32, 48, 64, 80, 96]


def test_a_trace_that_was_kept_goes_on_as_if_nothing_had_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "POINTS_MAX", 8)
    half, _ = grown(21)
    again = Trace.load(json.loads(json.dumps(half.dump())))
    assert again == half
    assert grown(50, since=again, begin=21)[0] == grown(50)[0]


def test_a_run_that_compares_nothing_has_no_trace() -> None:
    made, tally = Trace(), Tally(cells(build("a")))
    made.note(tally)
    assert made.points == []

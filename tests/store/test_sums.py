from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from qstress.model import CommandCount, Verdict
from qstress.stats.compare import compare
from qstress.stats.tally import Tally
from qstress.store import sums
from tests.stats.samples import LOST, OK, REPLAYED, RIG, build, cells, feed_runs

BUILDS = (build("a"), build("b"), build("c"))
PAIRS = [("a", "b"), ("a", "c")]


def new_tally(process_trials: int = 3) -> Tally:
    return Tally(cells(*BUILDS, smp=(2, 4), process_trials=process_trials), PAIRS)


runs = st.lists(st.lists(st.sampled_from([OK, OK, LOST, REPLAYED, RIG]), max_size=3), max_size=4)


@effort(deadline=None)
@given(runs, st.sampled_from([0, 3]))
def test_sums_come_back_whole_and_can_be_added_to(of_a: list[list[Verdict]], cell: int) -> None:
    of_b = [[OK] * len(run) for run in of_a]
    more = {"boot_s": 0.3, "duty_cycle": 0.1, "commands": (CommandCount("x", 3, hammered_s=0.7),), "latencies": (1, 2)}
    live = new_tally()
    feed_runs(live, of_a, of_b, cell, **more)
    again = new_tally()
    sums.load_tally(again, json.loads(json.dumps(sums.dump_tally(live))))
    for tally in (live, again):
        feed_runs(tally, [[LOST, OK]], [[OK, REPLAYED]], cell, **more)
    assert sums.dump_tally(again) == sums.dump_tally(live)
    for pair in PAIRS:
        assert compare(again, *pair, alpha=1e-3) == compare(live, *pair, alpha=1e-3)


def test_what_has_been_seen_so_far_is_no_block_again() -> None:
    live, again = new_tally(1), new_tally(1)
    feed_runs(live, [[LOST]], [[OK]])
    sums.load_tally(again, sums.dump_tally(live))
    again.blocks = 0
    with pytest.raises(ValueError, match="block 0 comes after block 0"):
        feed_runs(again, [[LOST]], [[OK]])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content["cells"].pop(),
        lambda content: content["cells"][0].pop("runs"),
        lambda content: content["cells"][0]["classes"].append(["no-such-class", 1]),
        lambda content: content["pairs"].reverse(),
        lambda content: content.update(cells=[None] * 6),
    ],
)
def test_damaged_sums_are_refused(spoil: Any) -> None:
    content: Any = json.loads(json.dumps(sums.dump_tally(new_tally())))
    spoil(content)
    with pytest.raises((ValueError, KeyError, TypeError)):
        sums.load_tally(new_tally(), content)


def test_the_code_is_all_that_adds_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    names = ("stats/a.py", "report/trace.py", "store/sums.py", "stats/notes.txt", "model.py")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr("qstress.store.sums.resources.files", lambda _: tmp_path)
    seen = []
    for changed in ("", *names):
        if changed:
            (tmp_path / changed).write_text("changed")
        sums.code.cache_clear()
        seen.append(sums.code())
    monkeypatch.setattr(sums, "LATENCY_BUCKETS_S", (1.0,))
    sums.code.cache_clear()
    seen.append(sums.code())
    sums.code.cache_clear()
    assert [before != now for before, now in zip(seen, seen[1:], strict=False)] == [True] * 3 + [False] * 2 + [True]

from __future__ import annotations

import json
from pathlib import Path

from qstress.recorded.listing import listing_document, listing_text
from qstress.store.read import RunEntry, list_runs
from tests.recorded.old_runs import FUZZ, RACE, old_runs

RUNS = [
    RunEntry("run-b", Path("runs/run-b"), "b", "s", None, "killed", None, 1_000_000, 12, ()),
    RunEntry("run-a\x1b", Path("runs/a"), "a", "s", "2026-01-02T04:00:00+00:00", "trials", 5, 40, 3, ("inconclusive",)),
]


def test_runs_are_a_table_with_numbers_to_the_right() -> None:
    assert listing_text(RUNS).splitlines() == [
        "run     kind  finished                   reason  exit     trials  hangs  decision",
        "run-b   soak                             killed        1,000,000     12",
        "run-a   soak  2026-01-02T04:00:00+00:00  trials     5         40      3  inconclusive",
    ]


def test_a_fuzzing_session_is_one_of_them(tmp_path: Path) -> None:
    old = old_runs(tmp_path)
    session, soak = listing_text(list_runs(old)).splitlines()[1:]
    assert session.split() == [FUZZ, "fuzz", "2026-11-30T08:43:56+00:00", "duration", "1", "4", "2", "findings"]
    assert soak.split() == [
        RACE, "soak", "2026-11-30T08:43:44+00:00", "decided", "0", "800", "39", "candidate-better",
    ]  # fmt: skip
    (found, _) = listing_document(list_runs(old))
    assert (found["kind"], found["findings"], found["trials"]) == ("fuzz", 2, 4)


def test_no_runs_are_said_to_be_none() -> None:
    assert listing_text([]) == "no recorded runs\n"


def test_the_same_as_values() -> None:
    (killed, done) = json.loads(json.dumps(listing_document(RUNS)))
    assert (killed["run"], killed["exit_code"], killed["trials"], killed["path"]) == (
        "run-b",
        None,
        1_000_000,
        "runs/run-b",
    )
    assert (done["decisions"], done["finished"]) == (["inconclusive"], "2026-01-02T04:00:00+00:00")

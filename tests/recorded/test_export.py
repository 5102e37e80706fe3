"""A run as a table, and that every form tells the same of it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from qstress.errors import ConfigError
from qstress.model import Confidence, FindingClass, Outcome, Verdict
from qstress.recorded.export import COLUMNS, exported
from qstress.recorded.reports import files_of, printed, summary_of
from qstress.recorded.run import open_recorded
from tests.docs.markdown import ROOT, code, rows, section
from tests.recorded.old_runs import FUZZ, RACE, old_runs
from tests.recorded.samples import Recording, recorded
from tests.report.html.samples import HOSTILE, settings, strata
from tests.report.tap_readers import by_avocado, by_meson, by_prove
from tests.stats.samples import CRASH, LOST, OK, REPLAYED, RIG, UNKNOWN

EACH = {
    1: OK,
    2: LOST,
    3: replace(CRASH, title=f'{HOSTILE}\n"x", y', signature="odd"),
    4: Verdict(Outcome.MONITOR_STALL, "no reply", FindingClass.MONITOR_STALL, "stall", Confidence.LIKELY),
    5: Verdict(Outcome.GUEST_PANIC, "panicked", FindingClass.GUEST_PANIC, "panic"),
    6: REPLAYED,
    7: UNKNOWN,
    8: RIG,
}


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader("".join(exported(path, "csv")).splitlines()))


def test_csv_junit_and_tap_agree_on_a_run_with_each_outcome_in_it(tmp_path: Path) -> None:
    asked = settings(("only",), strata=strata(tuple(EACH)), gate=None)
    run = Recording(tmp_path, asked)
    for _ in range(3 * len(EACH)):
        (trial,) = run.plan.block(run.blocks)
        run.block([EACH[trial.cell.stratum.shape.smp]])
    run.end(exit_code=1)
    counted = Counter((row["smp"], row["outcome"]) for row in table(run.path))
    assert counted == {(str(smp), verdict.outcome.value): 3 for smp, verdict in EACH.items()}
    assert {outcome for _, outcome in counted} == {outcome.value for outcome in Outcome}

    # What the rules of the cases make of the table alone, without the code that made the other two.
    ends = []
    for smp in EACH:
        ((outcome,),) = [{row["outcome"] for row in table(run.path) if row["smp"] == str(smp)}]
        ends.append({"ok": "ok", "unknown": "skip", "rig": "error"}.get(outcome, "failure"))

    opened = open_recorded(run.path)
    made = ElementTree.fromstring(files_of(opened)["junit.xml"]).iter("testcase")
    words = {"skipped": "skip", "system-out": "ok"}
    junit = {str(case.get("name")): words.get(case[0].tag, case[0].tag) for case in made}
    assert list(junit.values()) == ends
    assert [int(name.split()[1]) for name in junit] == list(EACH)

    document = printed(opened, "tap")
    for read in (by_meson(document), by_avocado(document), by_prove(document, tmp_path)):
        assert read == [{"error": "not ok", "failure": "not ok"}.get(end, end) for end in ends]
    assert [f"cell.only {name}" in document for name in junit] == [True] * len(EACH)

    assert [sum(cell["outcomes"].values()) for cell in json.loads(json.dumps(summary_of(opened)))["cells"]] == [3] * 8


def test_both_forms_hold_the_same(tmp_path: Path) -> None:
    path = recorded(tmp_path, [(LOST, OK), (RIG, REPLAYED)]).path
    lines = [json.loads(line) for line in exported(path, "jsonl")]
    assert [tuple(line) for line in lines] == [COLUMNS] * 4
    as_text = [
        {key: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
         for key, value in line.items()}
        for line in lines
    ]  # fmt: skip
    assert table(path) == as_text
    (lost,) = [line for line in lines if line["outcome"] == "hang"]
    assert (lost["build"], lost["class"], lost["evidence"]) == ("unpatched", "lost-init", f"evidence/{lost['trial']}")
    assert (lost["commands"], lost["boot_s"], lost["reply_p50_s"], lost["reply_p99_s"]) == (
        100 + lost["trial"] % 7, None, 0.005, 0.02,
    )  # fmt: skip


def test_a_finding_of_a_block_that_was_never_finished_is_told_apart(tmp_path: Path) -> None:
    run = Recording(tmp_path)
    run.block((OK, OK))
    run.block((LOST, OK), finish=False)
    run.killed()
    assert [(row["finished"], row["outcome"], row["duration_s"] != "") for row in table(run.path)] == [
        ("true", "ok", True), ("true", "ok", True), ("false", "hang", False),
    ]  # fmt: skip


def test_a_recorded_run_counts_as_its_summary(tmp_path: Path) -> None:
    path = old_runs(tmp_path) / RACE
    cells = json.loads((path / "summary.json").read_text())["cells"]
    found = Counter((row["build"], row["outcome"]) for row in table(path))
    assert found == {(c["build"], o): n for c in cells for o, n in c["outcomes"].items() if n}


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a fuzzing session"):
        list(exported(old_runs(tmp_path) / FUZZ, "csv"))


def test_the_reference_tells_every_column() -> None:
    text = (ROOT / "docs" / "reference.md").read_text()
    told = [name for row in rows(section(text, "The columns of an export")) for name in code(row[0])]
    assert sorted(told) == sorted(COLUMNS)

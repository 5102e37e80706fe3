from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.errors import RigError
from qstress.recorded.reports import add_step_summary, files_of, printed, summary_of, write_files
from qstress.recorded.run import open_recorded
from tests.recorded.old_runs import RACE, old_runs
from tests.recorded.samples import recorded
from tests.stats.samples import LOST, OK, REPLAYED


def test_the_reports_are_written_into_the_folder_of_the_run(tmp_path: Path) -> None:
    run = recorded(tmp_path, [(LOST, OK)] * 30)
    assert write_files(run) == [run.path / "report.html", run.path / "junit.xml"]
    assert (run.path / "report.html").read_text() == files_of(run)["report.html"]
    assert "patched cures lost-init" in (run.path / "report.html").read_text()
    assert (run.path / "junit.xml").stat().st_mode & 0o777 == 0o600


def test_a_summary_made_again_is_the_one_that_was_written(tmp_path: Path) -> None:
    run = recorded(tmp_path, [(LOST, OK), (OK, REPLAYED)] * 10)
    written = json.loads((run.path / "summary.json").read_bytes())
    assert json.loads(json.dumps(summary_of(run))) == written


def test_pictures_and_stories_lie_with_the_evidence(tmp_path: Path) -> None:
    run = recorded(tmp_path, [(LOST, OK)])
    ((folder,),) = [finding.evidence for finding in run.totals.tally.findings]
    assert "Timeline" not in files_of(run)["report.html"]
    (run.path / folder / "timeline.svg").write_text("<svg/>")
    (run.path / folder / "story.txt").write_bytes(b"It stood \xff still.")
    document = files_of(run)["report.html"]
    assert "Timeline: lost-init" in document
    assert "It stood \ufffd still." in document


@pytest.mark.parametrize(
    ("form", "begin"),
    [
        ("text", "gate: patched: better than unpatched in lost-init: undecided: 10^0.0 of 10^3 needed: inc"),
        ("json", '{\n "format": 2'),
        ("tap", "TAP version 13\n1..3\n"),
        ("github", "gate: patched: better than unpatched"),
    ],
)
def test_a_run_is_printed_as_asked(tmp_path: Path, form: str, begin: str) -> None:
    run = recorded(tmp_path, [(LOST, OK)], exit_code=5)
    assert printed(run, form).startswith(begin)
    assert printed(run, form).endswith("\n")
    errors = [line for line in printed(run, form).splitlines() if line.startswith("::error title=gate better_than::")]
    assert len(errors) == (form == "github")


def test_the_step_summary_is_added_to(tmp_path: Path) -> None:
    run = recorded(tmp_path, [(LOST, OK)])
    (tmp_path / "summary.md").write_text("before\n")
    add_step_summary(run, tmp_path / "summary.md")
    assert (tmp_path / "summary.md").read_text().startswith("before\n### qstress nightly")
    with pytest.raises(RigError, match="cannot record"):
        add_step_summary(run, tmp_path)


def test_a_folder_that_is_gone_is_a_rig_error(tmp_path: Path) -> None:
    run = recorded(tmp_path, [(LOST, OK)])
    run.path.rename(tmp_path / "elsewhere")
    with pytest.raises(RigError, match="cannot record"):
        write_files(run)
    assert open_recorded(tmp_path / "elsewhere").facts.run == "elsewhere"


def test_an_old_run_is_reported_with_one_entry_a_bug(tmp_path: Path) -> None:
    run = open_recorded(old_runs(tmp_path) / RACE)
    lost, replayed = [line for line in printed(run, "text").splitlines() if line.startswith("finding:")]
    assert lost == (
        "finding: lost-init, unpatched smp 4, seen 39 times: lost INIT: an AP never left the reset vector while the "
        f"boot CPU spins: qstress repro {run.facts.folder}/evidence/2"
    )
    assert replayed.startswith("finding: replayed-init, unpatched smp 4, seen 2 times: replayed INIT: the firmware")
    document = files_of(run)["report.html"]
    assert document.count("<article>") == 2
    assert "Timeline: lost-init" in document
    assert 'href="evidence/245/"' in document


def test_the_text_has_the_kernel_log_that_the_soak_printed(tmp_path: Path) -> None:
    run = open_recorded(old_runs(tmp_path) / RACE)
    assert printed(run, "text").splitlines()[-2] == "host kernel log: quiet, 0 records"
    report = {"title": "BUG: x", "kind": "bug", "count": 2, "trials": [], "confidence": "likely"}
    loud = replace(run, host_log={**run.host_log, "reports": [report]})
    assert printed(loud, "text").splitlines()[:2] == [
        "host kernel log: 1 complaint(s), 0 records",
        "  2x BUG: x (likely)",
    ]
    assert "host kernel log" not in printed(replace(run, host_log={}), "text")

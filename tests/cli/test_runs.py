"""The commands of runs, on recorded ones."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.command import qstress
from tests.recorded.samples import recorded
from tests.stats.samples import LOST, OK


def test_a_recorded_run_is_reported_compared_and_listed(tmp_path: Path) -> None:
    first = recorded(tmp_path, [(LOST, OK)], hour=1).path
    second = recorded(tmp_path, [(LOST, OK)] * 30, hour=2).path
    done = qstress("report", str(second), "--format", "json")
    assert (done.returncode, done.stderr.splitlines()) == (0, [f"{second}/report.html", f"{second}/junit.xml"])
    assert json.loads(done.stdout)["compare"]["decision"] == "candidate-better"
    assert (second / "report.html").read_text().startswith("<!doctype html>")
    assert [qstress("compare", str(run)).returncode for run in (first, second)] == [5, 0]
    across = qstress("compare", str(first), str(second))
    assert (across.returncode, "not interleaved" in across.stdout) == (0, True)
    listed = json.loads(qstress("runs", "--runs-dir", str(tmp_path), "--format", "json").stdout)
    assert [run["run"] for run in listed] == [second.name, first.name]
    assert qstress("runs", "--runs-dir", str(tmp_path)).stdout.splitlines()[1].startswith(second.name)


def test_tap_is_the_only_thing_on_stdout(tmp_path: Path) -> None:
    done = qstress("report", str(recorded(tmp_path, [(LOST, OK)]).path), "--format", "tap")
    assert done.stdout.splitlines()[:2] == ["TAP version 13", "1..3"]
    assert all(line.startswith(("#", "ok ")) for line in done.stdout.splitlines()[2:])


def test_a_run_is_exported_as_a_table(tmp_path: Path) -> None:
    run = recorded(tmp_path, [(LOST, OK)]).path
    lines = qstress("export", str(run)).stdout.splitlines()
    assert (lines[0].split(",")[:4], len(lines)) == (["trial", "block", "finished", "build"], 3)
    objects = [json.loads(line) for line in qstress("export", str(run), "--format", "jsonl").stdout.splitlines()]
    assert sorted(each["outcome"] for each in objects) == ["hang", "ok"]
    assert qstress("export", str(tmp_path)).returncode == 2


def test_github_gets_errors_and_a_step_summary(tmp_path: Path) -> None:
    run = recorded(tmp_path, [(LOST, OK)], exit_code=5).path
    summary = tmp_path / "step.md"
    done = qstress("report", str(run), "--format", "github", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 0
    assert "\n::error title=gate better_than::" in done.stdout
    assert summary.read_text().startswith("### qstress nightly")
    assert "::error" in qstress("report", str(run), "--format", "github", GITHUB_STEP_SUMMARY="").stdout

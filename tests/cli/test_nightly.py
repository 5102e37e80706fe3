"""``qstress nightly`` as a timer calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import qstress


def test_what_cannot_be_soaked_is_told_and_passed_on(tmp_path: Path) -> None:
    done = qstress("nightly", "-c", "nigthly", "--state", "kept", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'nightly'?" in done.stderr
    assert (
        done.stdout
        == "nightly: exit 2: the configuration is wrong and nothing was started: qstress config check nigthly\n"
    )
    assert (tmp_path / "kept/last/printed.txt").read_text() == done.stdout
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["last", "metrics", "runs"]


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = qstress("nightly", NIGHTLY_STATE=str(tmp_path / "file"))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.count("\n") == 1
    assert f"{tmp_path}/file" in done.stderr


@pytest.mark.qemu
def test_a_night_of_a_shipped_configuration(tmp_path: Path) -> None:
    kept = {"NIGHTLY_CONFIG": "injected", "NIGHTLY_STATE": "kept"}
    done = qstress("nightly", "--set", "stop.trials=4", "--set", "guest.smp=2", cwd=tmp_path, **kept)
    assert done.stdout.splitlines()[-1].startswith(f"nightly: exit {done.returncode}: ")
    (line,) = (tmp_path / "kept/history.jsonl").read_text().splitlines()
    assert json.loads(line)["exit_code"] == done.returncode
    assert {"summary.json", "report.html", "junit.xml"} <= {path.name for path in (tmp_path / "kept/last").iterdir()}
    assert [path.name for path in (tmp_path / "kept/metrics").iterdir()] == ["qstress-injected.prom"]

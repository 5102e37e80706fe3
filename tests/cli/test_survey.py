"""``qstress survey``: what it refuses, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import qstress


@pytest.mark.qemu
@pytest.mark.parametrize("arguments", [("--accel", "tcg"), ("--accel", "tcg", "--arg=-Mkernel-irqchip=off")])
def test_guests_that_are_in_no_danger_are_not_surveyed(arguments: tuple[str, ...]) -> None:
    done = qstress("survey", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is nothing to survey. Not in danger: guests under TCG" in done.stderr


def test_a_line_that_means_nothing_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("info cpus\nvirsh dance\n")
    done = qstress("survey", "--monitoring", str(path))
    assert done.returncode == 2
    assert f"{path}:2: not a habit" in done.stderr


@pytest.mark.qemu
@pytest.mark.kvm
@pytest.mark.timeout(240)
def test_monitoring_that_can_hang_a_guest_is_exit_1(tmp_path: Path) -> None:
    path, page = tmp_path / "mine", tmp_path / "page.html"
    path.write_text("info registers -a\nvirsh domstate\n")
    done = qstress("survey", "--monitoring", str(path), "--bringups=0", "-q", "--format=json", f"--html={page}")
    assert done.returncode == 1, done.stderr
    survey = json.loads(done.stdout)
    assert {each["command"]: each["answer"] for each in survey["commands"]} == {
        "info registers -a": "all", "query-status": "safe",
    }  # fmt: skip
    assert "info registers -a" in page.read_text()
    path.write_text("virsh domstate\n")
    assert qstress("survey", "--monitoring", str(path), "--bringups=0", "-q").returncode == 0

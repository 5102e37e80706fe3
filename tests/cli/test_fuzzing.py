"""The commands of fuzzing, as far as they refuse."""

from __future__ import annotations

from pathlib import Path

from tests.cli.command import qstress


def test_a_configuration_that_cannot_be_fuzzed_starts_nothing(tmp_path: Path) -> None:
    done = qstress("fuzz", "race", "--runs-dir", str(tmp_path / "runs"))
    assert done.returncode == 2
    assert "smpscan" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_what_is_no_finding_is_not_reduced(tmp_path: Path) -> None:
    done = qstress("reduce", str(tmp_path))
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr

"""pytest, run with a soak among its tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHORT = {"QSTRESS_GUEST__ACCEL": "tcg", "QSTRESS_GUEST__SMP": "2", "QSTRESS_STOP__TRIALS": "2"}


def run_pytest(folder: Path, *arguments: str, env: Mapping[str, str] = SHORT) -> tuple[int, str]:
    """Return exit code and output of a pytest that takes the plugin from this checkout."""
    plugin = () if _installed() else ("-p", "qstress.pytest_plugin")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-rA", *plugin, "--qstress", "quickstart.yaml", *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(found.value == "qstress.pytest_plugin" for found in entry_points(group="pytest11"))


@pytest.mark.qemu
def test_each_case_of_one_soak_is_a_test_beside_the_others(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    code, said = run_pytest(tmp_path)
    assert (code, "2 passed, 1 skipped" not in said, "3 passed, 1 skipped" in said) == (0, True, True), said
    assert "qstress/quickstart.yaml::gate better_than SKIPPED" in said
    assert "hang or restart 0/1" in said
    assert len(list((tmp_path / "runs").iterdir())) == 1


@pytest.mark.qemu
def test_a_run_that_fails_fails_its_case(tmp_path: Path) -> None:
    faulty = {"QSTRESS_BUILDS__FIX_IMITATED__INJECT": "{lost_ap: 1.0, accel: tcg}"}
    absolute = {"QSTRESS_GATE": "{build: fix-imitated, max_hang_rate: 0.01}"}
    code, said = run_pytest(tmp_path, "-k", "gate", env={**SHORT, **faulty, **absolute, "QSTRESS_STOP__TRIALS": "4"})
    assert (code, "FAILED qstress/quickstart.yaml::gate max_hang_rate - Failed: hang" in said) == (1, True), said
    assert "::gate max_hang_rate, control SKIPPED" in said
    assert "2 deselected" in said


@pytest.mark.qemu
def test_cases_are_collected_without_a_guest(tmp_path: Path) -> None:
    code, said = run_pytest(tmp_path, "--collect-only", "-k", "cell")
    assert (code, said.count("<SoakCase cell."), said.count("<SoakCase gate")) == (0, 2, 0), said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        ((), {"QSTRESS_SEED": "x"}, "--qstress: environment QSTRESS_SEED: seed: 'x' is not"),
        ((), {"QEMU_TEST_QEMU_BINARY": "/nowhere"}, "--qstress: builds.unpatched.binary: /nowhere does not exist"),
        (("--qstress", "none.yaml"), {}, "--qstress: none.yaml: there is no such file"),
        (("-n", "2"), {}, "run them without pytest-xdist"),
    ],
)
def test_what_cannot_be_collected_is_told_in_a_line(
    tmp_path: Path, arguments: tuple[str, ...], env: Mapping[str, str], words: str
) -> None:
    code, said = run_pytest(tmp_path, *arguments, env={**SHORT, **env})
    assert (code != 0, words in said) == (True, True), said

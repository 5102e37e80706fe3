"""The nightly workflow: GitHub's schema takes it, and its steps are what the docs promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/nightly.yml"
STEPS: list[dict[str, Any]] = yaml.safe_load(WORKFLOW.read_text())["jobs"]["soak"]["steps"]


def check_jsonschema(*arguments: str | Path) -> None:
    """Validate against a schema that check-jsonschema carries with it: no network."""
    program = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_github_takes_it() -> None:
    check_jsonschema("--builtin-schema", "vendor.github-workflows", WORKFLOW)
    check_jsonschema("--builtin-schema", "custom.github-workflows-require-timeout", WORKFLOW)


@pytest.mark.parametrize("step", [step for step in STEPS if "run" in step], ids=lambda step: str(step.get("name")))
def test_its_scripts_are_shell(step: dict[str, Any]) -> None:
    done = subprocess.run(["bash", "-n"], input=step["run"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "${{" not in step["run"], "an expression in a script is an injection"


def test_what_it_found_is_kept_also_when_the_gate_fails() -> None:
    after = STEPS[next(i for i, step in enumerate(STEPS) if "packaging/nightly.py" in step.get("run", "")) + 1 :]
    assert [step["uses"].partition("@")[0] for step in after] == ["actions/cache/save", "actions/upload-artifact"]
    assert all(step["if"] == "${{ !cancelled() }}" for step in after)


def test_everybody_may_use_kvm() -> None:
    assert any('KERNEL=="kvm"' in step.get("run", "") and 'MODE="0666"' in step["run"] for step in STEPS)

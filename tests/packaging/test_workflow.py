"""The workflows: GitHub's schema takes them, and their steps are what the docs promise."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
#: What GitHub's Ubuntu image brings, and installing again would be of no use.
PREINSTALLED = {"chromium", "python3"}


def job(name: str) -> dict[str, Any]:
    """Return the one job of a workflow."""
    ((_, only),) = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())["jobs"].items()
    return dict(only)


def steps(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = job(name)["steps"]
    return found


SCRIPTS = [
    pytest.param(step["run"], id=f"{path.stem}: {step['name']}")
    for path in WORKFLOWS
    for step in steps(path.stem)
    if "run" in step
]


def check_jsonschema(*arguments: str | Path) -> None:
    """Validate against a schema that check-jsonschema carries with it: no network."""
    program = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_github_takes_them() -> None:
    assert [path.stem for path in WORKFLOWS] == ["check", "nightly", "release"]
    check_jsonschema("--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
    check_jsonschema("--builtin-schema", "custom.github-workflows-require-timeout", *WORKFLOWS)


def test_github_takes_the_issue_forms() -> None:
    folder = ROOT / ".github/ISSUE_TEMPLATE"
    forms = sorted(folder.iterdir())
    assert [path.stem for path in forms] == ["bug", "false_alarm", "feature"]
    check_jsonschema("--builtin-schema", "vendor.github-issue-forms", *forms)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_they_may_only_read_and_their_actions_are_pinned(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in job(path.stem)
    actions = [step["uses"] for step in steps(path.stem) if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w/-]+@v\d+", action) for action in actions), actions


@pytest.mark.parametrize("script", SCRIPTS)
def test_their_scripts_are_shell(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "${{" not in script, "an expression in a script is an injection"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_everybody_may_use_kvm(path: Path) -> None:
    runs = [step.get("run", "") for step in steps(path.stem)]
    assert any('KERNEL=="kvm"' in run and 'MODE="0666"' in run for run in runs)


def test_every_push_and_pull_request_runs_the_gate() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text())
    assert {"push", "pull_request"} <= set(workflow[True])  # YAML 1.1 reads the key `on` as true
    assert steps("check")[-1]["run"] == "bash .ci/run"


def test_the_gate_finds_what_it_asks_for() -> None:
    asked = re.findall(r"(?:^|\|\|) *(?:need \S+|lacks) ([a-z][\w.-]+)", (ROOT / ".ci/host").read_text(), re.M)
    install = next(step["run"] for step in steps("check") if "apt-get install" in step.get("run", ""))
    assert "seabios" in asked
    assert set(asked) - set(install.split()) <= PREINSTALLED


@pytest.mark.parametrize(
    ("manager", "names"),
    [
        ("dnf", ["qemu-kvm-core", "util-linux", "musl-gcc", "libvirt-client"]),
        ("apt-get", ["qemu-system-x86", "util-linux", "musl-tools", "libvirt-clients"]),
    ],
)
def test_a_bare_host_is_asked_for_packages_by_its_own_names(tmp_path: Path, manager: str, names: list[str]) -> None:
    """Nothing but a package manager, which only says what it was told."""
    for name, script in ((manager, f'echo "$@" >>{tmp_path}/told'), ("id", "echo 0"), ("python3", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    subprocess.run(["/bin/sh", ".ci/host", "test"], env={"PATH": str(tmp_path)}, cwd=ROOT, check=True)
    told = (tmp_path / "told").read_text().split()
    assert "install" in told
    assert [name for name in names if name not in told] == []


def test_what_a_night_found_is_kept_also_when_the_gate_fails() -> None:
    nightly = steps("nightly")
    after = nightly[next(i for i, step in enumerate(nightly) if "qstress nightly" in step.get("run", "")) + 1 :]
    assert [step["uses"].partition("@")[0] for step in after] == ["actions/cache/save", "actions/upload-artifact"]
    assert all(step["if"] == "${{ !cancelled() }}" for step in after)


def test_a_release_asks_the_installed_wheel_on_every_python_that_it_is_for() -> None:
    install = next(
        step["with"]["python-version"] for step in steps("release") if "setup-python" in step.get("uses", "")
    )
    script = next(step["run"] for step in steps("release") if ".ci/installed" in step.get("run", ""))
    versions = ["3.11", "3.12", "3.13", "3.14"]
    assert sorted(install.split()) == versions
    assert re.findall(r"python([\d.]+)", script) == versions
    asked: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert asked == f">={versions[0]}"

"""The hooks before a commit: they fetch nothing, and their commands exist."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
REPOS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
HOOKS: list[dict[str, Any]] = [hook for repo in REPOS for hook in repo["hooks"]]


def test_nothing_is_fetched() -> None:
    assert [repo["repo"] for repo in REPOS] == ["local"]
    assert {hook["language"] for hook in HOOKS} == {"system"}


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: str(hook["id"]))
def test_its_command_exists(hook: dict[str, Any]) -> None:
    program, *arguments = shlex.split(hook["entry"])
    assert Path(program).parent == Path(".venv/bin")
    assert (Path(sys.executable).parent / Path(program).name).exists()
    paths = [word for word in arguments if "/" in word and not word.startswith((".venv/", "-"))]
    assert all((ROOT / path).exists() for path in paths)


def test_it_asks_what_the_gate_asks() -> None:
    gate = (ROOT / "Makefile").read_text()
    for hook in HOOKS:
        if hook["id"] != "documents":
            assert Path(shlex.split(hook["entry"])[0]).name in gate

from __future__ import annotations

import pytest
from click.testing import CliRunner

from qstress.cli import cli
from qstress.cli.emulated import kernel_of
from qstress.errors import ConfigError


def test_what_host_takes() -> None:
    assert kernel_of("emulated") == "auto"
    assert kernel_of("emulated:6.12") == "6.12"
    with pytest.raises(ConfigError, match="--host moon: there are this, emulated"):
        kernel_of("moon")


def test_the_commands_are_there() -> None:
    for command in (["host", "fetch"], ["host", "list"], ["host", "run"], ["check"], ["doctor"], ["repro"]):
        said = CliRunner().invoke(cli, [*command, "--help"])
        assert said.exit_code == 0
    assert "--host" in said.output


def test_an_empty_cache_lists_nothing(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert CliRunner().invoke(cli, ["host", "list"], standalone_mode=False).output == ""

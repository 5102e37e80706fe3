from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from qstress.cli import cli
from qstress.config.settings import FleetSettings
from qstress.errors import ConfigError
from qstress.host.worker import WorkerFacts
from qstress.run import fleet_check as module
from qstress.run.fleet_check import FleetSurvey
from tests.host.test_worker import facts

CONFIG = """
version: 1
name: f
builds: {only: {binary: /bin/true}}
guest: {accel: tcg}
stop: {trials: 2}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("qstress.config.binary.qemu_version", lambda path, env: "7.2.22")
    path = tmp_path / "f.yaml"
    path.write_text(CONFIG)
    return path


def looked(monkeypatch: pytest.MonkeyPatch, told: WorkerFacts | str) -> list[FleetSettings]:
    asked: list[FleetSettings] = []

    def survey_fleet(fleet: FleetSettings, binaries: object = ()) -> FleetSurvey:
        asked.append(fleet)
        return FleetSurvey({"w": facts(), "x": told}, {"w": 0.0, "x": 0.0})

    monkeypatch.setattr(module, "survey_fleet", survey_fleet)
    return asked


def test_a_fleet_of_which_one_cannot_run_it_ends_with_4(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = looked(monkeypatch, "OSError: gone")
    said = CliRunner().invoke(
        cli, ["fleet", "check", str(config), "--fleet", "tcp://127.0.0.1:8786"], standalone_mode=False
    )
    assert said.return_value == 4
    assert "worker w: " in said.output
    assert "/bin/true is missing" in said.output
    assert "-> OSError: gone" in said.output
    assert asked[0].scheduler == "tcp://127.0.0.1:8786"


def test_a_fleet_has_to_be_named(config: Path) -> None:
    with pytest.raises(ConfigError, match="fleet: is missing"):
        CliRunner().invoke(cli, ["fleet", "check", str(config)], standalone_mode=False, catch_exceptions=False)


def test_beyond_this_machine_it_has_to_be_tls(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"--fleet: fleet.scheduler: 'tcp://rack:8786' is beyond this machine"):
        CliRunner().invoke(
            cli, ["fleet", "check", str(config), "--fleet", "tcp://rack:8786"], standalone_mode=False,
            catch_exceptions=False,
        )  # fmt: skip

"""``qstress config``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qstress.config.shipped import own_copy
from tests.cli.command import ROOT, qstress


def test_a_configuration_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("version: 1\nname: x\nbuilds: {a: {binary: qemu-system-x86_64}}\nguest:\n  smp: [2, sixteen]\n")
    done = qstress("config", "check", str(path))
    assert done.returncode == 2
    assert f"{path}:5:12: guest.smp[1]: 'sixteen' is not a whole number from 1 to 4096" in done.stderr


@pytest.mark.parametrize("name", ["quickstart", "smp64", "race", "race-hold", "replayed-init", "nightly", "kick-storm"])
def test_the_shipped_configurations_are_fine(name: str) -> None:
    for arguments in ([f"configs/{name}.yaml"], ["-c", f"configs/{name}.yaml"]):
        done = qstress("config", "check", *arguments)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.qemu
def test_show_prints_the_resolved_form_and_later_settings_win() -> None:
    done = qstress("config", "show", "configs/quickstart.yaml", "--set", "lanes=7", QSTRESS_LANES="3", QSTRESS_SEED="9")
    shown = json.loads(done.stdout)
    assert (shown["lanes"], shown["seed"]) == (7, 9)
    assert shown["builds"][0]["binary"].startswith("/")


def test_the_schema_is_the_committed_one() -> None:
    assert json.loads(qstress("config", "schema").stdout) == json.loads((ROOT / "docs/config.schema.json").read_text())


def test_shipped_configurations_are_listed_by_name() -> None:
    done = qstress("config", "list")
    assert done.returncode == 0
    assert all(len(line) > 40 for line in done.stdout.splitlines())
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        path.stem for path in sorted((ROOT / "configs").glob("*.yaml"))
    ]


def test_a_shipped_configuration_is_copied_once(tmp_path: Path) -> None:
    assert qstress("config", "init", "smp64", cwd=tmp_path).stdout == "smp64.yaml\n"
    assert (tmp_path / "smp64.yaml").read_text() == own_copy(ROOT / "configs/smp64.yaml")
    (tmp_path / "smp64.yaml").write_text("mine\n")
    again = qstress("config", "init", "smp64.yaml", cwd=tmp_path)
    assert (again.returncode, "left as it is" in again.stderr) == (2, True)
    assert (tmp_path / "smp64.yaml").read_text() == "mine\n"

"""The systemd units and the container, as far as a machine without either can tell."""

from __future__ import annotations

import configparser
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qstress.cli import cli

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "packaging/systemd"


def section(unit: str, name: str) -> configparser.SectionProxy:
    """Return a section of a unit; of a key given twice the last value."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / unit)
    return parser[name]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    shutil.copytree(UNITS, tmp_path, dirs_exist_ok=True)
    service = tmp_path / "qstress@.service"  # it asks that what is called is there
    service.write_text(service.read_text().replace("ExecStart=", f"ExecStart={Path(sys.executable).parent}/"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(tmp_path / "qstress@nightly.timer"),
         str(tmp_path / "qstress@nightly.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_failed_gate_is_not_tried_again() -> None:
    service = section("qstress@.service", "Service")
    assert service["RestartPreventExitStatus"].split() == ["1", "2", "5"]
    assert service["DeviceAllow"] == "/dev/kvm rw"
    assert service["KillMode"] == "control-group"
    assert section("qstress@.timer", "Timer")["Persistent"] == "true"


def test_the_service_calls_a_command_with_its_options() -> None:
    call = section("qstress@.service", "Service")["ExecStart"].replace("%i", "nightly").split()
    assert call[:2] == ["qstress", "nightly"]
    context = cli.commands["nightly"].make_context("nightly", call[2:])
    assert context.params["soak_arguments"] == ()
    assert context.params["state"] == Path("/var/lib/qstress/nightly")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="hadolint is packaged for x86_64 only")
def test_the_containerfile_is_clean() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "--no-color", ROOT / "Containerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_container_runs_an_init_and_no_root() -> None:
    steps = [line for line in (ROOT / "Containerfile").read_text().splitlines() if not line.startswith("#")]
    users = [line for line in steps if line.startswith("USER")]
    assert users == ["USER 10001"]
    assert [line for line in steps if line.startswith("ENTRYPOINT")][0].startswith('ENTRYPOINT ["tini", "--"')

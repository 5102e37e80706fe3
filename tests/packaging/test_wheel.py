"""What lies beside the package in an installed wheel: man pages, completions, units."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from qstress.cli import cli
from tests.packaging.conftest import ROOT, Installed

pytestmark = pytest.mark.xdist_group("wheel")  # one process builds the wheel

BASH = """
source share/bash-completion/completions/qstress
compopt() { :; }  # asks to be called by a completion
COMP_WORDS=(qstress soak smp) COMP_CWORD=2
_qstress_completion qstress
printf '%s\\n' "${COMPREPLY[@]}"
"""


def pages(command: click.Command = cli, name: str = "qstress") -> Iterator[str]:
    """Yield the name of the page of each command."""
    yield f"{name}.1"
    for below, each in getattr(command, "commands", {}).items():
        yield from pages(each, f"{name}-{below}")


def test_every_command_has_a_man_page(wheel_prefix: Path) -> None:
    folder = wheel_prefix / "share/man/man1"
    assert {path.name for path in folder.iterdir()} >= {*pages()}
    soak = (folder / "qstress-soak.1").read_text()
    assert "qstress\\-soak \\- Boot guests as FILE says, hammer their monitors, judge, record, compare." in soak
    assert "\\fB\\-\\-resume\\fP RUN" in soak
    assert "qstress-host-run(1)" in (folder / "qstress-host.1").read_text()


@pytest.mark.skipif(shutil.which("man") is None, reason="no man (Debian: man-db)")
def test_man_shows_them_without_a_warning(wheel_prefix: Path) -> None:
    for page in (wheel_prefix / "share/man/man1").glob("qstress*.1"):
        done = subprocess.run(
            ["man", "--warnings", "-E", "UTF-8", "-l", page], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "SYNOPSIS" in done.stdout


def completed(shell: str, script: str, installed: Installed) -> list[str]:
    """Return what *shell* offers by *script*, run in the prefix of the wheel."""
    done = installed.run("env", "-C", str(installed.prefix), shell, "-c", script)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_bash_completes_configurations(installed: Installed) -> None:
    assert completed("bash", BASH, installed) == ["smp64"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_fish_completes_commands(installed: Installed) -> None:
    script = "source share/fish/vendor_completions.d/qstress.fish; complete -C 'qstress repo'"
    assert [line.split("\t")[0] for line in completed("fish", script, installed)] == ["report"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
def test_zsh_takes_its_script(installed: Installed) -> None:
    script = "autoload -U compinit; compinit -D -u; fpath=(share/zsh/site-functions $fpath); autoload -U +X _qstress; "
    assert completed("zsh", script + "whence -w _qstress", installed) == ["_qstress: function"]


def test_the_units_lie_where_systemd_has_its_own(wheel_prefix: Path) -> None:
    for name, place in (
        ("qstress@.service", "lib/systemd/system/qstress@.service"),
        ("qstress@.timer", "lib/systemd/system/qstress@.timer"),
        ("qstress.sysusers", "lib/sysusers.d/qstress.conf"),
    ):
        assert (wheel_prefix / place).read_text() == (ROOT / "packaging/systemd" / name).read_text()

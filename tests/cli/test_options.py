"""What commands share: help that is quick, and usage errors that start nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from qstress.cli import cli, main
from tests.cli.command import ROOT, qstress


def test_help_and_version_import_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['qstress', '--help']\nfrom qstress.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "print([m for m in ('pydantic', 'anyio', 'rich', 'sqlite3', 'yaml', 'asyncio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "soak" in done.stdout
    ours, qemu = qstress("--version", PATH="/nowhere").stdout.splitlines()
    assert ours.startswith("qstress, version ")
    assert qemu.startswith("QEMU: there is no executable 'qemu-system-x86_64' on PATH")


def test_a_signal_that_comes_below_an_event_loop_ends_as_any_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*, standalone_mode: bool) -> int:
        raise BaseExceptionGroup("unhandled", [BaseExceptionGroup("unhandled", [KeyboardInterrupt()])])

    monkeypatch.setattr(cli, "main", interrupted)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("soak",),
        ("soak", "-c", "/nonexistent.yaml"),
        ("config", "check"),
        ("config", "show", "a", "-c", "b"),
        ("repro", "/nonexistent"),
        ("report", "/nonexistent"),
        ("compare", "/nonexistent"),
        ("compare", "/nonexistent", "/nonexistent", "--force"),
        ("build", "--out", "/nonexistent/out"),
        ("build", "--source", "/nonexistent", "--out", "/nonexistent/out"),
    ],
)
def test_bad_usage_is_2_and_starts_nothing(arguments: tuple[str, ...]) -> None:
    done = qstress(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr


@pytest.mark.qemu
def test_the_version_names_the_qemu_under_test() -> None:
    found = str(shutil.which("qemu-system-x86_64"))
    for done in (qstress("--version"), qstress("--version", QEMU_TEST_QEMU_BINARY=found)):
        assert (done.returncode, done.stdout.splitlines()[1].partition("(")[2]) == (0, f"{found})")

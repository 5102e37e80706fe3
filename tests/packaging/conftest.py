"""An environment with the installed wheel, which knows nothing of this checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
#: The environment that ``.ci/installed`` made; None: one is made here.
GIVEN = os.environ.get("QSTRESS_INSTALLED")


class Answer(NamedTuple):
    """What one command line ended with, and printed."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Session:
    """The installed qstress in one process that carries out one command line after another."""

    process: subprocess.Popen[str]

    def carry_out(self, argv: Sequence[str], text: str = "") -> Answer:
        """Carry out ``qstress ARGV…``, with *text* as its input."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"argv": argv, "stdin": text}) + "\n")
        self.process.stdin.flush()
        return Answer(**json.loads(self.process.stdout.readline()))


@dataclass(frozen=True)
class Installed:
    """A virtual environment that holds the wheel, and a folder to work in with nothing in it."""

    prefix: Path
    cwd: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.prefix / "bin/python"

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a user who has it on PATH, and no more of ours."""
        kept = {key: os.environ[key] for key in ("HOME", "TMPDIR", "XDG_CACHE_HOME") if key in os.environ}
        return {**kept, "PATH": f"{self.prefix}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin", "LC_ALL": "C.UTF-8"}

    def run(self, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run *command* there, with *text* as its input."""
        return subprocess.run(
            command, env=self.environ, cwd=self.cwd, input=text, capture_output=True, text=True, check=False
        )  # fmt: skip

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Run ``driver.py`` by its interpreter: one process for many command lines."""
        with subprocess.Popen(
            [self.python, Path(__file__).with_name("driver.py")], env=self.environ, cwd=self.cwd,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            yield Session(process)
            assert process.stdin
            process.stdin.close()
            assert process.wait() == 0

    def qstress(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run the installed command."""
        return self.run("qstress", *arguments, text=text)


@pytest.fixture(scope="session")
def wheel_prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed: in QSTRESS_INSTALLED, as ``.ci/installed`` says it, or in a new environment.

    The new one borrows the libraries of this process, so that nothing is fetched; its own packages come first.
    """
    if GIVEN:
        return Path(GIVEN)
    folder = tmp_path_factory.mktemp("wheel")
    prefix = folder / "env"
    _call("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    venv.create(prefix, symlinks=True)
    (wheel,) = folder.glob("*.whl")
    _call(
        "-m", "pip", "--python", str(prefix / "bin/python"), "install", "--quiet", "--no-deps", "--no-index", str(wheel)
    )
    (site,) = prefix.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return prefix


@pytest.fixture
def installed(wheel_prefix: Path, tmp_path: Path) -> Installed:
    """The installed wheel, and an empty folder to work in."""
    return Installed(wheel_prefix, tmp_path)


def _call(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

"""The revisions of a QEMU repository, and a QEMU of each: built once, kept, or known not to build."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qstress.errors import ConfigError, QstressError, RigError
from qstress.qemu_build.build import build

#: For a clone of all of QEMU's history within one machine.
_GIT_TIMEOUT_S = 600.0


def git_says(folder: Path, *words: str) -> str:
    """Return what git says in *folder*.

    :raises ConfigError: it refuses; carries its last line.
    :raises RigError: there is no git.
    """
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, errors="replace", check=True,
            timeout=_GIT_TIMEOUT_S,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise RigError("there is no git on PATH; install the Debian package git", reason="build-needs") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ConfigError(f"{folder}: git {words[0]}: {last}") from error
    except subprocess.TimeoutExpired as error:
        raise RigError(f"{folder}: git {words[0]} took more than {_GIT_TIMEOUT_S:g} s", reason="build") from error
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Revision:
    """One commit: its hash and the first line of its message."""

    sha: str
    subject: str

    def __str__(self) -> str:
        return f"{self.sha[:12]} ({self.subject})"


def revisions_between(source: Path, good: str, bad: str) -> list[Revision]:
    """Return the commits from *bad* back to *good*, newest first, both included; of merges the first parent.

    :raises ConfigError: *source* has no such revisions, or *bad* does not come after *good*.
    """
    for name in (good, bad):
        git_says(source, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    lines = git_says(source, "log", "--first-parent", "--format=%H %s", f"{good}..{bad}").splitlines()
    begin = git_says(source, "log", "-1", "--format=%H %s", good)
    if not lines or git_says(source, "merge-base", good, bad) != begin.partition(" ")[0]:
        raise ConfigError(f"{source}: {bad} does not come after {good}")
    return [Revision(*line.partition(" ")[::2]) for line in [*lines, begin]]


class RevisionBuilds:
    """A clone of *source* in *out*, and the QEMUs built from it; *source* is only read.

    One compiles on from the last, as :func:`qstress.qemu_build.build.build` does within a version of QEMU.

    :param say: told what is being done, a line each.
    """

    def __init__(self, source: Path, out: Path, say: Callable[[str], None]) -> None:
        self.tree = out / "tree"
        self.built = 0
        self._out, self._say = out, say
        self._source = source.absolute()

    def prepare(self) -> None:
        """Make the clone, or bring an earlier one up to date.

        :raises ConfigError: *source* is no git repository.
        :raises RigError: the host refuses.
        """
        git_says(self._source, "rev-parse", "--git-dir")
        try:
            self._out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RigError(f"{self._out}: {error.strerror}", reason="build-disk") from error
        if not self.tree.exists():
            git_says(
                self._out, "clone", "--quiet", "--shared", "--no-checkout", str(self._source), str(self.tree.absolute())
            )
        git_says(self.tree, "fetch", "--quiet", str(self._source), "+refs/*:refs/source/*")

    def binary(self, sha: str) -> Path | None:
        """Return the QEMU of a revision, building it unless that was done before; None where it does not build.

        :raises ConfigError: it is no QEMU source.
        :raises RigError: the host lacks something, or has no room.
        """
        for path in self._out.glob(f"qemu-*/bin/{_name(sha)}"):
            return path.absolute()
        broken = self._out / "does-not-build" / sha
        if broken.exists():
            return None
        git_says(self.tree, "checkout", "--quiet", "--force", "--detach", sha)
        version = (self.tree / "VERSION").read_text().strip() if (self.tree / "VERSION").exists() else "unknown"
        try:
            path = build(self.tree, (), self._out / f"qemu-{version}", _name(sha), self._say)
        except QstressError as error:
            if not isinstance(error, RigError) or error.reason != "build":
                raise
            self._say(f"{sha[:12]} does not build: {error}")
            broken.parent.mkdir(exist_ok=True)
            broken.write_text(f"{error}\n")
            return None
        self.built += 1
        return path


def _name(sha: str) -> str:
    return f"qemu-{sha[:16]}"

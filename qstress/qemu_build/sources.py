"""A QEMU source tree as the user has it: what it is, and a copy of it to patch and build. Nothing is written to it."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from qstress.errors import ConfigError

_GIT_TIMEOUT_S = 60.0
#: Never part of what is compiled: history, caches, and the sources of firmware that a tree brings along as binaries.
_LEFT_OUT = {".git", "__pycache__", "roms"}
#: A folder with one of these is a build of somebody.
_BUILD_MARKS = {"build.ninja", "config-host.mak", "meson-private"}


@dataclass(frozen=True, slots=True)
class Source:
    """What a tree is: its program's version; the commit and whether files differ from it (None without git or a
    package); the Debian source package with its version, from ``debian/changelog``.
    """

    version: str
    commit: str | None
    modified: bool | None
    package: str | None


def describe(tree: Path) -> Source:
    """Return what the QEMU source in *tree* is.

    :raises ConfigError: it is no QEMU source.
    """
    for name in ("configure", "VERSION", "meson.build"):
        if not (tree / name).is_file():
            raise ConfigError(f"{tree} is not a QEMU source tree: it has no file {name}")
    return identified(tree, (tree / "VERSION").read_text(errors="replace").strip())


def identified(tree: Path, version: str) -> Source:
    """Return what the source of *version* in *tree* is, of whichever program it is."""
    commit = _git(tree, "rev-parse", "HEAD")
    modified = bool(_git(tree, "status", "--porcelain", "--untracked-files=no")) if commit else None
    return Source(version, commit or None, modified, _package(tree))


def mirror(source: Path, copy: Path) -> None:
    """Make the folder *copy* hold what *source* holds, but for history, caches and builds.

    Contents are compared, and a file that is already right is left alone with its time: ninja then compiles only what
    has changed since the last build in it, also when that was patched.
    """
    wanted: set[Path] = set()
    for folder, folders, files in os.walk(source):
        here = Path(folder).relative_to(source)
        folders[:] = [name for name in folders if name not in _LEFT_OUT and not _is_build(Path(folder, name))]
        links = [name for name in folders if Path(folder, name).is_symlink()]
        _make_folder(copy / here)
        wanted.update(here / name for name in (*folders, *files))
        for name in (*files, *links):
            _copy(source / here / name, copy / here / name)
    for folder, folders, files in os.walk(copy, topdown=False):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.relative_to(copy) not in wanted:
                _remove(path)


def _is_build(folder: Path) -> bool:
    return any((folder / mark).exists() for mark in _BUILD_MARKS)


def _copy(source: Path, copy: Path) -> None:
    if source.is_symlink():
        if not copy.is_symlink() or os.readlink(copy) != os.readlink(source):
            _remove(copy)
            copy.symlink_to(os.readlink(source))
    elif source.is_file() and not _same(source, copy):
        _remove(copy)
        shutil.copy(source, copy)


def _same(source: Path, copy: Path) -> bool:
    if copy.is_symlink() or not copy.is_file() or copy.stat().st_mode != source.stat().st_mode:
        return False
    return filecmp.cmp(source, copy, shallow=False)


def _make_folder(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        _remove(path)
        path.mkdir(parents=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _package(tree: Path) -> str | None:
    try:
        with (tree / "debian/changelog").open(errors="replace") as file:
            match = re.match(r"(\S+) \((\S+)\)", file.readline())
    except OSError:
        return None
    return f"{match.group(1)} {match.group(2)}" if match else None


def _git(tree: Path, *arguments: str) -> str:
    """Return what git says about *tree*; nothing where the tree is no checkout or git will not say."""
    if not (tree / ".git").exists():
        return ""
    environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # "status" would write the index anew
    try:
        done = subprocess.run(
            ["git", "-C", str(tree), *arguments], env=environ, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_GIT_TIMEOUT_S, check=False, text=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

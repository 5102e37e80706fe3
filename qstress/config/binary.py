"""Finds a QEMU binary on this host and asks it what it is (the only part of ``config`` that starts a process)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qstress.config.tree import display
from qstress.distribution import ELSEWHERE, install_hint, refusal_hint
from qstress.errors import RigError

#: Answers a healthy QEMU gives in 20 ms; this long only a binary waits that is not QEMU.
VERSION_TIMEOUT_S = 10.0
_MAX_OUTPUT_BYTES = 64 * 1024
_VERSION = re.compile(r"^QEMU emulator version (\d+(?:\.\d+)+)", re.MULTILINE)


def find_binary(name: str, base: Path) -> Path:
    """Return the absolute path of the executable *name*: on ``PATH``, where distributions have it that do not have it
    there (``/usr/libexec/qemu-kvm``), or as a path relative to *base*.

    :raises RigError: reason ``qemu-missing``: not there, a folder, or not executable.
    """
    if "/" not in name and not name.startswith("~"):
        found = shutil.which(name) or (shutil.which(ELSEWHERE[name]) if name in ELSEWHERE else None)
        if found is None:
            remedy = install_hint("qemu-system-x86")
            raise RigError(f"there is no executable {display(name)} on PATH; {remedy}", reason="qemu-missing")
        return Path(os.path.abspath(found))
    path = Path(os.path.abspath(base / os.path.expanduser(name)))
    if path.is_dir():
        problem = "is a folder"
    elif not path.exists():
        problem = "does not exist"
    elif not os.access(path, os.X_OK):
        problem = "is not executable"
    else:
        return path
    raise RigError(f"{path} {problem}; {install_hint('qemu-system-x86')}", reason="qemu-missing")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file at *path*, in hex.

    :raises RigError: reason ``qemu-missing``: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RigError(f"{path} cannot be read: {error.strerror}", reason="qemu-missing") from error


def provenance_path(binary: Path) -> Path:
    """Return where ``qstress build`` writes what *binary* was made of: a JSON file beside it."""
    return binary.with_name(f"{binary.name}.json")


def provenance(binary: Path, sha256: str) -> dict[str, Any] | None:
    """Return what ``qstress build`` wrote beside *binary*, or beside the file that it links to.

    None where there is no such file, or where it tells of another binary than the one with this *sha256*.
    """
    for place in (binary, binary.resolve()):
        try:
            found = json.loads(provenance_path(place).read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(found, dict) and found.get("sha256") == sha256:
            return found
    return None


def qemu_version(path: Path, env: Mapping[str, str], *, timeout_s: float = VERSION_TIMEOUT_S) -> str:
    """Return the x.y.z that the QEMU at *path* prints for ``--version``.

    :param env: added to this process's environment (a build may need its own library path).
    :raises RigError: reason ``not-qemu``: it does not start, says nothing in *timeout_s*, or is something else.
    """
    printed = _output([str(path), "--version"], {**os.environ, **env}, timeout_s)
    if match := _VERSION.search(printed):
        return match.group(1)
    first = next((line for line in printed.splitlines() if line.strip()), None)
    said = f"its --version says {display(first.strip())}" if first else f"--version printed nothing in {timeout_s:g} s"
    raise RigError(f"{path} is not a QEMU system emulator: {said}", reason="not-qemu")


def _output(argv: list[str], env: Mapping[str, str], timeout_s: float) -> str:
    """Return the first _MAX_OUTPUT_BYTES that *argv* prints; its whole process group is dead afterwards."""
    try:
        process = subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        words = f"{words}{refusal_hint(words)}"
        raise RigError(f"{argv[0]} cannot be started: {words}", reason="not-qemu") from error

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(timeout_s, kill)
    timer.start()
    try:
        assert process.stdout is not None
        with process.stdout:
            return process.stdout.read(_MAX_OUTPUT_BYTES).decode(errors="replace")
    finally:
        timer.cancel()
        kill()  # before wait(): until then the pid, and so the group's number, is ours
        process.wait()

"""Builds the interposer on first use, and says how a QEMU gets it: environment variables, and a log to count into."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qstress.errors import RigError
from qstress.model import Build, Smm, SmmWriteback

SOURCE = Path(__file__).with_name("interpose.c")

_COMPILE = ("cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror")
_COMPILE_TIMEOUT_S = 120.0
_MAGIC = b"qstrlog1"
_LOG = struct.Struct("=8s4Q")  # struct counters in interpose.c


@dataclass(frozen=True, slots=True)
class Counters:
    """How often one QEMU wrote vCPU events back (``KVM_SET_VCPU_EVENTS``).

    ``runtime``: at run time; ``runtime_asked``: of these, with the SMM part as QEMU made them (so its write-back is
    unguarded); ``runtime_passed``: of these, with the SMM part as KVM got them; ``reset``: at reset level or above.
    """

    runtime: int
    runtime_asked: int
    runtime_passed: int
    reset: int


def environment(build: Build, log_fd: int | None = None) -> dict[str, str]:
    """Return what to add to QEMU's environment for *build*; empty when the interposer has nothing to do.

    The library goes behind what is preloaded already (a sanitizer insists on being first).

    :param log_fd: a log (:func:`open_log`) that QEMU inherits under this number.
    :raises RigError: the library cannot be built, see :func:`library`.
    """
    if not build.interposed and log_fd is None:
        return {}
    others = dict(build.env).get("LD_PRELOAD", os.environ.get("LD_PRELOAD"))
    variables = {"LD_PRELOAD": f"{others}:{library()}" if others else str(library())}
    if build.smm is Smm.PRETENDED:
        variables["QSTRESS_INTERPOSE_SMM"] = "pretend"
    if build.smm_writeback is SmmWriteback.RESET_ONLY:
        variables["QSTRESS_INTERPOSE_WRITEBACK"] = "reset-only"
    if log_fd is not None:
        variables["QSTRESS_INTERPOSE_LOG_FD"] = str(log_fd)
    return variables


def open_log() -> int:
    """Return a descriptor of a new log, all zero: memory only, one for each QEMU; the caller closes it."""
    fd = os.memfd_create("qstress-interpose", os.MFD_CLOEXEC)
    os.pwrite(fd, _LOG.pack(_MAGIC, 0, 0, 0, 0), 0)
    return fd


def read_counters(fd: int) -> Counters:
    """Return what has been counted so far into the log *fd*, also while QEMU counts.

    :raises RigError: reason ``no-log``: it is no log of :func:`open_log`.
    """
    data = os.pread(fd, _LOG.size, 0)
    if len(data) != _LOG.size or not data.startswith(_MAGIC):
        raise RigError(f"descriptor {fd} is not an interposer's log", reason="no-log")
    _, *numbers = _LOG.unpack(data)
    return Counters(*numbers)


def library() -> Path:
    """Return the built interposer, compiling it unless this source and compiler have been here before.

    It lies in ``$XDG_CACHE_HOME/qstress`` (``~/.cache`` without one), a folder of mode 0700. Two processes may build
    at once: each renames its own result into place.

    :raises RigError: reason ``no-compiler``; ``compile``, with the compiler's words; or ``cache`` when the folder
        cannot be used.
    """
    key = hashlib.sha256(SOURCE.read_bytes() + " ".join(_COMPILE).encode() + _run("cc", "--version").encode())
    try:
        folder = _cache_folder()
        path = folder / f"interpose-{key.hexdigest()[:16]}.so"
        if not path.exists():
            _compile(folder, path)
    except OSError as error:
        raise RigError(f"no place for the interposer: {error}; set XDG_CACHE_HOME", reason="cache") from error
    return path


def _compile(folder: Path, path: Path) -> None:
    fd, unfinished = tempfile.mkstemp(prefix=path.stem, dir=folder)
    os.close(fd)
    try:
        _run(*_COMPILE, "-o", unfinished, str(SOURCE), "-ldl")
        os.replace(unfinished, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)


def _cache_folder() -> Path:
    """Return the cache folder, ready: the dynamic loader only warns when it cannot load a library, so refuse here."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # to be ignored then: XDG Base Directory Specification
        base = os.path.expanduser("~/.cache")
    folder = Path(base) / "qstress"
    if any(character in str(folder) for character in " :$"):
        raise OSError(f"LD_PRELOAD cannot name a file in {str(folder)!r} (space, colon or dollar sign)")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)  # raises unless it is ours: nobody else may put a library there
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        raise OSError(f"{folder} is mounted noexec")
    return folder


def _run(*command: str) -> str:
    """Run the compiler and return what it printed."""
    environ = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=_COMPILE_TIMEOUT_S, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        remedy = "on Debian or Ubuntu, install the packages gcc and libc6-dev"
        raise RigError(f"the interposer needs a C compiler, and there is no cc on PATH; {remedy}",
                       reason="no-compiler") from error  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RigError(f"cc cannot build the interposer: {error}", reason="compile") from error
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode:
        remedy = " (on Debian or Ubuntu: package libc6-dev)" if "No such file" in said else ""
        raise RigError(f"cc cannot build the interposer{remedy}: {said}", reason="compile")
    return said

"""The interposer's library, and how a QEMU gets it: environment variables, and a log (see ``log``).

The library is committed for x86-64, as smpscan is, so that no host needs a compiler: it is linked against no libc at
all, so that its undefined symbols are those of whichever libc the QEMU has (glibc from 2.17 on, musl).
``python -m tools.prebuild_interposer`` makes it. Where the source is another one than it was made of, or the dynamic
loader could not load it from where it lies, it is compiled on first use.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from qstress.distribution import install_hint
from qstress.errors import RigError
from qstress.interposer.log import LOG_VARIABLE
from qstress.model import Build, Smm, SmmWriteback

SOURCE = Path(__file__).with_name("interpose.c")

#: The committed library and the checksums of it and of its source.
PREBUILT = SOURCE.with_name("prebuilt") / "interpose-x86_64.so"
SUMS = PREBUILT.with_name("SHA256SUMS")

_COMPILE = ("cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror")
_COMPILE_TIMEOUT_S = 120.0


def environment(build: Build, log_fd: int | None = None) -> dict[str, str]:
    """Return what to add to QEMU's environment for *build*; empty when the interposer has nothing to do.

    The library goes behind what is preloaded already (a sanitizer insists on being first). APs are held while a log
    says so, and without a log always.

    :param log_fd: a log (:func:`qstress.interposer.log.open_log`) that QEMU inherits under this number.
    :raises RigError: the library cannot be built, see :func:`library`.
    """
    if not build.interposed and log_fd is None:
        return {}
    others = dict(build.env).get("LD_PRELOAD", os.environ.get("LD_PRELOAD"))
    variables = {"LD_PRELOAD": f"{others}:{library()}" if others else str(library()), **_holds(build)}
    if build.smm is Smm.PRETENDED:
        variables["QSTRESS_INTERPOSE_SMM"] = "pretend"
    if build.smm_writeback is SmmWriteback.RESET_ONLY:
        variables["QSTRESS_INTERPOSE_WRITEBACK"] = "reset-only"
    if log_fd is not None:
        variables[LOG_VARIABLE] = str(log_fd)
    return variables


def _holds(build: Build) -> dict[str, str]:
    """Return the variables for how long an AP that waits for its INIT is kept: nanoseconds, only what is not 0.

    To be kept between being read and written back raises ``lost-init``, before being read ``replayed-init``. The boot
    CPU, an AP that has had its INIT and a write at reset level are never held.
    """
    named = {"WRITE": build.hold_write_s, "READ": build.hold_read_s, "UNTIL_CHECKIN": build.hold_until_checkin_s}
    return {f"QSTRESS_INTERPOSE_HOLD_{name}_NS": str(round(s * 1e9)) for name, s in named.items() if s > 0}


def library() -> Path:
    """Return the library: the committed one, else one that is compiled unless it has been before.

    A compiled one lies in ``$XDG_CACHE_HOME/qstress`` (``~/.cache`` without one), a folder of mode 0700. Two processes
    may build at once: each renames its own result into place.

    :raises RigError: reason ``no-compiler``; ``compile``, with the compiler's words; or ``cache`` when the folder
        cannot be used.
    """
    if _prebuilt_fits():
        return PREBUILT
    key = hashlib.sha256(SOURCE.read_bytes() + " ".join(_COMPILE).encode() + _run("cc", "--version").encode())
    try:
        folder = _cache_folder()
        path = folder / f"interpose-{key.hexdigest()[:16]}.so"
        if not path.exists():
            _compile(folder, path)
    except OSError as error:
        raise RigError(f"no place for the interposer: {error}; set XDG_CACHE_HOME", reason="cache") from error
    return path


def _prebuilt_fits() -> bool:
    """Whether the committed library is of this source and processor, intact, and can be preloaded from its place."""
    try:
        sums = {name: sha256 for sha256, name in map(str.split, SUMS.read_text().splitlines())}
        intact = all(
            sums.get(path.name) == hashlib.sha256(path.read_bytes()).hexdigest() for path in (SOURCE, PREBUILT)
        )
    except (OSError, ValueError):
        return False
    loadable = not _unnameable(PREBUILT.parent) and not os.statvfs(PREBUILT.parent).f_flag & os.ST_NOEXEC
    return intact and platform.machine() == "x86_64" and loadable


def _unnameable(folder: Path) -> bool:
    """Whether LD_PRELOAD cannot name a file there: it splits at spaces and colons, and expands dollar signs."""
    return any(character in str(folder) for character in " :$")


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
    if _unnameable(folder):
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
        remedy = install_hint("gcc", "libc6-dev")
        raise RigError(f"the interposer needs a C compiler, and there is no cc on PATH; {remedy}",
                       reason="no-compiler") from error  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RigError(f"cc cannot build the interposer: {error}", reason="compile") from error
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode:
        remedy = f" ({install_hint('libc6-dev')})" if "No such file" in said else ""
        raise RigError(f"cc cannot build the interposer{remedy}: {said}", reason="compile")
    return said

"""``qstress build``: from a QEMU source tree and patch mails to a binary that a soak can use, with its provenance.

The folder ``OUT`` gets ``bin/NAME``, ``bin/NAME.json`` (the provenance), ``share/qemu`` (the ROMs that the tree brings
along) and ``work`` (a copy of the tree and what ninja makes of it). What was interrupted goes on where it was, and a
second build of the same version in the same folder, such as the one with the patch, compiles only what differs: both
then have the same compiler, the same configuration and the same sources but for the patch.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from qstress import __version__
from qstress.config.binary import provenance_path, qemu_version, sha256_of
from qstress.errors import ConfigError, QstressError, RigError
from qstress.host.needs import missing_package
from qstress.qemu_build.compiler import clean_environ, compile_all, compiler_command, compiler_version
from qstress.qemu_build.patches import Patch, apply_patches, read_patches
from qstress.qemu_build.sources import Source, describe, mirror

TARGET = "qemu-system-x86_64"
#: Where a distribution has ROMs that its source package lacks (Debian's own order).
FIRMWARE_FOLDERS = ("/usr/share/qemu", "/usr/share/seabios", "/usr/lib/ipxe/qemu")
#: What a soak needs and no more (option names: ``configure --help`` of 7.2.22 and 10.0.13).
_OPTIONS = (
    "--target-list=x86_64-softmmu", "--without-default-features", "--enable-kvm", "--enable-tcg", "--disable-docs",
    "--disable-tools", "--disable-guest-agent", "--disable-werror", "--disable-debug-info", "--disable-install-blobs",
)  # fmt: skip
_PROGRESS_STEP = 0.05  # of all steps of ninja
_NINJA_STEP = re.compile(r"\[(\d+)/(\d+)\] ")
_ERROR = re.compile(r"\berror:")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")

Say = Callable[[str], None]


class _Work:
    """The folders and files of one build; *out* is absolute."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.tree, self.build = out / "work/tree", out / "work/build"
        self.log, self.stamp = out / "work/build.log", out / "work/configured.json"
        self.roms = out / "share/qemu"


def build(source: Path, patch_files: Sequence[Path], out: Path, name: str, say: Say) -> Path:
    """Build the QEMU in *source* with the patches in *patch_files*, in their order; return the binary's path.

    :param out: made if it is missing; may hold earlier builds of other names.
    :param name: the binary's file name.
    :param say: told what is being done, a line each.
    :raises ConfigError: no QEMU source, no such patch, a patch that does not apply, an *out* that cannot be used.
    :raises RigError: reason ``build-needs`` (names the Debian package), ``build`` (with the compiler's words) or
        ``build-disk``.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name {name!r}: letters, digits and . _ + - only, for it is a file's name")
    source, work = source.absolute(), _Work(out.absolute())
    if re.search(r"[\s:]", str(work.out)):
        raise ConfigError(f"--out {work.out}: QEMU cannot be built in a path with a space or a colon")
    if work.out.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"--out {work.out} lies in the source tree, which stays as it is")
    if source.resolve().is_relative_to((work.out / "work").resolve()):
        raise ConfigError(f"--source {source} is the copy that an earlier build patched; name the tree it came from")
    began_s = time.monotonic()
    tree, patches = describe(source), [patch for file in patch_files for patch in read_patches(file)]
    try:
        with locked(work.out):
            if (other := _stamped(work).get("version", tree.version)) != tree.version:
                words = f"{work.out} holds builds of QEMU {other}, and {source} is {tree.version}"
                raise ConfigError(f"{words}; builds in one folder share their ROMs: choose another --out")
            say(f"QEMU {tree.version} from {source}")
            mirror(source, work.tree)
            for patch in patches:
                say(f"applying {patch.label}")
            apply_patches(patches, work.tree)
            binary = _make(work, tree, patches, name, say)
    except OSError as error:
        raise RigError(f"cannot build in {work.out}: {error}", reason="build-disk") from error
    say(f"{name} is ready after {time.monotonic() - began_s:.0f} s; {work.out / 'work'} makes the next build quick")
    return binary


def _make(work: _Work, tree: Source, patches: Sequence[Patch], name: str, say: Say) -> Path:
    compiler = compiler_version()
    line = _configure(work, tree, compiler, say)
    _compile(work, say)
    _copy_roms(work)
    binary = work.out / "bin" / name
    binary.parent.mkdir(exist_ok=True)
    unfinished = binary.with_name(f".{name}.unfinished")
    shutil.copy(work.build / TARGET, unfinished)
    os.replace(unfinished, binary)
    provenance = {
        "format": 1,
        "binary": name,
        "sha256": sha256_of(binary),
        "version": qemu_version(binary, {}),
        "source": asdict(tree),
        "patches": [{key: getattr(each, key) for key in ("file", "sha256", "subject", "author")} for each in patches],
        "configure": line,
        "compiler": compiler,
        "built": datetime.now(UTC).isoformat(timespec="seconds"),
        "qstress": __version__,
    }
    provenance_path(binary).write_text(json.dumps(provenance, indent=1) + "\n")
    return binary


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep other builds out of the folder *out*, which is made if it is missing.

    :raises ConfigError: one is at work there.
    """
    (out / "work/tree").mkdir(parents=True, exist_ok=True)
    with (out / "work/lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"another qstress build is at work in {out}") from None
        yield


def _configure(work: _Work, tree: Source, compiler: str, say: Say) -> str:
    """Run configure unless the same line has been run with this compiler; return the line."""
    if not any((folder / "bios-256k.bin").exists() for folder in (work.tree / "pc-bios", *map(Path, FIRMWARE_FOLDERS))):
        raise RigError("there is no SeaBIOS, in the tree or on this host; install the Debian package seabios",
                       reason="build-needs")  # fmt: skip
    command = [
        str(work.tree / "configure"), f"--prefix={work.out}", f"--cc={shlex.join(compiler_command())}", *_OPTIONS,
        f"--firmwarepath={':'.join([str(work.roms), *FIRMWARE_FOLDERS])}",
    ]  # fmt: skip
    if b"--disable-download" in (work.tree / "configure").read_bytes():
        command.append("--disable-download")  # from 8.1 on it would fetch what this host lacks
    line = shlex.join(command)
    stamp = {"version": tree.version, "compiler": compiler, "configure": line}
    if _stamped(work) == stamp:
        return line
    say("configuring")
    work.stamp.unlink(missing_ok=True)
    shutil.rmtree(work.build, ignore_errors=True)
    work.build.mkdir()
    with work.log.open("w") as log:
        done = subprocess.run(
            command, cwd=work.build, env=clean_environ(), stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode:
        raise _refused(work)
    work.stamp.write_text(json.dumps(stamp))
    return line


def _stamped(work: _Work) -> dict[str, str]:
    """Return what this folder was configured as; nothing before that, or when the writing of it was cut off."""
    try:
        stamp: dict[str, str] = json.loads(work.stamp.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return stamp


def _refused(work: _Work) -> QstressError:
    said = work.log.read_text(errors="replace")
    if re.search(r"ERROR: missing (?:GIT submodules|subprojects)", said):
        remedy = "before QEMU 8.1 run 'git submodule update --init' in it, else 'meson subprojects download'"
        return ConfigError(f"the source tree is not complete; {remedy}")
    if package := missing_package(said):
        words = f"QEMU's configure misses something; install the Debian package {package}"
        return RigError(f"{words} (all it said: {work.log})", reason="build-needs")
    errors = [line for line in said.splitlines() if "ERROR:" in line] or [f"exit status not 0, see {work.log}"]
    return RigError(f"QEMU's configure gave up: {errors[0].strip()} (all it said: {work.log})", reason="build")


def _compile(work: _Work, say: Say) -> None:
    """Run ninja to its end, telling of every twentieth part; what an earlier run has compiled stays."""
    told = 0.0

    def progress(line: str) -> bool:
        nonlocal told
        if match := _NINJA_STEP.match(line):
            done, of = int(match.group(1)), int(match.group(2))
            if done == of or done / of >= told + _PROGRESS_STEP:
                told = done / of
                say(f"compiled {done} of {of}")
        return match is not None

    command = ["ninja", f"-j{len(os.sched_getaffinity(0))}", TARGET]
    with work.log.open("a") as log:
        try:
            code, why = compile_all(command, log, _ERROR, progress, env=clean_environ(), cwd=work.build)
        except FileNotFoundError as error:
            raise RigError("there is no ninja on PATH; install the Debian package ninja-build",
                           reason="build-needs") from error  # fmt: skip
    if code:
        why = why or f"ninja ended with {code}"
        raise RigError(f"QEMU does not compile: {why} (all it said: {work.log})", reason="build")


def _copy_roms(work: _Work) -> None:
    """Copy the ROMs of the tree to where the binary looks first; a Debian source package has next to none."""
    work.roms.mkdir(parents=True, exist_ok=True)
    for pattern in ("*.bin", "*.rom"):
        for rom in (work.tree / "pc-bios").glob(pattern):
            shutil.copy(rom, work.roms)

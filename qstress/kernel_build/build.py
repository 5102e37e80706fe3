"""``qstress kernel build``: from a Linux source tree to kernels that emulated hosts boot, with their provenance.

The folder ``OUT`` gets a folder for each kernel: ``vmlinuz``, ``vmlinuz.json`` (the provenance), ``config``,
``vmlinux`` (what is in the image, uncompressed) and ``lib/modules``; and ``work``: a copy of the tree, and for each
sanitizer what make leaves of it. Both kernels of a pair are made there, so that the second compiles only what the patch
changes, with the same compiler and the same configuration but for the name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from qstress import __version__
from qstress.config.binary import provenance_path
from qstress.emulated.kernel import open_kernel, uncompressed
from qstress.errors import ConfigError, RigError
from qstress.firmware.kernels import VMLINUX
from qstress.kernel_build.options import Sanitizer, dropped, small_config
from qstress.kernel_build.origins import base_config, describe_linux, is_package, source_tree, unpacked_at
from qstress.qemu_build.build import locked
from qstress.qemu_build.compiler import clean_environ, compile_all, compiler_command, compiler_version
from qstress.qemu_build.patches import Patch, apply_patches, preview, read_patches
from qstress.qemu_build.sources import Source, mirror

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
#: Programs, and the Debian packages that have them (Linux: Documentation/process/changes.rst).
_PROGRAMS = {"make": "make", "flex": "flex", "bison": "bison", "bc": "bc", "gzip": "gzip", "ld": "binutils",
             "perl": "perl-base", "git": "git"}  # fmt: skip
_HEADERS = {"gelf.h": "libelf-dev", "stdlib.h": "libc6-dev"}
#: What a tree has in it that was built in place; ``make O=`` refuses such a tree.
_LEFT_OF_BUILDS = (".config", "include/config", "include/generated", "arch/x86/include/generated")
#: make would take these from the environment; and one source and configuration make one image, whenever and wherever.
_FIXED = {"ARCH": "x86", "CROSS_COMPILE": "", "MAKEFLAGS": "", "KCFLAGS": "", "LOCALVERSION": "", "KBUILD_BUILD_USER":
          "qstress", "KBUILD_BUILD_HOST": "qstress", "KBUILD_BUILD_VERSION": "1",
          "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970"}  # fmt: skip
_PROGRESS_FILES = 100
_COMPILED = re.compile(r"\s+(?:CC|AS)\s+\S")
_ERROR = re.compile(r"\berror:|^\S+: .*\bundefined reference\b|\*\*\* .*not clean")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be built.

    ``source`` is a tree or ``linux-source-VERSION``; ``patches`` are files, and with one there are two kernels, without
    and with; ``reverse``: the tree has them already, and the kernel without is the one to make; ``config`` is a file or
    ``linux-config-VERSION``, None for the distribution's; ``name`` is that of the kernel's folder, and goes behind its
    release; None: the sanitizer.
    """

    source: str
    out: Path
    sanitizer: Sanitizer = Sanitizer.NONE
    patches: Sequence[Path] = ()
    reverse: bool = False
    config: str | None = None
    name: str | None = None

    @property
    def work(self) -> Path:
        """The folder for all that is no result."""
        return self.out.absolute() / "work"

    @property
    def kernels(self) -> Sequence[tuple[str, bool]]:
        """The kernels' names, each with whether the patches are applied to (with ``reverse``: taken out of) the tree
        as it is; that as it is comes first."""
        name = self.name or ("small" if self.sanitizer is Sanitizer.NONE else self.sanitizer.value)
        if not self.patches:
            return ((name, False),)
        pair = (f"{name}-unpatched", self.reverse), (f"{name}-patched", not self.reverse)
        return sorted(pair, key=lambda each: each[1])


def planned(order: Order) -> tuple[list[str], str]:
    """Return what :func:`make_kernels` would do, a line each, and why it cannot, empty if it can.

    Writes and fetches nothing.

    :raises RigError: reason ``build-needs``: there is no git on this host.
    """
    lines: list[str] = []
    tree = unpacked_at(order.source, order.work) if is_package(order.source) else Path(order.source)
    try:
        _check(order)
        if tree.is_dir() or not is_package(order.source):
            lines.append(f"Linux {describe_linux(tree).version} from {tree}")
            patches, refused = preview(order.patches, tree, reverse=order.reverse)
        else:
            lines.append(f"{order.source} would be downloaded; whether a patch applies is seen then")
            patches, refused = [patch for file in order.patches for patch in read_patches(file)], ""
    except ConfigError as error:
        return lines, str(error)
    lines += [f"{'without' if order.reverse else 'with'} {patch.described}" for patch in patches]
    lines += [f"would be built: {order.out / name}" for name, _ in order.kernels]
    return lines, refused


def make_kernels(order: Order, say: Say) -> list[Path]:
    """Build what *order* asks for; return the images' paths, that of the tree as it is first.

    :param say: told what is being done, a line each.
    :raises ConfigError: no Linux source, no such patch, a patch that does not apply, an ``out`` that cannot be used.
    :raises RigError: reason ``build-needs`` (names the Debian packages), ``kernel`` (a package cannot be had),
        ``build`` (with the compiler's words, or the options that the kernel's configuration has dropped) or
        ``build-disk``.
    """
    _check(order)
    _check_needs()
    began_s = time.monotonic()
    patches = [patch for file in order.patches for patch in read_patches(file)]
    try:
        with locked(order.out.absolute()):
            source = source_tree(order.source, order.work, say)
            tree = describe_linux(source)
            base = base_config(order.config, tree.version, order.work, say)
            say(f"Linux {tree.version} from {source}, {base[0]}, sanitizer {order.sanitizer.value}")
            mirror(source, order.work / "tree")
            apply_patches(patches, order.work / "tree", dry_run=True, reverse=order.reverse)
            images = [
                _make(order, tree, base, patches if changed else [], name, say) for name, changed in order.kernels
            ]
    except OSError as error:
        raise RigError(f"cannot build in {order.out}: {error}", reason="build-disk") from error
    say(f"ready after {time.monotonic() - began_s:.0f} s; {order.work} makes the next build quick")
    return images


def _check(order: Order) -> None:
    if order.reverse and not order.patches:
        raise ConfigError("--reverse needs a patch to take out: --patch FILE")
    if order.name is not None and (not _NAME.fullmatch(order.name) or order.name == "work"):
        raise ConfigError(f"--name {order.name!r}: at most 32 letters, digits and . _ -, for it is part of a release")
    if re.search(r"[\s:]", str(order.out.absolute())):
        raise ConfigError(f"--out {order.out}: Linux cannot be built in a path with a space or a colon")
    if is_package(order.source):
        return
    source = Path(order.source).resolve()
    if order.out.resolve().is_relative_to(source):
        raise ConfigError(f"--out {order.out} lies in the source tree, which stays as it is")
    if source.is_relative_to((order.work / "tree").resolve()):
        raise ConfigError(
            f"--source {order.source} is the copy that an earlier build patched; name the tree it came from"
        )


def _check_needs() -> None:
    """:raises RigError: reason ``build-needs``: names all packages that are missing, in one line."""
    path = clean_environ()["PATH"]
    missing = [package for program, package in _PROGRAMS.items() if shutil.which(program, path=path) is None]
    try:
        compiler_version()
        missing += [package for header, package in _HEADERS.items() if not _has_header(header)]
    except RigError:
        missing += ["gcc", *_HEADERS.values()]
    if missing:
        raise RigError(f"a kernel cannot be built on this host; install the Debian packages {' '.join(missing)}",
                       reason="build-needs")  # fmt: skip


def _has_header(name: str) -> bool:
    command = [*compiler_command(), "-fsyntax-only", "-x", "c", "-"]
    text = f"#include <{name}>\n".encode()
    return subprocess.run(command, env=clean_environ(), input=text, capture_output=True, check=False).returncode == 0


def _make(
    order: Order, tree: Source, base: tuple[str, Sequence[str]], patches: Sequence[Patch], name: str, say: Say
) -> Path:
    copy, folder = order.work / "tree", order.work / f"build-{order.sanitizer.value}"
    for left in _LEFT_OF_BUILDS:
        shutil.rmtree(copy / left) if (copy / left).is_dir() else (copy / left).unlink(missing_ok=True)
    for patch in patches:
        say(f"{'taking out' if order.reverse else 'applying'} {patch.label}")
    apply_patches(patches, copy, reverse=order.reverse)
    began_s = time.monotonic()
    folder.mkdir(exist_ok=True)
    (folder / ".config").write_text("\n".join(small_config(base[1], order.sanitizer, name)) + "\n")
    _run_make(order, folder, "olddefconfig", lambda line: None)
    config = (folder / ".config").read_text()
    if lacking := dropped(config.splitlines(), order.sanitizer):
        names = ", ".join(f"CONFIG_{key}" for key in lacking)
        raise RigError(f"Linux {tree.version} with {base[0]} cannot have what an emulated host needs: {names}",
                       reason="build")  # fmt: skip
    _run_make(order, folder, "bzImage", say)
    image = _kept(folder, order.out.absolute() / name)
    kernel = open_kernel(image)
    provenance = {
        "format": 1,
        "kernel": name,
        "release": kernel.release,
        "sha256": kernel.sha256,
        "source": asdict(tree),
        "patches": [{key: getattr(each, key) for key in ("file", "sha256", "subject", "author")} for each in patches],
        "reverse": order.reverse,
        "sanitizer": order.sanitizer.value,
        "base": base[0],
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
        "compiler": compiler_version(),
        "seconds": round(time.monotonic() - began_s),
        "built": datetime.now(UTC).isoformat(timespec="seconds"),
        "qstress": __version__,
    }
    provenance_path(image).write_text(json.dumps(provenance, indent=1) + "\n")
    say(f"{kernel.release} is ready after {provenance['seconds']} s: {image}")
    return image


def _kept(folder: Path, target: Path) -> Path:
    """Copy what a boot needs out of the build *folder*; return the image's path. An earlier kernel is replaced."""
    unfinished = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    release = (folder / "include/config/kernel.release").read_text().strip()
    modules = unfinished / "lib/modules" / release
    modules.mkdir(parents=True)
    image = unfinished / "vmlinuz"
    shutil.copy(folder / "arch/x86/boot/bzImage", image)
    if elf := uncompressed(image.read_bytes()):
        (unfinished / VMLINUX).write_bytes(elf)
    shutil.copy(folder / "modules.builtin", modules)
    shutil.copy(folder / ".config", unfinished / "config")
    shutil.rmtree(target, ignore_errors=True)
    os.rename(unfinished, target)
    return target / "vmlinuz"


def _run_make(order: Order, folder: Path, goal: str, say: Say) -> None:
    """Run make to its end, telling of every hundredth file; what an earlier run has compiled stays."""
    compiled, path = 0, order.work / "build.log"

    def progress(line: str) -> bool:
        nonlocal compiled
        if match := _COMPILED.match(line):
            compiled += 1
            if compiled % _PROGRESS_FILES == 0:
                say(f"compiled {compiled} files")
        return match is not None

    command = ["make", "-C", str(order.work / "tree"), f"O={folder}", f"CC={' '.join(compiler_command())}",
               f"-j{len(os.sched_getaffinity(0))}", goal]  # fmt: skip
    with path.open("w") as log:
        code, why = compile_all(command, log, _ERROR, progress, env={**clean_environ(), **_FIXED})
    if code:
        why = why or f"make {goal} ended with {code}"
        raise RigError(f"Linux cannot be built: {why} (all it said: {path})", reason="build")

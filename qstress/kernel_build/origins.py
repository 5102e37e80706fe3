"""Where a kernel's source and the configuration that it begins with come from: a tree, or the distribution's packages.

Nothing is installed and no root is needed: ``apt-get download`` and ``dpkg-deb -x``, as for ``qstress host fetch``.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from qstress.emulated.fetch import download_bytes, listed, unpack_packages
from qstress.errors import ConfigError, RigError
from qstress.qemu_build.sources import Source, identified

_SOURCE_PACKAGE = re.compile(r"linux-source-\d[\w.+-]*")
_CONFIG_PACKAGE = re.compile(r"linux-config-\d[\w.+-]*")
#: In ``linux-config-…``: not the cloud's, whose drivers differ, and not real-time.
_CONFIG_FILE = "usr/src/{}/config.amd64_none_amd64.xz"
_STAMP = "qstress-package"

Say = Callable[[str], None]


def describe_linux(tree: Path) -> Source:
    """Return what the Linux source in *tree* is.

    :raises ConfigError: it is no Linux source.
    """
    for name in ("Kconfig", "Makefile", "arch/x86/kvm/svm/svm.c"):
        if not (tree / name).is_file():
            raise ConfigError(f"{tree} is not a Linux source tree with KVM for AMD: it has no file {name}")
    found = dict(
        re.findall(r"^(\w+) =[ \t]*(.*)$", (tree / "Makefile").read_text(errors="replace")[:400], re.MULTILINE)
    )
    version = ".".join(found.get(part, "?") for part in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))
    source = identified(tree, version + found.get("EXTRAVERSION", ""))
    stamp = tree / _STAMP
    return replace(source, package=stamp.read_text().strip()) if stamp.exists() else source


def is_package(wanted: str) -> bool:
    """Whether *wanted* means a package ``linux-source-VERSION``; a folder that is called so is a tree."""
    return _SOURCE_PACKAGE.fullmatch(wanted) is not None and not Path(wanted).is_dir()


def source_tree(wanted: str, work: Path, say: Say) -> Path:
    """Return the folder with the source that *wanted* names: a tree, or a package ``linux-source-VERSION``, which is
    downloaded and unpacked in *work* unless it is there.

    :raises ConfigError: it is no Linux source.
    :raises RigError: reason ``kernel``: the package cannot be had; reason ``build-needs``: xz is missing.
    """
    if not is_package(wanted):
        return Path(wanted)
    tree = unpacked_at(wanted, work)
    if not tree.exists():
        _needs_apt("name a source tree")
        say(f"downloading {wanted} ({download_bytes([wanted]) / 1e6:.0f} MB) into {work}; nothing is installed")
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".source-", dir=work) as scratch:
            _unpack_source(wanted, Path(scratch), tree)
    return tree


def unpacked_at(package: str, work: Path) -> Path:
    """Return where :func:`source_tree` unpacks *package*."""
    return work / package


def _unpack_source(package: str, scratch: Path, tree: Path) -> None:
    archives = sorted(unpack_packages([package], scratch).glob("usr/src/linux-source-*.tar.xz"))
    if not archives:
        raise RigError(f"{package}: there is no source in it", reason="kernel")
    done = subprocess.run(
        ["tar", "-xJf", str(archives[0].absolute()), "-C", str(scratch)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RigError(f"{package} cannot be unpacked: {done.stderr.strip()[-200:]}; it needs xz-utils and 1.5 GB",
                       reason="build-needs")  # fmt: skip
    folder = next(each for each in scratch.iterdir() if (each / "Kconfig").exists())
    version = re.search(
        r"\(([^)]+)\)", _first_line(next(iter(scratch.glob("tree/usr/share/doc/*/changelog*.gz")), None))
    )
    (folder / _STAMP).write_text(f"{package} {version[1]}\n" if version else f"{package}\n")
    os.rename(folder, tree)


def _first_line(changelog: Path | None) -> str:
    if changelog is None:
        return ""
    with gzip.open(changelog, "rt", errors="replace") as file:
        return file.readline()


def base_config(wanted: str | None, version: str, work: Path, say: Say) -> tuple[str, Sequence[str]]:
    """Return the name and the lines of the configuration to take away from.

    :param wanted: a file, be it packed with xz; or a package ``linux-config-…``; None: the distribution's package for
        *version*, the tree's.
    :raises ConfigError: there is no such file, or it is no configuration of a kernel for x86-64.
    :raises RigError: reason ``kernel``: the distribution has none for this version; names those that it has.
    """
    package = wanted or f"linux-config-{'.'.join(version.split('.')[:2])}"
    if not _CONFIG_PACKAGE.fullmatch(package):
        return package, _checked(Path(package))
    kept = work / f"{package}.xz"
    if not kept.exists():
        _needs_apt("name the configuration of a distribution's kernel: --config FILE")
        if package not in (there := listed("linux-config-")):
            has = f"one of {', '.join(there)}, or " if there else ""
            raise RigError(f"there is no package {package} here; name {has}a file: --config …", reason="kernel")
        say(f"downloading {package}; nothing is installed")
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".config-", dir=work) as scratch:
            tree = unpack_packages([package], Path(scratch))
            file = tree / _CONFIG_FILE.format(package)
            if not file.exists():
                raise RigError(f"{package}: there is no configuration for amd64 in it", reason="kernel")
            shutil.move(file, kept)
    return package, _checked(kept)


def _checked(path: Path) -> Sequence[str]:
    try:
        data = path.read_bytes()
        lines = (lzma.decompress(data) if data.startswith(b"\xfd7zXZ") else data).decode(errors="replace").splitlines()
    except (OSError, lzma.LZMAError) as error:
        raise ConfigError(f"{path}: not a configuration that can be read: {error}") from error
    if "CONFIG_X86_64=y" not in lines:
        raise ConfigError(f"{path}: not the configuration of a Linux kernel for x86-64")
    return lines


def _needs_apt(remedy: str) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise RigError(f"no apt-get here to fetch it with; {remedy}", reason="kernel")

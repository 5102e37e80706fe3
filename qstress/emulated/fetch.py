"""A kernel of the distribution, brought into the user's cache: nothing is installed, no root is needed.

``apt-get download`` and ``dpkg-deb -x``. Of what the packages hold, only the image and the modules that an emulated
host loads are kept: some 15 MB of 400.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qstress.emulated.kernel import Kernel, open_kernel, uncompressed
from qstress.errors import ConfigError, RigError
from qstress.firmware.kernels import VMLINUX, kernels_folder, matches, newest

#: What depends on the kernel that the distribution gives its users: Debian's and Ubuntu's.
_DEFAULTS = ("linux-image-amd64", "linux-image-generic")
_FLAVOURS = (["amd64"], ["generic"])  # neither for clouds nor real-time
#: What some distributions keep apart: Ubuntu and Debian 14 the modules, Debian 14 the image and its lists, too.
_APART = ("linux-base", "linux-binary", "linux-modules")
_IMAGES = ("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")


@dataclass(frozen=True, slots=True)
class Packages:
    """What has to be downloaded for one kernel: package names, and bytes in all."""

    release: str
    names: tuple[str, ...]
    size_bytes: int


def fetched() -> list[Kernel]:
    """Return the kernels in the cache, oldest release first."""
    images = sorted(kernels_folder().glob("*/vmlinuz"))
    by_release = {image.parent.name: image for image in images if not image.parent.name.startswith(".")}
    order: list[Kernel] = []
    while by_release:
        order.append(open_kernel(by_release.pop(newest(list(by_release)))))
    return order[::-1]


def find(wanted: str, say: Callable[[str], None]) -> Kernel:
    """Return the kernel that *wanted* names: ``auto`` (the distribution's default), a version (``6.12``, or a whole
    release), or a path.

    What is not in the cache is fetched, which *say* is told before, with the size.

    :raises RigError: reason ``kernel``: it cannot be had here, with the line to run where there is one.
    """
    if "/" in wanted:
        path = Path(wanted).expanduser()
        return open_kernel(path / "vmlinuz" if path.is_dir() else path)
    here = {kernel.release: kernel for kernel in fetched()}
    prefix = "" if wanted == "auto" else wanted
    if wanted == "auto":
        with suppress(RigError):  # what is here will do where nobody can be asked
            prefix = _default_release()
    matching = [release for release in here if matches(prefix, release)]
    return here[newest(matching)] if matching else fetch(wanted, say)


def fetch(wanted: str, say: Callable[[str], None]) -> Kernel:
    """Bring the kernel that *wanted* names into the cache: ``auto`` is the distribution's default.

    :raises RigError: reason ``kernel``, as :func:`find`.
    """
    packages = _packages(wanted)
    folder = kernels_folder()
    target = folder / packages.release
    if not (target / "vmlinuz").exists():
        size_mb = packages.size_bytes / 1e6
        say(f"downloading {' '.join(packages.names)} ({size_mb:.0f} MB) into {target}; nothing is installed")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
                unpack_packages(packages.names, Path(scratch))
                _keep(packages, Path(scratch), target)
        except OSError as error:
            raise RigError(f"{folder}: cannot keep a kernel: {error}", reason="kernel") from error
    return open_kernel(target / "vmlinuz")


def unpack_packages(names: Sequence[str], scratch: Path) -> Path:
    """Download the packages *names* into *scratch* and return the folder there that holds what they bring.

    :raises RigError: reason ``kernel``: they cannot be had.
    """
    for name in names:
        _run("apt-get", "-qq", "download", name, cwd=scratch)
    for package in scratch.glob("*.deb"):
        _run("dpkg-deb", "-x", package.name, "tree", cwd=scratch)
        package.unlink()
    return scratch / "tree"


def listed(prefix: str) -> list[str]:
    """Return the names of the packages that begin with *prefix*; none where there is no apt.

    :raises RigError: reason ``kernel``: the package lists cannot be read.
    """
    return sorted(_run("apt-cache", "pkgnames", prefix).split()) if shutil.which("apt-cache") else []


def download_bytes(names: Sequence[str]) -> int:
    """Return how much has to be downloaded for the packages *names*.

    :raises RigError: reason ``kernel``: they cannot be had.
    """
    uris = _run("apt-get", "--print-uris", "download", *names)
    return sum(map(int, re.findall(r"^'[^']*' \S+ (\d+)", uris, re.MULTILINE)))


def _packages(wanted: str) -> Packages:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise RigError(
            "no apt-get here to fetch a kernel with; download a kernel package of your distribution, unpack it and "
            "name its image: kernel: PATH/boot/vmlinuz-… with PATH/lib/modules beside it",
            reason="kernel",
        )
    release = _default_release() if wanted == "auto" else _release_like(wanted)
    names = [f"linux-image-{release}"]
    names += [f"{part}-{release}" for part in _APART if _run("apt-cache", "show", f"{part}-{release}", check=False)]
    return Packages(release, tuple(names), download_bytes(names))


def _flavour(release: str) -> list[str]:
    return [part for part in release.split("-")[1:] if not part.isdigit()]


def _default_release() -> str:
    for package in _DEFAULTS:
        said = _run("apt-cache", "depends", package, check=False)
        if found := re.search(r"Depends: linux-image-(\d\S+)", said):
            return found.group(1)
    raise RigError("the package lists know no kernel; run: apt-get update", reason="kernel")


def _release_like(wanted: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)*[A-Za-z0-9.+~-]*", wanted):
        raise ConfigError(f"{wanted!r} is neither auto, a kernel version such as 6.12, nor a path")
    releases = [name.removeprefix("linux-image-") for name in listed(f"linux-image-{wanted}")]
    fitting = [release for release in releases if matches(wanted, release) and _flavour(release) in _FLAVOURS]
    if wanted in releases:
        return wanted
    if not fitting:
        raise RigError(f"the package lists have no kernel {wanted}; apt-get update, or name another", reason="kernel")
    return newest(fitting)


def _keep(packages: Packages, scratch: Path, target: Path) -> None:
    tree = scratch / "tree"
    images = [path for pattern in _IMAGES for path in tree.glob(pattern)]
    if not images:
        raise RigError(f"{' '.join(packages.names)}: there is no kernel image in it", reason="kernel")
    image = images[0].rename(tree / "vmlinuz")
    if not (tree / "lib/modules").exists() and (tree / "usr/lib/modules").exists():
        (tree / "lib").symlink_to("usr/lib")
    kernel = open_kernel(image)
    kept, modules = scratch / "kept", scratch / "kept/lib/modules" / kernel.release
    modules.mkdir(parents=True)
    shutil.copy(image, kept / "vmlinuz")
    if elf := uncompressed(image.read_bytes()):
        (kept / VMLINUX).write_bytes(elf)
    shutil.copy(tree / "lib/modules" / kernel.release / "modules.builtin", modules)
    for path, _ in kernel.modules:
        shutil.copy(path, modules)
    if target.exists():  # half-made, or another process was quicker
        shutil.rmtree(target)
    os.rename(kept, target)


def _run(*command: str, check: bool = True, cwd: Path | None = None) -> str:
    environ = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, env=environ, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode and check:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RigError(f"{' '.join(command)}: {said}; run apt-get update and try again", reason="kernel")
    return "" if done.returncode else done.stdout

"""Linux kernels on this machine: where fetched ones lie, and which file a word of a configuration means.

``qstress host fetch`` brings kernels here (:mod:`qstress.emulated.fetch`); nothing is downloaded from here.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from qstress.errors import RigError

#: An uncompressed kernel, where one was made, beside its image.
VMLINUX = "vmlinux"
#: What a distribution installs; some let nobody but root read them.
INSTALLED = Path("/boot")
_HEADER_BYTES = 64 * 1024
_BANNER = re.compile(rb"Linux version (\S{1,200}) ")


def kernels_folder() -> Path:
    """Return where fetched kernels lie: ``$XDG_CACHE_HOME/qstress/kernels``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache")) / "qstress" / "kernels"


def newest(releases: Sequence[str]) -> str:
    """Return the highest of *releases*, numbers compared as numbers.

    >>> newest(["6.1.0-9-amd64", "6.1.0-57-amd64"])
    '6.1.0-57-amd64'
    """
    return max(releases, key=lambda text: [(not part.isdigit(), part.zfill(12)) for part in re.split(r"(\d+)", text)])


def matches(wanted: str, release: str) -> bool:
    """Whether *release* is what *wanted* asks for: itself, a version that it begins with, or empty for any.

    >>> matches("6.1", "6.1.0-57-amd64"), matches("6.1", "6.12.117+deb13-amd64")
    (True, False)
    """
    return wanted in ("", release) or release.startswith((wanted + ".", wanted + "-"))


def release_in(header: bytes) -> str | None:
    """Return the release that a bzImage says it is, None where *header*, its beginning, is not one's.

    Linux: Documentation/arch/x86/boot.rst, ``kernel_version``: the word at 0x20e, counted from 0x200.
    """
    if len(header) < 0x210 or header[0x202:0x206] != b"HdrS":
        return None
    (at,) = struct.unpack_from("<H", header, 0x20E)
    text = header[0x200 + at : 0x200 + at + 256].partition(b"\0")[0].split()
    return text[0].decode(errors="replace") if at and text else None


def guest_kernel(wanted: str, base: Path, *, image: bool = False) -> tuple[Path, str]:
    """Return the kernel that a guest boots, as *wanted* says, and its release: ``auto`` is the newest of those that
    were fetched, else of those installed; a version means one of these; anything with a slash is a path.

    Of a fetched kernel it is the uncompressed one, which QEMU boots by PVH without a second of unpacking.

    :param base: what a path is relative to.
    :param image: the firmware takes an image alone (OVMF: it is an EFI program), and no uncompressed kernel.
    :raises RigError: reason ``kernel``: there is none, with the line to run; or it is not a kernel that can be read.
    """
    if "/" in wanted:
        path = Path(os.path.abspath(base / os.path.expanduser(wanted)))
        return path, _release_of(path)
    for places in (_fetched(image=image), _installed()):
        here = {release: path for path, release in places if matches("" if wanted == "auto" else wanted, release)}
        if here:
            release = newest(list(here))
            return here[release], release
    which, line = ("", "") if wanted == "auto" else (f" {wanted}", f" {wanted}")
    raise RigError(f"there is no kernel{which} on this machine; run: qstress host fetch{line}", reason="kernel")


def _fetched(*, image: bool) -> Iterator[tuple[Path, str]]:
    for path in kernels_folder().glob("[!.]*/vmlinuz"):
        elf = path.with_name(VMLINUX)
        yield elf if elf.exists() and not image else path, path.parent.name


def _installed() -> Iterator[tuple[Path, str]]:
    for image in INSTALLED.glob("vmlinuz-*"):
        if os.access(image, os.R_OK):
            yield image, image.name.removeprefix("vmlinuz-")


def _release_of(path: Path) -> str:
    """Return the release that a bzImage or an uncompressed kernel names itself."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
            if release := release_in(header):
                return release
            if header.startswith(b"\x7fELF"):
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
                    found = _BANNER.search(whole)
                    if found:
                        return found[1].decode(errors="replace")
    except OSError as error:
        raise RigError(f"{path}: the kernel cannot be read: {error.strerror}", reason="kernel") from error
    raise RigError(f"{path}: not a Linux kernel (bzImage or vmlinux)", reason="kernel")

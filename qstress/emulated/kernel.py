"""A kernel for an emulated host: its image, and which of its modules are loaded in which order.

``modprobe`` and ``depmod`` are not needed: a module says itself what it depends on (``depends=`` in its ``.modinfo``;
Linux: ``scripts/mod/modpost.c``, ``add_depends``), and the few that an emulated host loads are known.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import re
import struct
import subprocess
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qstress.errors import RigError
from qstress.firmware.kernels import VMLINUX, release_in

#: What an emulated host loads, with parameters: its root, the channel to it, and KVM.
WANTED = (
    ("virtio_pci", ""),
    ("9pnet_virtio", ""),
    ("9p", ""),
    ("overlay", ""),
    ("virtio_console", ""),
    ("kvm_amd", "nested=0"),
)
_HEADER_BYTES = 64 * 1024
_SUFFIXES = (".ko", ".ko.gz", ".ko.xz", ".ko.zst")


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel.

    ``image`` is its bzImage and ``sha256`` that file's, ``release`` what ``uname -r`` will say, ``modules`` files with
    their parameters in the order in which they are loaded, ``boots`` what QEMU loads: the image, or the kernel that is
    in it, uncompressed.
    """

    image: Path
    release: str
    sha256: str
    modules: tuple[tuple[Path, str], ...]
    boots: Path


def uncompressed(image: bytes) -> bytes | None:
    """Return the kernel in a bzImage as the ELF file that it is, which QEMU boots by PVH; None where it cannot be had.

    Emulated, a kernel takes seconds to unpack itself (xz) that take none here. Linux: Documentation/arch/x86/boot.rst,
    ``payload_offset``: counted from the protected-mode code, which ``setup_sects`` sectors and the boot sector precede.
    """
    if release_in(image) is None:
        return None
    offset, length = struct.unpack_from("<II", image, 0x248)
    at = ((image[0x1F1] or 4) + 1) * 512 + offset
    payload = image[at : at + length]
    elf = b""
    with suppress(lzma.LZMAError, EOFError, OSError, zlib.error, subprocess.CalledProcessError):
        if payload.startswith(b"\xfd7zXZ"):
            elf = lzma.LZMADecompressor().decompress(payload)  # what follows is the length
        elif payload.startswith(b"\x1f\x8b"):
            elf = zlib.decompressobj(wbits=31).decompress(payload)
        elif payload.startswith(b"\x28\xb5\x2f\xfd"):
            elf = _zstd(payload[:-4])
    return elf if elf.startswith(b"\x7fELF") else None


def _zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout


def dependencies(module: bytes) -> tuple[str, ...]:
    """Return the names of the modules that *module*, uncompressed, asks for; with ``_`` for ``-``."""
    found = re.search(rb"\0depends=([A-Za-z0-9_,-]*)\0", module)
    return tuple(module_name(name) for name in found.group(1).decode().split(",") if name) if found else ()


def module_name(name: str) -> str:
    """Return a module's name as the kernel has it: ``kvm-amd.ko.xz`` is ``kvm_amd``."""
    return name.partition(".")[0].replace("-", "_")


def loading_order(wanted: tuple[str, ...], needs: Callable[[str], tuple[str, ...] | None]) -> list[str]:
    """Return *wanted* and all they depend on, each after what it depends on.

    :param needs: what a module depends on; None for one that is built into the kernel.
    """
    order: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        if (depends := needs(name)) is not None:
            for each in depends:
                visit(each)
            order.append(name)

    for name in wanted:
        visit(name)
    return order


def read_module(path: Path) -> bytes:
    """Return the module at *path*, uncompressed.

    :raises RigError: it cannot be read; ``zstd`` is missing for one that needs it.
    """
    try:
        data = path.read_bytes()
        match path.suffix:
            case ".gz":
                return gzip.decompress(data)
            case ".xz":
                return lzma.decompress(data)
            case ".zst":
                return _zstd(data)
            case _:
                return data
    except FileNotFoundError as error:
        remedy = "; install the package zstd" if path.suffix == ".zst" and path.exists() else ""
        raise RigError(f"{path}: cannot be read: {error.strerror}{remedy}", reason="kernel") from error
    except (OSError, EOFError, lzma.LZMAError, subprocess.CalledProcessError) as error:
        raise RigError(f"{path}: not a kernel module that can be read: {error}", reason="kernel") from error


def open_kernel(image: Path) -> Kernel:
    """Return the kernel at *image*, with its modules from ``lib/modules/RELEASE`` beside it or of this machine.

    :raises RigError: reason ``kernel``: it is not a bzImage, or what an emulated host needs is neither a module of it
        nor built in.
    """
    try:
        data = image.read_bytes()
    except OSError as error:
        raise RigError(f"{image}: the kernel cannot be read: {error.strerror}", reason="kernel") from error
    release = release_in(data[:_HEADER_BYTES])
    if release is None:
        raise RigError(f"{image}: not a Linux kernel image (bzImage)", reason="kernel")
    tree = _modules_of(image, release)
    files = (
        {module_name(file.name): file for file in tree.rglob("*.ko*") if file.name.endswith(_SUFFIXES)} if tree else {}
    )
    built_in = _built_in(tree) if tree else None

    def needs(name: str) -> tuple[str, ...] | None:
        """:raises RigError: the kernel has no such module."""
        if name in files:
            return dependencies(read_module(files[name]))
        if built_in is not None and name not in built_in:
            raise RigError(f"{image}: kernel {release} has no module {name}, nor is it built in", reason="kernel")
        return None

    parameters = dict(WANTED)
    order = loading_order(tuple(parameters), needs)
    modules = tuple((files[name], parameters.get(name, "")) for name in order)
    elf = image.with_name(VMLINUX)
    boots = elf if elf.exists() else image
    return Kernel(image.absolute(), release, hashlib.sha256(data).hexdigest(), modules, boots.absolute())


def _modules_of(image: Path, release: str) -> Path | None:
    roots = (image.parent, image.parent.parent, Path("/"), Path("/usr"))
    return next((tree for root in roots if (tree := root / "lib/modules" / release).is_dir()), None)


def _built_in(tree: Path) -> frozenset[str]:
    try:
        lines = (tree / "modules.builtin").read_text().splitlines()
    except OSError:
        lines = []
    return frozenset(module_name(Path(line).name) for line in lines)

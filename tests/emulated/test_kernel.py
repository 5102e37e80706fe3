from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from qstress.emulated.kernel import (
    WANTED,
    dependencies,
    loading_order,
    module_name,
    open_kernel,
    read_module,
    uncompressed,
)
from qstress.errors import RigError

RELEASE = "6.1.0-9-amd64"


def bzimage(release: str = RELEASE) -> bytes:
    """A header as Documentation/arch/x86/boot.rst describes it."""
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x100)
    text = f"{release} (builder@host) #1 SMP\0".encode()
    head[0x300 : 0x300 + len(text)] = text
    return bytes(head)


def module(*depends: str) -> bytes:
    return b"\x7fELF\0license=GPL\0depends=" + ",".join(depends).encode() + b"\0name=x\0"


def tree(folder: Path, modules: dict[str, bytes], built_in: str = "") -> Path:
    """A kernel's image with its modules beside it."""
    image = folder / "boot" / "vmlinuz"
    place = folder / "lib/modules" / RELEASE / "kernel"
    image.parent.mkdir()
    place.mkdir(parents=True)
    image.write_bytes(bzimage())
    (place.parent / "modules.builtin").write_text(built_in)
    for name, content in modules.items():
        (place / name).write_bytes(content)
    return image


ELF = b"\x7fELF" + bytes(range(256)) * 40


def with_payload(payload: bytes) -> bytes:
    """A bzImage whose payload is at 0x100 in the code that follows the boot sector and one sector of setup."""
    image = bytearray(bzimage())
    image[0x1F1] = 1
    struct.pack_into("<II", image, 0x248, 0x100, len(payload))
    return bytes(image) + b"\x90" * 0x100 + payload + b"\x90" * 64


@pytest.mark.parametrize("compress", [lzma.compress, gzip.compress])
def test_the_kernel_in_an_image_is_found_and_unpacked(compress: Callable[[bytes], bytes]) -> None:
    assert uncompressed(with_payload(compress(ELF) + struct.pack("<I", len(ELF)))) == ELF


def test_what_cannot_be_unpacked_boots_as_it_is() -> None:
    for payload in (b"\x02!L\x18 lz4", b"\xfd7zXZ damaged", b"\x1f\x8b damaged", lzma.compress(b"no ELF"), b""):
        assert uncompressed(with_payload(payload)) is None
    assert uncompressed(b"no image") is None


def test_an_unpacked_kernel_is_what_boots(tmp_path: Path) -> None:
    built_in = "".join(f"{name}.ko\n" for name, _ in WANTED)
    image = tree(tmp_path, {}, built_in)
    assert open_kernel(image).boots == image
    image.with_name("vmlinux").write_bytes(ELF)
    kernel = open_kernel(image)
    assert (kernel.image, kernel.boots) == (image, image.with_name("vmlinux"))


def test_a_module_says_what_it_depends_on() -> None:
    assert dependencies(module("kvm", "cc-p")) == ("kvm", "cc_p")
    assert dependencies(module()) == ()
    assert dependencies(b"no module") == ()
    assert module_name("kvm-amd.ko.xz") == "kvm_amd"


def test_each_comes_after_what_it_depends_on_and_once() -> None:
    depends: dict[str, tuple[str, ...] | None] = {"a": ("b", "c"), "b": ("c",), "c": (), "d": ("c", "in"), "in": None}
    assert loading_order(("a", "d", "in"), depends.__getitem__) == ["c", "b", "a", "d"]


def test_a_kernel_with_modules_and_built_in_ones(tmp_path: Path) -> None:
    modules = {
        "kvm.ko": module(), "kvm-amd.ko.xz": lzma.compress(module("kvm")), "9p.ko.gz": gzip.compress(module("9pnet")),
        "9pnet.ko": module(),
    }  # fmt: skip
    built_in = "kernel/virtio_pci.ko\nkernel/9pnet_virtio.ko\nkernel/overlay.ko\nkernel/virtio-console.ko\n"
    kernel = open_kernel(tree(tmp_path, modules, built_in))
    assert kernel.release == RELEASE
    assert [path.name for path, _ in kernel.modules] == ["9pnet.ko", "9p.ko.gz", "kvm.ko", "kvm-amd.ko.xz"]
    assert kernel.modules[-1][1] == "nested=0"


def test_a_kernel_that_lacks_one_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(RigError, match=r"6\.1\.0-9-amd64 has no module virtio_pci"):
        open_kernel(tree(tmp_path, {"kvm.ko": module()}))


def test_what_is_no_kernel_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "vmlinuz"
    with pytest.raises(RigError, match="cannot be read"):
        open_kernel(image)
    image.write_bytes(b"MZ" * 1000)
    with pytest.raises(RigError, match="not a Linux kernel image"):
        open_kernel(image)


def test_a_damaged_module_is_named(tmp_path: Path) -> None:
    (tmp_path / "kvm.ko.xz").write_bytes(b"no xz")
    with pytest.raises(RigError, match=r"kvm\.ko\.xz: not a kernel module"):
        read_module(tmp_path / "kvm.ko.xz")

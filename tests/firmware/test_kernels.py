from __future__ import annotations

from pathlib import Path

import pytest

from qstress.errors import RigError
from qstress.firmware import kernels
from qstress.firmware.kernels import guest_kernel, newest, release_in
from tests.emulated.test_kernel import RELEASE, bzimage


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two fetched kernels, of which the older one is there uncompressed, too, and one that is half fetched; nothing is
    installed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kernels, "INSTALLED", tmp_path / "boot")
    for release in ("6.1.0-57-amd64", "6.12.117+deb13-amd64", ".fetch-x"):
        folder = tmp_path / "qstress/kernels" / release
        folder.mkdir(parents=True)
        (folder / "vmlinuz").write_bytes(bzimage(release))
    (tmp_path / "qstress/kernels/6.1.0-57-amd64/vmlinux").write_bytes(b"\x7fELF")
    return tmp_path / "qstress/kernels"


def test_the_release_is_read_from_the_image() -> None:
    assert release_in(bzimage()) == RELEASE
    assert release_in(b"\0" * 0x400) is None
    assert release_in(b"short") is None


def test_numbers_compare_as_numbers() -> None:
    assert newest(["6.1.0-9-amd64", "6.1.0-57-amd64"]) == "6.1.0-57-amd64"
    assert newest(["6.12.9+deb12-amd64", "6.1.99-1-amd64"]) == "6.12.9+deb12-amd64"


def test_auto_is_the_newest_and_a_version_is_not_another_that_begins_alike(cache: Path) -> None:
    new = (cache / "6.12.117+deb13-amd64/vmlinuz", "6.12.117+deb13-amd64")
    assert guest_kernel("auto", cache) == guest_kernel("6.12", cache) == new
    assert guest_kernel("6.1", cache) == (cache / "6.1.0-57-amd64/vmlinux", "6.1.0-57-amd64")  # no second of unpacking
    assert guest_kernel("6.1", cache, image=True) == (cache / "6.1.0-57-amd64/vmlinuz", "6.1.0-57-amd64")


def test_what_is_not_here_is_told_with_the_line_that_fetches_it(cache: Path) -> None:
    with pytest.raises(
        RigError, match=r"there is no kernel 5\.10 on this machine; run: qstress host fetch 5\.10$"
    ) as told:
        guest_kernel("5.10", cache)
    assert told.value.reason == "kernel"


def test_an_installed_one_serves_where_none_was_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kernels, "INSTALLED", tmp_path)
    with pytest.raises(RigError, match="run: qstress host fetch$"):
        guest_kernel("auto", tmp_path)
    (tmp_path / "vmlinuz-6.6.1-300").write_bytes(bzimage("6.6.1-300"))
    assert guest_kernel("auto", tmp_path) == (tmp_path / "vmlinuz-6.6.1-300", "6.6.1-300")


def test_a_path_is_relative_to_the_file_and_its_release_is_read(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bzimage("6.9.0"))
    (tmp_path / "elf").write_bytes(b"\x7fELF" + bytes(100) + b"Linux version 7.2.1 (me@here)\n")
    (tmp_path / "text").write_text("hello")
    assert guest_kernel("./image", tmp_path) == (tmp_path / "image", "6.9.0")
    assert guest_kernel(str(tmp_path / "elf"), Path("/")) == (tmp_path / "elf", "7.2.1")
    for name, told in (("text", "not a Linux kernel"), ("none", "cannot be read: No such file")):
        with pytest.raises(RigError, match=told):
            guest_kernel(f"./{name}", tmp_path)

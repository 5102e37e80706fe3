from __future__ import annotations

import os
from pathlib import Path

import pytest

from qstress.emulated.fetch import fetch, fetched, find
from qstress.errors import ConfigError, RigError
from tests.emulated.test_kernel import RELEASE, bzimage, module

BUILT_IN = "virtio_pci.ko\n9pnet_virtio.ko\n9p.ko\noverlay.ko\nvirtio_console.ko\nkvm.ko\n"


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution of one kernel: commands named as apt's on PATH, and a log of what they were asked."""
    programs, log = tmp_path / "bin", tmp_path / "log"
    programs.mkdir()
    tree = tmp_path / "package"
    modules = tree / "lib/modules" / RELEASE
    (tree / "boot").mkdir(parents=True)
    (modules / "kernel").mkdir(parents=True)
    (tree / f"boot/vmlinuz-{RELEASE}").write_bytes(bzimage())
    (modules / "modules.builtin").write_text(BUILT_IN)
    (modules / "kernel/kvm-amd.ko").write_bytes(module("kvm"))
    (modules / "kernel/never_used.ko").write_bytes(module())
    scripts = {
        "apt-cache": f"""case "$*" in
            "depends linux-image-amd64") echo "  Depends: linux-image-{RELEASE}";;
            "pkgnames linux-image-6.1") printf 'linux-image-%s\\n' 6.1.0-2-amd64 {RELEASE} 6.1.0-10-cloud-amd64;;
            pkgnames*) ;;
            *) exit 100;; esac""",
        "apt-get": """case "$*" in
            --print-uris*) echo "'http://example.org/k.deb' k.deb 71000000 SHA256:00";;
            *) : > k.deb;; esac""",
        "dpkg-deb": f'mkdir -p "$3" && cp -r {tree}/. "$3"',
    }
    for name, body in scripts.items():
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {log}\n{body}\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return log


def test_the_default_is_fetched_once_and_the_size_is_said_before(apt: Path) -> None:
    said: list[str] = []
    kernel = find("auto", said.append)
    assert kernel.release == RELEASE
    assert [path.name for path, _ in kernel.modules] == ["kvm-amd.ko"]
    assert len(said) == 1
    assert "(71 MB)" in said[0]
    assert find("auto", said.append) == kernel
    assert len(said) == 1, "it was there"
    assert [each.release for each in fetched()] == [RELEASE]


def test_only_what_is_loaded_is_kept_and_nothing_half_made(apt: Path, tmp_path: Path) -> None:
    fetch("auto", lambda line: None)
    kept = {path.name for path in (tmp_path / "cache/qstress/kernels").rglob("*") if path.is_file()}
    assert kept == {"vmlinuz", "modules.builtin", "kvm-amd.ko"}
    assert [path.name for path in (tmp_path / "cache/qstress/kernels").iterdir()] == [RELEASE]


def test_a_version_means_its_newest_kernel_of_the_usual_flavour(apt: Path) -> None:
    assert fetch("6.1", lambda line: None).release == RELEASE
    assert f"download linux-image-{RELEASE}" in apt.read_text()


def test_a_kernel_in_several_packages_is_fetched_whole(apt: Path, tmp_path: Path) -> None:
    """As Debian 14 has it: the image among the modules, below /usr, and its lists in a package of their own."""
    tree = tmp_path / "package"
    (tree / "usr").mkdir()
    (tree / "lib").rename(tree / "usr/lib")
    (tree / f"boot/vmlinuz-{RELEASE}").rename(tree / f"usr/lib/modules/{RELEASE}/vmlinuz")
    knows = tmp_path / "bin/apt-cache"
    parts = [f"{part}-{RELEASE}" for part in ("linux-base", "linux-binary", "linux-modules")]
    answers = "".join(f'"show {part}") echo "Package: {part}";;' for part in parts)
    knows.write_text(knows.read_text().replace('case "$*" in', f'case "$*" in {answers}'))
    kernel = fetch("auto", lambda line: None)
    assert kernel.release == RELEASE
    assert kernel.image.read_bytes() == bzimage()
    assert all(f"apt-get -qq download {name}" in apt.read_text() for name in (f"linux-image-{RELEASE}", *parts))


def test_what_cannot_be_had_says_so(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RigError, match=r"have no kernel 9\.9"):
        find("9.9", lambda line: None)
    with pytest.raises(ConfigError, match="neither auto, a kernel version"):
        find("nonsense", lambda line: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RigError, match="no apt-get here"):
        find("6.1", lambda line: None)


def test_a_path_is_a_kernel_wherever_it_lies(apt: Path) -> None:
    kernel = fetch("auto", lambda line: None)
    assert find(str(kernel.image), lambda line: None) == kernel
    assert find(str(kernel.image.parent), lambda line: None) == kernel

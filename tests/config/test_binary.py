from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
from pathlib import Path

import pytest

from qstress import distribution
from qstress.config.binary import find_binary, provenance, provenance_path, qemu_version, sha256_of
from qstress.errors import RigError

DEBIAN = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)"


def script(folder: Path, body: str, name: str = "qemu") -> Path:
    """An executable shell script; it stands for a QEMU binary."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def refused(path: Path, *, timeout_s: float = 10.0) -> str:
    with pytest.raises(RigError) as caught:
        qemu_version(path, {}, timeout_s=timeout_s)
    assert caught.value.reason == "not-qemu"
    return str(caught.value)


def test_a_name_is_looked_up_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script(tmp_path, "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary("qemu", Path("/nowhere")) == path


def test_a_path_is_relative_to_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script(tmp_path, "")
    assert find_binary("./qemu", tmp_path) == path
    assert find_binary(f"../{tmp_path.name}/qemu", tmp_path) == path
    assert find_binary(str(path), Path("/nowhere")) == path
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_binary("~/qemu", Path("/nowhere")) == path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no-such-qemu", "there is no executable 'no-such-qemu' on PATH"),
        ("./absent", "absent does not exist"),
        ("./folder", "folder is a folder"),
        ("./plain", "plain is not executable"),
    ],
)
def test_a_binary_that_cannot_be_run(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("x")
    with pytest.raises(RigError) as caught:
        find_binary(name, tmp_path)
    assert caught.value.reason == "qemu-missing"
    assert str(caught.value).endswith(f"{words}; on Debian or Ubuntu, install the package qemu-system-x86")


def test_a_qemu_that_a_distribution_has_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setitem(distribution.ELSEWHERE, "qemu-system-x86_64", tmp_path / "qemu")
    with pytest.raises(RigError, match="no executable 'qemu-system-x86_64' on PATH"):
        find_binary("qemu-system-x86_64", tmp_path)
    found = script(tmp_path, "")
    assert find_binary("qemu-system-x86_64", tmp_path) == found
    with pytest.raises(RigError):
        find_binary("qemu-system-i386", tmp_path)


def test_the_hash_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert sha256_of(path) == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(RigError, match="cannot be read") as caught:
        sha256_of(tmp_path / "absent")
    assert caught.value.reason == "qemu-missing"


def test_the_provenance_beside_a_binary(tmp_path: Path) -> None:
    path, link = tmp_path / "patched", tmp_path / "bin"
    link.symlink_to(path)
    assert provenance(path, "abc") is None
    provenance_path(path).write_text(json.dumps({"sha256": "abc", "patches": []}))
    assert provenance_path(path) == tmp_path / "patched.json"
    assert provenance(path, "abc") == provenance(link, "abc") == {"sha256": "abc", "patches": []}
    assert provenance(path, "another binary's") is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"sha256": null}', "[" * 9999, "\xff"])
def test_what_is_no_provenance(tmp_path: Path, content: str) -> None:
    provenance_path(tmp_path / "x").write_text(content, encoding="latin-1")
    assert provenance(tmp_path / "x", "abc") is None


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        (DEBIAN, "7.2.22"),
        ("QEMU emulator version 10.1.50 (v10.1.0-12-gabc)\nCopyright", "10.1.50"),
        ("warning: x\nQEMU emulator version 11.0.3", "11.0.3"),
    ],
)
def test_the_version(tmp_path: Path, printed: str, version: str) -> None:
    assert qemu_version(script(tmp_path, f"cat <<'E'\n{printed}\nE"), {}) == version


def test_it_is_asked_in_the_environment_of_its_build(tmp_path: Path) -> None:
    path = script(tmp_path, 'test "$1" = --version && echo "QEMU emulator version $NUMBER"')
    assert qemu_version(path, {"NUMBER": "9.9.9"}) == "9.9.9"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo; echo ' qemu-img version 7.2.22'", "its --version says 'qemu-img version 7.2.22'"),
        ("echo 'libx.so: cannot open' >&2; exit 127", "its --version says 'libx.so: cannot open'"),
        ("exit 0", "--version printed nothing"),
        ("while :; do echo noise || exit; done", "its --version says 'noise'"),
        (r"printf '\377\000\n'", "its --version says '\ufffd\\x00'"),
    ],
)
def test_what_is_not_qemu(tmp_path: Path, body: str, words: str) -> None:
    assert words in refused(script(tmp_path, body))


def test_a_file_that_the_kernel_cannot_run(tmp_path: Path) -> None:
    path = tmp_path / "qemu"
    path.write_bytes(b"\0\0\0\0")
    path.chmod(0o755)
    assert refused(path) == f"{path} cannot be started: Exec format error"


def test_one_that_hangs_is_killed(tmp_path: Path) -> None:
    assert "--version printed nothing in 0.2 s" in refused(script(tmp_path, "exec sleep 60"), timeout_s=0.2)


def test_no_child_of_it_is_left(tmp_path: Path) -> None:
    path = script(tmp_path, "sleep 60 >/dev/null 2>&1 & echo QEMU emulator version 1.$!")
    child = int(qemu_version(path, {}).removeprefix("1."))
    with contextlib.suppress(ProcessLookupError):
        ended = os.pidfd_open(child)  # readable once the process has ended
        select.select([ended], [], [])
        os.close(ended)

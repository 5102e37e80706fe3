from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qstress.config.binary import provenance, sha256_of
from qstress.config.kvm import KvmFacts
from qstress.config.load import load_config
from qstress.config.resolve import resolve
from qstress.errors import ConfigError, RigError
from qstress.model import Smm
from qstress.qemu_build import build as module
from qstress.qemu_build.build import build
from tests.host.hosts import program
from tests.host.trees import NINJA, diff, hunk, mail, tree

CONFIG = Path(__file__).parents[2] / "configs/patched-or-not.yaml"
NAME = "qemu-system-x86_64"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source tree, and a ninja for it on PATH; what is said while it is built is in ``said``."""
    program(tmp_path / "tools", "ninja", NINJA)
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:{os.environ['PATH']}")
    return tree(tmp_path / "source")


@pytest.fixture
def fix(tmp_path: Path) -> Path:
    path = tmp_path / "fix.patch"
    path.write_bytes(mail("[PATCH] kvm: five", diff(5, "five")))
    return path


def run(source: Path, *patches: Path, name: str = NAME, out: Path | None = None, said: list[str] | None = None) -> Path:
    return build(source, patches, out or source.parent / "out", name, ([] if said is None else said).append)


def refused(kind: type[Exception], source: Path, *patches: Path, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        run(source, *patches, **options)
    return str(caught.value)


def configured(source: Path) -> Sequence[str]:
    """The lines that configure was called with, one a call."""
    return (source.parent / "out/work/configured").read_text().splitlines()


def everything(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_a_binary_with_its_provenance_its_roms_and_its_progress(source: Path, fix: Path) -> None:
    before, said = everything(source), list[str]()
    binary = run(source, fix, said=said)
    assert binary == source.parent / "out/bin" / NAME
    assert (source.parent / "out/share/qemu/bios-256k.bin").read_text() == "rom"
    assert everything(source) == before
    assert said[:5] == [
        f"QEMU 9.8.7 from {source}", "applying fix.patch ('kvm: five')", "configuring", "compiled 1 of 2",
        "compiled 2 of 2",
    ]  # fmt: skip
    sha256 = sha256_of(binary)
    found = provenance(binary, sha256)
    assert found is not None
    assert found["source"] == {"version": "9.8.7", "commit": None, "modified": None, "package": None}
    assert found["patches"] == [
        {"file": "fix.patch", "sha256": sha256_of(fix), "subject": "kvm: five",
         "author": "Ann Uthor <a@example.org>"}
    ]  # fmt: skip
    assert found["version"] == "9.8.7"
    assert found["configure"] == configured(source)[0]
    assert "--target-list=x86_64-softmmu" in found["configure"]
    assert found["compiler"]


def test_two_builds_of_one_tree_are_configured_once_and_differ_by_the_patch(source: Path, fix: Path) -> None:
    binaries = [run(source, name="unpatched"), run(source, fix, name="patched"), run(source, name="again")]
    unpatched, patched, again = (binary.read_bytes() for binary in binaries)
    assert unpatched == again != patched
    assert len(configured(source)) == 1


def test_another_compiler_is_configured_anew(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(source)
    program(source.parent / "tools", "other-cc", "echo other-cc 1.0")
    monkeypatch.setenv("CC", "other-cc -m64")
    run(source)
    assert ["--cc=other-cc -m64" in line for line in configured(source)] == [False, True]


def test_a_folder_is_for_one_version(source: Path) -> None:
    binary = run(source)
    before = binary.read_bytes()
    (source / "VERSION").write_text("9.8.8\n")
    assert "holds builds of QEMU 9.8.7, and" in refused(ConfigError, source, name="newer")
    assert binary.read_bytes() == before
    (source.parent / "out/work/configured.json").write_text("{")
    run(source)


def test_what_was_interrupted_goes_on(source: Path) -> None:
    run(source)
    build_folder = source.parent / "out/work/build"
    (build_folder / "broken").touch()
    assert "QEMU does not compile: ninja ended with 9" in refused(RigError, source)
    (build_folder / "broken").unlink()
    run(source)
    assert len(configured(source)) == 1


def test_configure_that_failed_is_run_again(source: Path) -> None:
    (source / "missing").write_text("ERROR: Meson not found.  Use --meson=/path/to/meson\n")
    with pytest.raises(RigError, match="install the Debian package meson ") as caught:
        run(source)
    assert caught.value.reason == "build-needs"
    (source / "missing").write_text("noise\nERROR: unknown option --x\nTry --help\n")
    assert "QEMU's configure gave up: ERROR: unknown option --x (all it said: " in refused(RigError, source)
    (source / "missing").write_text("ERROR: missing subprojects\n\n--disable-download specified but …")
    assert "run 'git submodule update --init' in it, else 'meson subprojects" in refused(ConfigError, source)
    (source / "missing").unlink()
    run(source)
    assert len(configured(source)) == 4


def test_the_environment_does_not_change_the_build(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-O0")
    monkeypatch.setattr(sys, "executable", str(source.parent / "venv/bin/python"))
    monkeypatch.setattr(sys, "base_prefix", "/elsewhere")
    monkeypatch.setenv("PATH", f"{source.parent}/venv/bin:{os.environ['PATH']}")
    run(source)
    lines = (source.parent / "out/work/build/environment").read_text().splitlines()
    environment = dict(line.split("=", 1) for line in lines if "=" in line)
    assert "CFLAGS" not in environment
    assert f"{source.parent}/tools" in environment["PATH"]
    assert f"{source.parent}/venv/bin" not in environment["PATH"]


def test_a_patch_that_does_not_compile_is_told_in_the_compilers_words(source: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.patch").write_text(diff(3, "oops"))
    said = refused(RigError, source, tmp_path / "bad.patch")
    assert "QEMU does not compile: ../tree/target/kvm.c:3:1: error: unknown type name 'oops' (all it said: " in said
    assert not (tmp_path / f"out/bin/{NAME}").exists()
    run(source)


def test_a_patch_that_does_not_apply_leaves_the_next_build_alone(source: Path, fix: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.patch").write_text(diff(9, "nine") + hunk(20, "x", old="other"))
    stock = run(source).read_bytes()
    assert "bad.patch does not apply: target/kvm.c: hunk at line 19" in refused(
        ConfigError, source, fix, tmp_path / "bad.patch"
    )
    assert run(source).read_bytes() == stock


@pytest.mark.parametrize(
    ("name", "out", "words"),
    [
        ("../x", "out", "for it is a file's name"),
        ("", "out", "for it is a file's name"),
        (NAME, "an out", "a path with a space or a colon"),
        (NAME, "a:b", "a path with a space or a colon"),
        (NAME, "source/out", "lies in the source tree"),
        (NAME, "link/out", "lies in the source tree"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_made(
    source: Path, tmp_path: Path, name: str, out: str, words: str
) -> None:
    (tmp_path / "link").symlink_to(source)
    assert words in refused(ConfigError, source, name=name, out=tmp_path / out)
    assert not (tmp_path / out).exists()


def test_a_copy_is_no_source(source: Path, fix: Path) -> None:
    run(source)
    assert "name the tree it came from" in refused(
        ConfigError, source.parent / "out/work/tree", fix, out=source.parent / "out"
    )


def test_a_host_without_a_tool_is_told_the_package(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-cc")
    assert "there is no C compiler no-such-cc; install the Debian package gcc" in refused(RigError, source)
    monkeypatch.setenv("CC", "true")
    (tmp_path / "tools/ninja").unlink()
    for tool in ("dirname", "cat", "env", "true"):
        program(tmp_path / "tools", tool, f'exec /usr/bin/{tool} "$@"')
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))
    assert "install the Debian package ninja-build" in refused(RigError, source)
    (source / "pc-bios/bios-256k.bin").unlink()
    monkeypatch.setattr(module, "FIRMWARE_FOLDERS", ())
    assert "install the Debian package seabios" in refused(RigError, source)


def test_a_disk_that_refuses_is_told(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    assert f"cannot build in {tmp_path / 'out'}: " in refused(RigError, source)


def test_two_at_once_in_one_folder_are_refused(source: Path) -> None:
    def while_it_works(line: str) -> None:
        if line == "configuring":
            assert "another qstress build is at work" in refused(ConfigError, source)

    build(source, (), source.parent / "out", NAME, while_it_works)


@pytest.mark.parametrize(
    ("missing", "code", "stdout", "stderr"),
    [
        ("", 0, "{out}/bin/patched\n", "compiled 2 of 2\n"),
        ("ERROR: Cannot find Ninja\n", 4, "", "qstress: QEMU's configure misses something; install the Debian package"),
        ("ERROR: missing GIT submodules\n", 2, "", "the source tree is not complete"),
    ],
)
def test_the_command(source: Path, fix: Path, missing: str, code: int, stdout: str, stderr: str) -> None:
    if missing:
        (source / "missing").write_text(missing)
    out = source.parent / "out"
    arguments = ["--source", str(source), "--patch", str(fix), "--out", str(out), "--name", "patched"]
    done = subprocess.run(
        [sys.executable, "-m", "qstress", "build", *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (code, stdout.format(out=out))
    assert stderr in done.stderr


def test_the_shipped_pair_is_what_the_docs_build(
    source: Path, fix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, patches in (("unpatched", []), ("patched", [fix])):
        run(source, *patches, name=name, out=tmp_path / "qemu-builds")
    kvm = KvmFacts(usable=True, reason="", smm=False, max_vcpus=255)
    settings = resolve(load_config(CONFIG, environ={}), kvm=kvm, cores=2, base=CONFIG.parent)
    assert [one.version for one in settings.builds] == ["9.8.7", "9.8.7"]
    assert {one.smm for one in settings.builds} == {Smm.PRETENDED}
    found = [provenance(Path(one.binary), one.sha256) for one in settings.builds]
    assert [json.dumps(one["patches"]) != "[]" for one in found if one] == [False, True]

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from qstress.errors import ConfigError
from qstress.qemu_build.sources import Source, describe, mirror
from tests.host.trees import SOURCE, tree


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def content(folder: Path) -> dict[str, str]:
    """Everything in *folder*: relative paths, and what the files hold or where the links point."""
    return {
        str(path.relative_to(folder)): f"-> {path.readlink()}" if path.is_symlink() else path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_a_release_is_known_by_its_version(tmp_path: Path) -> None:
    assert describe(tree(tmp_path)) == Source("9.8.7", None, None, None)


def test_a_debian_source_package_is_known_by_its_changelog(tmp_path: Path) -> None:
    (tree(tmp_path) / "debian").mkdir()
    (tmp_path / "debian/changelog").write_text("qemu (1:9.8.7+dfsg-1) unstable; urgency=low\n\n  * x\n")
    assert describe(tmp_path).package == "qemu 1:9.8.7+dfsg-1"


def test_a_checkout_is_known_by_its_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    source = tree(tmp_path)
    git(source, "init", "-q")
    git(source, "add", ".")
    git(source, "commit", "-qm", "x")
    (source / "untracked").touch()
    commit = git(source, "rev-parse", "HEAD")
    assert describe(source) == Source("9.8.7", commit, False, None)
    (source / "VERSION").write_text("9.8.8\n")
    assert describe(source) == Source("9.8.8", commit, True, None)


def test_looking_at_a_checkout_does_not_write_its_index(tmp_path: Path) -> None:
    source = tree(tmp_path)
    git(source, "init", "-q")
    git(source, "add", ".")
    git(source, "commit", "-qm", "x")
    os.utime(source / "VERSION", (1, 1))
    index = (source / ".git/index").read_bytes()
    assert describe(source).modified is False
    assert (source / ".git/index").read_bytes() == index


def test_a_folder_in_somebody_elses_checkout_has_no_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "x")
    assert describe(tree(tmp_path / "qemu")).commit is None


@pytest.mark.parametrize("name", ["configure", "VERSION", "meson.build"])
def test_what_is_no_source_tree(tmp_path: Path, name: str) -> None:
    (tree(tmp_path) / name).unlink()
    with pytest.raises(ConfigError, match=f"not a QEMU source tree: it has no file {name}"):
        describe(tmp_path)


def test_a_copy_leaves_out_history_caches_and_builds(tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    for name in (".git/HEAD", "python/__pycache__/x.pyc", "roms/edk2/big", "build/build.ninja", "build/a/b.o"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    (source / "to-file").symlink_to("VERSION")
    (source / "to-folder").symlink_to("target")
    mirror(source, tmp_path / "copy")
    plain = content(tree(tmp_path / "plain"))
    assert content(tmp_path / "copy") == {**plain, "to-file": "-> VERSION", "to-folder": "-> target"}
    assert (tmp_path / "copy/configure").stat().st_mode & 0o111


def test_a_copy_is_brought_up_to_date_and_the_rest_keeps_its_time(tmp_path: Path) -> None:
    source, copy = tree(tmp_path / "source"), tmp_path / "copy"
    (source / "a/b").mkdir(parents=True)
    (source / "a/b/c").touch()
    (source / "d").touch()
    mirror(source, copy)
    kept = (copy / "VERSION").stat().st_mtime_ns
    (copy / "target/kvm.c").write_text(SOURCE.replace("5", "6"))  # as a patch leaves it: same size
    (copy / "left.rej").touch()
    (source / "VERSION").touch()
    (source / "meson.build").chmod(0o700)
    (source / "a/b/c").unlink()
    (source / "a/b").rmdir()
    (source / "a/b").touch()
    (source / "d").unlink()
    (source / "d").mkdir()
    (source / "d/e").symlink_to("nowhere")
    mirror(source, copy)
    assert content(copy) == content(source)
    assert (copy / "VERSION").stat().st_mtime_ns == kept
    assert (copy / "meson.build").stat().st_mode & 0o777 == 0o700
    assert (copy / "target/kvm.c").stat().st_mtime_ns > kept


def test_a_copy_never_writes_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "kvm.c").parent.mkdir()
    (outside / "kvm.c").write_text("9.8.7\n")
    source, copy = tree(tmp_path / "source"), tree(tmp_path / "copy")
    (copy / "VERSION").unlink()
    (copy / "VERSION").symlink_to(outside / "kvm.c")
    (copy / "target/kvm.c").unlink()
    (copy / "target").rmdir()
    (copy / "target").symlink_to(outside)
    mirror(source, copy)
    assert (outside / "kvm.c").read_text() == "9.8.7\n"
    assert content(copy) == content(source)

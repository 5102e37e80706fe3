from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from qstress.errors import RigError
from qstress.store.files import replace_file, store_errors, write_file


def test_a_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    replace_file(path, b"a longer first version")
    replace_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["summary.json"]


def test_content_is_synced_before_its_name_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, os.replace

    def watched_fsync(fd: int) -> None:
        steps.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    def watched_rename(old: Path, new: Path) -> None:
        steps.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_rename)
    replace_file(tmp_path / "f", b"x")
    assert steps == [str(tmp_path / ".f.tmp"), "rename", str(tmp_path)]


def test_a_refused_replacement_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_file(tmp_path / "f", b"old")

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(tmp_path / "f", b"new")
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == {"f": b"old"}


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        write_file(tmp_path / "link", b"x")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EDQUOT, "disk-full"),
        (errno.EROFS, "store"),
        (errno.EACCES, "store"),
        (errno.EIO, "store"),
    ],
)
def test_what_the_host_refuses_is_a_rig_error_with_path_and_remedy(number: int, reason: str) -> None:
    with pytest.raises(RigError) as caught, store_errors(Path("runs/x")):
        raise OSError(number, os.strerror(number))
    assert caught.value.reason == reason
    assert str(caught.value).startswith(f"runs/x: cannot record: {os.strerror(number)}; ")
    assert ("--resume" if reason == "disk-full" else "--runs-dir") in str(caught.value)


def test_a_full_database_is_a_full_disk() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("PRAGMA max_page_count = 2")
    db.execute("CREATE TABLE t (x)")
    with pytest.raises(RigError, match="disk is full") as caught, store_errors(Path("runs/x")):
        db.execute("INSERT INTO t VALUES (zeroblob(100000))")
    assert caught.value.reason == "disk-full"
    db.close()


def test_any_other_refusal_of_the_database_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(RigError, match="unable to open") as caught, store_errors(tmp_path):
        sqlite3.connect(tmp_path / "none" / "x.db")
    assert caught.value.reason == "store"


def test_a_bug_of_ours_is_not_blamed_on_the_host() -> None:
    with pytest.raises(sqlite3.ProgrammingError), store_errors(Path("runs/x")):
        raise sqlite3.ProgrammingError("Cannot operate on a closed database.")

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from qstress.errors import ConfigError
from qstress.store import database


def test_a_new_database_is_private_durable_and_strict(tmp_path: Path) -> None:
    with closing(database.create(tmp_path)) as db:
        assert {name: (tmp_path / name).stat().st_mode & 0o777 for name in os.listdir(tmp_path)} == {
            "trials.db": 0o600, "trials.db-wal": 0o600, "trials.db-shm": 0o600,
        }  # fmt: skip
        pragmas = {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
        assert pragmas == {"journal_mode": "wal", "synchronous": 2}
        tables = db.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'")
        strict = {name: value for name, value in tables if not name.startswith("sqlite")}
        assert strict == dict.fromkeys(
            ("session", "command", "kind", "verdict", "block", "sums", "host", "placed", "found_on"), 1
        )


def test_a_database_opened_again_is_as_durable(tmp_path: Path) -> None:
    database.create(tmp_path).close()
    with closing(database.open_for_writing(tmp_path)) as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_every_column_is_explained() -> None:
    lines = Path(database.__file__).with_name("schema.sql").read_text().splitlines()
    unexplained = {line.split()[0] for line in lines if line.startswith("    ") and "--" not in line}
    assert unexplained == {"id"}


def test_a_run_recorded_before_hosts_were_told_apart_is_read_and_gone_on_with(tmp_path: Path) -> None:
    with closing(database.create(tmp_path)) as db:
        for table in ("found_on", "placed", "host"):
            db.execute(f"DROP TABLE {table}")
    with closing(database.open_for_reading(tmp_path)) as db:
        assert list(db.execute("SELECT * FROM placed JOIN host ON host.id = placed.host")) == []
    with closing(database.open_for_writing(tmp_path)) as db:
        db.execute("INSERT INTO host VALUES (1, 'rack-7', '6.1')")
    with closing(database.open_for_reading(tmp_path)) as db:
        assert list(db.execute("SELECT name FROM host")) == [("rack-7",)]


def test_a_reader_cannot_write_and_leaves_nothing_behind(tmp_path: Path) -> None:
    database.create(tmp_path).close()
    with closing(database.open_for_reading(tmp_path)) as db, pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("INSERT INTO command (text) VALUES ('x')")
    assert os.listdir(tmp_path) == ["trials.db"]


def test_a_run_can_be_read_from_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.create(tmp_path).close()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with closing(database.open_for_reading(tmp_path)) as db:
        assert db.execute("SELECT count(*) FROM block").fetchone() == (0,)
        assert os.listdir(tmp_path) == ["trials.db"]


def test_a_run_can_be_read_from_a_full_disk(tmp_path: Path) -> None:
    """Its writer could neither move its last commits into the database nor leave room for WAL's shared memory."""
    (tmp_path / "whole").mkdir()
    with closing(database.create(tmp_path / "whole")) as db:
        db.execute("INSERT INTO command (text) VALUES ('x')")
        for name in ("trials.db", "trials.db-wal"):
            shutil.copy(tmp_path / "whole" / name, tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with closing(database.open_for_reading(tmp_path)) as db:
            assert db.execute("SELECT text FROM command").fetchone() == ("x",)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_no_database_and_something_else_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not a recorded run: there is no trials\.db"):
        database.open_for_reading(tmp_path)
    (tmp_path / "trials.db").write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(ConfigError, match="file is not a database"):
        database.open_for_reading(tmp_path)


@pytest.mark.parametrize("version", [1, 7])
@pytest.mark.parametrize("opened", [database.open_for_writing, database.open_for_reading])
def test_another_version_is_refused_in_one_line(
    tmp_path: Path, opened: Callable[[Path], sqlite3.Connection], version: int
) -> None:
    with closing(database.create(tmp_path)) as db:
        db.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(ConfigError, match=f"version {version}, this qstress reads version 2") as caught:
        opened(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_name_with_special_characters_is_no_part_of_the_uri(tmp_path: Path) -> None:
    folder = tmp_path / "a?mode=memory#b%41"
    folder.mkdir()
    database.create(folder).close()
    assert (folder / "trials.db").stat().st_size > 0

"""``trials.db`` opened, for writing or for reading.

WAL, so that a run can be read while it is written, and ``synchronous=FULL``, so that a commit survives a power
cut (sqlite.org/pragma.html#pragma_synchronous): a soak may take its host down.
"""

from __future__ import annotations

import os
import sqlite3
from importlib import resources
from pathlib import Path

from qstress.errors import ConfigError

#: ``PRAGMA user_version`` of a database that this qstress reads and writes.
VERSION = 2
NAME = "trials.db"


def create(folder: Path) -> sqlite3.Connection:
    """Make the database (0600) of a new run in *folder* and open it for writing.

    :raises OSError, sqlite3.DatabaseError: the host refuses.
    """
    path = folder / NAME
    # SQLite gives -wal and -shm the mode of the database, which it would make itself with 0644.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    db = _connect(path, "mode=rw")
    try:
        _durable(db)
        db.executescript(f"BEGIN; {_sql('schema.sql')} {_sql('hosts.sql')} COMMIT;")
    except BaseException:
        db.close()
        raise
    return db


def open_for_writing(folder: Path) -> sqlite3.Connection:
    """Open the database of a run to go on writing it.

    :raises ConfigError: there is none, or it is not one of this version.
    :raises sqlite3.DatabaseError: the host refuses.
    """
    db = _open_existing(folder / NAME, "mode=rw")
    _durable(db)
    db.executescript(f"BEGIN; {_sql('hosts.sql')} COMMIT;")
    return db


def open_for_reading(folder: Path) -> sqlite3.Connection:
    """Open the database of a run to read it; nothing is written but what SQLite needs to share or recover it.

    :raises ConfigError: there is none, or it is not one of this version.
    """
    path = folder / NAME
    wal = path.with_name(f"{NAME}-wal")
    # A folder that cannot be written cannot hold the shared memory of WAL; without a WAL none is needed.
    frozen = not os.access(folder, os.W_OK) and not (wal.exists() and wal.stat().st_size)
    how = "immutable=1" if frozen else "mode=rw"
    try:
        db = _open_existing(path, how)
    except ConfigError as error:
        if not isinstance(error.__cause__, sqlite3.OperationalError):
            raise
        db = _open_existing(path, how, alone=True)
    if not list(db.execute("SELECT 1 FROM sqlite_master WHERE name = 'placed'")):
        db.execute("PRAGMA temp_store = MEMORY")
        db.executescript(_sql("hosts.sql").replace("CREATE TABLE", "CREATE TEMP TABLE"))
    db.execute("PRAGMA query_only = ON")
    return db


def _sql(name: str) -> str:
    return resources.files("qstress.store").joinpath(name).read_text()


def _connect(path: Path, how: str) -> sqlite3.Connection:
    # One connection, guarded by the store's lock: lanes may record from worker threads.
    uri = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def _durable(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")


def _open_existing(path: Path, how: str, *, alone: bool = False) -> sqlite3.Connection:
    """*alone*: without the shared memory of WAL, for which a full disk has no room (sqlite.org/wal.html#noshm)."""
    if not path.is_file():
        raise ConfigError(f"{path.parent}: not a recorded run: there is no {NAME}")
    db = _connect(path, how)
    try:
        if alone:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
        ((version,),) = db.execute("PRAGMA user_version")
    except sqlite3.DatabaseError as error:
        db.close()
        raise ConfigError(f"{path}: {error}") from error
    if version != VERSION:
        db.close()
        raise ConfigError(f"{path}: version {version}, this qstress reads version {VERSION}")
    return db

"""Files that are there after a power cut, or not at all; and what to say when the host refuses them."""

from __future__ import annotations

import errno
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from qstress.errors import RigError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_BUGS = (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.NotSupportedError)


def run_folder_name(name: str, *, started: datetime, token: str) -> str:
    """Return ``<UTC time>-<name>-<token>``, the name of a run's folder.

    :param started: when the run began, with its time zone.
    :param token: a few random letters that make the name unique.
    """
    return f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{re.sub('[^A-Za-z0-9._-]+', '-', name)}-{token}"


def write_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write *data* to *path*, replacing what is there, and fsync it (not its folder).

    :raises OSError: the host refuses; what was written so far may be left at *path*.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)


def json_bytes(content: object) -> bytes:
    """Return *content* as JSON for people, too; what JSON lacks becomes text: a note must not cost a finding."""
    return json.dumps(content, indent=1, default=str).encode() + b"\n"


def replace_file(path: Path, data: bytes) -> None:
    """Put *data* at *path* in one step: a reader, or a power cut, sees the old content or the new.

    :raises OSError: the host refuses; the old content is untouched.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write_file(temporary, data)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in folder *path* durable (fsync of a folder; Linux: fsync(2), "Description").

    :raises OSError: the host refuses.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn what the host or SQLite refuses inside the block into one clear line.

    Misuse of SQLite (our bug) is passed on as it is.

    :raises RigError: the host refuses; it names *path* and a remedy, its reason is ``disk-full`` or ``store``.
    """
    try:
        yield
    except _BUGS:
        raise
    except (OSError, sqlite3.DatabaseError) as error:
        raise _store_error(path, error) from error


def _store_error(path: Path, error: OSError | sqlite3.DatabaseError) -> RigError:
    words = error.strerror if isinstance(error, OSError) else None
    if isinstance(error, OSError):
        full = error.errno in _FULL
    else:  # extended codes keep the primary one in their low byte (sqlite.org/rescode.html)
        full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    remedy = (
        "free some space there, then continue with --resume; what was recorded before is safe"
        if full
        else "check that the folder is there and can be written, or choose another with --runs-dir"
    )
    reason = "disk-full" if full else "store"
    return RigError(f"{path}: cannot record: {words or error}; {remedy}", reason=reason)

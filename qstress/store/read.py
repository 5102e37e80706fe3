"""Recorded runs, found and opened. A run that is still being written, or was killed, reads the same way."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qstress.errors import ConfigError
from qstress.store.record import RunRecord

#: Of ``run.json``.
FORMAT = 1


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One recorded run. Times are ISO 8601; ``trials`` and ``hangs`` are those of finished blocks.

    ``reason`` is that of ``summary.json``, or ``running``, ``killed`` (the last session never said why it ended)
    or ``unreadable``; with those three ``finished`` and ``exit_code`` are None. ``decisions`` holds what the run
    decided, one for each candidate (none where it did not compare, or did not end).
    """

    run_id: str
    path: Path
    name: str
    started: str
    finished: str | None
    reason: str
    exit_code: int | None
    trials: int
    hangs: int
    decisions: tuple[str, ...]


def open_run(path: Path) -> RunRecord:
    """Open the run in folder *path* for reading.

    :raises ConfigError: the folder is not a run of this version, or it is damaged.
    """
    if not (path / "run.json").is_file():
        raise ConfigError(f"{path}: not a recorded run: there is no run.json")
    run = _read_object(path / "run.json")
    if run.get("format") != FORMAT:
        found = run.get("format")
        raise ConfigError(f"{path}/run.json: format {found!r}, this qstress reads format {FORMAT}")
    summary = path / "summary.json"
    return RunRecord(path, run, _read_object(summary) if summary.exists() else None)


def _read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in file *path*.

    :raises ConfigError: it cannot be read or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not a JSON object")
    return content


def list_runs(runs_dir: Path) -> list[RunEntry]:
    """Return the runs in *runs_dir*, newest first; whatever has no ``run.json`` is passed over.

    :raises ConfigError: *runs_dir* cannot be listed. A folder that is not there holds no runs.
    """
    try:
        folders = [folder for folder in runs_dir.iterdir() if (folder / "run.json").is_file()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{runs_dir}: {error.strerror}") from error
    return sorted(map(_entry, folders), key=lambda entry: (entry.started, entry.run_id), reverse=True)


def reason_of(record: RunRecord) -> str:
    """Return why the run of *record* ended, as ``reason`` of :class:`RunEntry`."""
    return record.ended_because() or ("running" if _being_written(record.path) else "killed")


def _entry(path: Path) -> RunEntry:
    try:
        with open_run(path) as record:
            (trials, hangs), reason, run = record.counted(), reason_of(record), record.run
            summary: Any = (record.ended_because() and record.summary) or {}
    except ConfigError:
        return RunEntry(path.name, path, "", "", None, "unreadable", None, 0, 0, ())
    compared = summary.get("comparisons") or [summary.get("compare")]
    return RunEntry(
        run_id=path.name,
        path=path,
        name=str(run.get("name", "")),
        started=str(run.get("started", "")),
        finished=summary.get("finished"),
        reason=reason,
        exit_code=summary.get("exit_code"),
        trials=trials,
        hangs=hangs,
        decisions=tuple(str(one["decision"]) for one in compared if one),
    )


def _being_written(path: Path) -> bool:
    """Whether some process holds the lock that a run's writer holds (``write``)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False

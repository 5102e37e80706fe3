"""Recorded runs, found and opened. A run that is still being written, or was killed, reads the same way."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qstress.errors import ConfigError
from qstress.store.record import RunRecord

#: Of ``run.json``, and its ``kind`` in the folder of a fuzzing session.
FORMAT, FUZZ = 1, "fuzz"


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One recorded run. Times are ISO 8601; ``trials`` and ``hangs`` are those of finished blocks.

    ``reason`` is that of ``summary.json``, or ``running``, ``killed`` (the last session never said why it ended)
    or ``unreadable``; with those ``finished`` and ``exit_code`` are None. ``decisions`` holds what the run
    decided, one for each candidate (none where it did not compare, or did not end).

    Of a fuzzing session (``kind`` is ``fuzz``) ``trials`` are its guests and ``findings`` what it found; one without a
    summary is ``unfinished``: it runs, or was killed.
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
    kind: str = "soak"  # soak | fuzz
    findings: int | None = None


def open_run(path: Path) -> RunRecord:
    """Open the run in folder *path* for reading.

    :raises ConfigError: the folder is not a run of this version, or it is damaged.
    """
    if not (path / "run.json").is_file():
        raise ConfigError(f"{path}: not a recorded run: there is no run.json")
    run = _read_object(path / "run.json")
    if run.get("format") != FORMAT:
        raise ConfigError(f"{path}/run.json: format {run.get('format')!r}, this qstress reads format {FORMAT}")
    if run.get("kind") == FUZZ:
        raise ConfigError(f"{path}: a fuzzing session, not a soak; qstress report shows it")
    summary = path / "summary.json"
    return RunRecord(path, run, _read_object(summary) if summary.exists() else None)


def is_fuzzing_session(path: Path) -> bool:
    """Whether folder *path* holds what ``qstress fuzz`` recorded."""
    return (path / "run.json").is_file() and _read_object(path / "run.json").get("kind") == FUZZ


def fuzzing_session(path: Path) -> dict[str, Any]:
    """Return what the fuzzing session in folder *path* has come to: its ``summary.json``, or, without one, what
    ``run.json`` and ``state.json`` say, with its ``findings``.

    :raises ConfigError: it is no session, or damaged.
    """
    run = _read_object(path / "run.json")
    if run.get("kind") != FUZZ or run.get("format") != FORMAT:
        raise ConfigError(f"{path}: not a fuzzing session of format {FORMAT}")
    if (path / "summary.json").exists():
        session = _read_object(path / "summary.json")
    else:
        state = _read_object(path / "state.json") if (path / "state.json").exists() else {}
        session = {
            **{key: run.get(key) for key in ("format", "kind", "run", "name", "started", "host", "qemu")},
            **{key: state.get(key, 0) for key in ("guests", "commands", "elapsed_s")},
            "finished": None, "reason": "unfinished", "exit_code": None,
            "findings": [_read_object(file) for file in sorted(path.glob("findings/*/finding.json"))],
        }  # fmt: skip
    if missing := {"guests", "commands", "findings", "reason"} - session.keys():
        raise ConfigError(f"{path}: not the summary of a fuzzing session: no {', '.join(sorted(missing))}")
    return session


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
        if is_fuzzing_session(path):
            return _session_entry(path)
        with open_run(path) as record:
            (trials, hangs), reason, run = record.counted(), reason_of(record), record.run
            summary: Any = (record.ended_because() and record.summary) or {}
    except ConfigError:
        return RunEntry(path.name, path, "", "", None, "unreadable", None, 0, 0, ())
    compared = summary.get("comparisons") or [summary.get("compare")]
    decisions = tuple(str(one["decision"]) for one in compared if one)
    return RunEntry(**_head(path, run, summary), reason=reason, trials=trials, hangs=hangs, decisions=decisions)


def _session_entry(path: Path) -> RunEntry:
    session = fuzzing_session(path)
    return RunEntry(
        **_head(path, session, session), reason=str(session["reason"]), trials=session["guests"], hangs=0, decisions=(),
        kind=FUZZ, findings=len(session["findings"]),
    )  # fmt: skip


def _head(path: Path, run: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what soaks and sessions say of themselves alike; *summary* is empty where they have not ended."""
    return {
        "run_id": path.name,
        "path": path,
        "name": str(run.get("name", "")),
        "started": str(run.get("started", "")),
        "finished": summary.get("finished"),
        "exit_code": summary.get("exit_code"),
    }


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

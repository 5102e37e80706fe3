"""A recorded fuzzing session, printed again: whether it ended or was killed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qstress.errors import ConfigError
from qstress.fuzz.findings import BUG_FILE, write_bug
from qstress.fuzz.summary import summary_text
from qstress.report.cases import Case, CaseEnd
from qstress.report.github import error_line
from qstress.report.tap import tap
from qstress.report.wording import printable
from qstress.store.files import store_errors
from qstress.store.read import fuzzing_session


def printed_session(path: Path, form: str) -> str:
    """Return what ``qstress report`` prints of the session in folder *path*.

    :param form: ``text``, ``json``, ``tap``, or ``github``: the text, and an error for each finding that fails the
        session.
    :raises ConfigError: it is no session, or damaged.
    """
    session = fuzzing_session(path)
    folder = os.path.relpath(path)
    if form == "json":
        return json.dumps(session, indent=1) + "\n"
    if form == "tap":
        return tap(_cases(session, folder))
    said = f"{summary_text(session, folder)}\n" if "coverage" in session else _unfinished(session, folder)
    if form == "github":
        said += "".join(
            error_line(found["kind"], f"{found['title']}: qstress repro {folder}/findings/{found['folder']}") + "\n"
            for found in session["findings"]
            if not found["known"] and not found["note"]
        )
    return said


def _cases(session: Mapping[str, Any], folder: str) -> list[Case]:
    """Return a case for the session itself, and one for each finding: a failure if it fails the session."""
    unfinished = "it has not ended" if session["reason"] == "unfinished" else ""
    seen = f"{session['guests']} guests, {session['commands']:,} commands"
    made = [Case("session", str(session["name"]), CaseEnd.SKIPPED if unfinished else CaseEnd.PASSED, unfinished, seen)]
    for found in session["findings"]:
        forgiven = "known" if found["known"] else "a note" if found["note"] else ""
        line = f"qstress repro {folder}/findings/{found['folder']}"
        made.append(Case("finding", found["title"], CaseEnd.SKIPPED if forgiven else CaseEnd.FAILURE, forgiven, line))
    return made


def _unfinished(session: Mapping[str, Any], folder: str) -> str:
    """Return what a session that never came to its summary left."""
    head = f"not ended: {session['guests']} guests, {session['commands']:,} commands so far"
    lines = [head, f"findings: {len(session['findings'])}"]
    for found in session["findings"]:
        lines.append(f"  {printable(found['title'])}")
        lines.append(f"      seen {found['count']}x: qstress repro {folder}/findings/{found['folder']}")
    return "\n".join(lines) + "\n"


def printed_session_bug(path: Path, number: int) -> str:
    """Return the report of the finding whose folder has *number*, in the session in folder *path*.

    :raises ConfigError: it is no session, or has no such finding.
    """
    fuzzing_session(path)
    folder = next(path.glob(f"findings/{number:03d}-*"), None)
    if folder is None:
        raise ConfigError(f"{path}: --bug {number}: no folder in findings has this number")
    with store_errors(folder):
        write_bug(folder)
        return (folder / BUG_FILE).read_text()

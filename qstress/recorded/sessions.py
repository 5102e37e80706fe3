"""A recorded fuzzing session, printed again: whether it ended or was killed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qstress.fuzz.summary import summary_text
from qstress.report.github import error_line
from qstress.report.wording import printable
from qstress.store.read import fuzzing_session


def printed_session(path: Path, form: str) -> str:
    """Return what ``qstress report`` prints of the session in folder *path*.

    :param form: ``text``, ``json``, or ``github``: the text, and an error for each finding that fails the session.
    :raises ConfigError: it is no session, or damaged.
    """
    session = fuzzing_session(path)
    folder = os.path.relpath(path)
    if form == "json":
        return json.dumps(session, indent=1) + "\n"
    said = f"{summary_text(session, folder)}\n" if "coverage" in session else _unfinished(session, folder)
    if form == "github":
        said += "".join(
            error_line(found["kind"], f"{found['title']}: qstress repro {folder}/findings/{found['folder']}") + "\n"
            for found in session["findings"]
            if not found["known"] and not found["note"]
        )
    return said


def _unfinished(session: Mapping[str, Any], folder: str) -> str:
    """Return what a session that never came to its summary left."""
    head = f"not ended: {session['guests']} guests, {session['commands']:,} commands so far"
    lines = [head, f"findings: {len(session['findings'])}"]
    for found in session["findings"]:
        lines.append(f"  {printable(found['title'])}")
        lines.append(f"      seen {found['count']}x: qstress repro {folder}/findings/{found['folder']}")
    return "\n".join(lines) + "\n"

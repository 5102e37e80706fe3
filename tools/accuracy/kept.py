"""Rows in a file, so that many runs, in parts and cut short, make one table.

A line of JSON is what one part has booked since its last line; the lines of one row add up. They are appended, and may
come from several processes at once.
"""

from __future__ import annotations

import json
import os
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from qstress.model import FindingClass
from tools.accuracy.table import Grade, Row


def to_line(row: Row, revision: str) -> str:
    """Return *row* as a line of JSON, with the revision of the code that judged its trials."""
    times_s = [round(detection_s, 4) for detection_s in row.detections_s]
    held = {field.name: getattr(row, field.name) for field in fields(row)}
    return json.dumps({**held, "detections_s": times_s, "revision": revision}) + "\n"


def of_line(text: str) -> tuple[Row, str]:
    """Return the row and the revision that :func:`to_line` wrote.

    :raises ValueError: it is no such line.
    """
    try:
        held = json.loads(text)
        revision = str(held.pop("revision"))
        held["grades"] = Counter({Grade(word): n for word, n in held["grades"].items()})
        held["found"] = Counter({FindingClass(word): n for word, n in held["found"].items()})
        held["not_right"] = Counter(held["not_right"])
        held["detections_s"] = array("d", held["detections_s"])
        return Row(**held), revision
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a row: {text[:80]!r}") from error


def merged(lines: Iterable[str]) -> tuple[dict[str, Row], set[str]]:
    """Return the rows by name, in the order in which they appear first, and the revisions that judged them.

    :raises ValueError: there is a line that is no row.
    """
    rows: dict[str, Row] = {}
    revisions = set()
    for text in lines:
        row, revision = of_line(text)
        rows.setdefault(row.name, row.empty()).take(row)
        revisions.add(revision)
    return rows, revisions


def append(path: Path, lines: Iterable[str]) -> None:
    """Append *lines* to the file *path* in one write, so that nobody else's come in between."""
    with open(path, "ab", buffering=0) as file:
        file.write("".join(lines).encode())
        os.fsync(file.fileno())

"""Known findings: a file that turns them from failures into notes.

.. code-block:: yaml

    version: 1
    known:
      - {title: "crash: SIGABRT: qcow2.c: qcow2_get_specific_info: *", link: "https://…", until: "8.0"}

``title`` is a pattern (``*``, ``?``, ``[…]``), ``until`` the first QEMU version that should not show it any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from qstress.config.tree import Node, Position, Problem, display, plain, refusal
from qstress.config.yaml12 import parse_yaml
from qstress.errors import ConfigError

_VERSION = re.compile(r"\d+(\.\d+)*")


@dataclass(frozen=True, slots=True)
class KnownFinding:
    """One known finding."""

    title: str
    link: str
    until: str = ""


def load_known(path: Path) -> tuple[KnownFinding, ...]:
    """Read the file at *path*.

    :raises ConfigError: it cannot be read or is no such file; one line a problem, with line and column.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: known: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    root, problems = parse_yaml(text, lambda line, column: Position(0, line, column, str(path)))
    if root is None or (problems := problems or list(_problems(root))):
        raise refusal(problems)
    document: Any = plain(root)
    return tuple(KnownFinding(**entry) for entry in document["known"])


def covering(known: tuple[KnownFinding, ...], title: str, version: str) -> KnownFinding | None:
    """Return the first known finding that covers *title* on *version*."""
    for entry in known:
        if fnmatchcase(title, entry.title) and not (entry.until and _numbers(version) >= _numbers(entry.until)):
            return entry
    return None


def _problems(root: Node) -> Iterator[Problem]:
    top = root.value if isinstance(root.value, dict) else {}
    if set(top) != {"version", "known"} or top["version"].value != 1:
        yield Problem(root.place, "file", "must have  version: 1  and  known:  with a list, and nothing else")
    elif not isinstance(listed := top["known"].value, tuple):
        yield Problem(top["known"].place, "known", f"{display(listed)} is not a list")
    else:
        for index, node in enumerate(listed):
            yield from _problems_of_entry(node, f"known[{index}]")


def _problems_of_entry(node: Node, at: str) -> Iterator[Problem]:
    if not isinstance(node.value, dict):
        yield Problem(node.place, at, f"{display(node.value)} is not a mapping of title, link and until")
        return
    for key, value in node.value.items():
        if key not in ("title", "link", "until"):
            yield Problem(value.head, f"{at}.{key}", "unknown key; known here: title, link, until")
        elif not isinstance(value.value, str) or not value.value.strip():
            yield Problem(value.place, f"{at}.{key}", f"{display(value.value)} is not text; put it in quotes")
        elif key == "until" and not _VERSION.fullmatch(value.value):
            yield Problem(value.place, f"{at}.{key}", f"{display(value.value)} is not a version such as 8.0")
    for key in ("title", "link"):
        if key not in node.value:
            yield Problem(node.head, f"{at}.{key}", "is missing; this key is required")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])

"""A configuration as a tree of values that know where they were written, and problems that say so.

The tree is immutable: a setting that overrides another one makes a new tree (:func:`put`), so that a node which
two YAML aliases share can never change under one of them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from qstress.errors import ConfigError

Part = str | int
Loc = tuple[Part, ...]

#: More digits than this are no number anyone means; it also keeps clear of ``int()``'s own limit of 4300.
MAX_DIGITS = 40
MAX_PROBLEMS = 20
_UNUSABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where something was written. ``rank`` orders the sources (0: the file), ``line`` is 0 where lines mean nothing.

    ``line`` and ``column`` count from 1.
    """

    rank: int
    line: int
    column: int
    source: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place and that of its key. Lists are tuples, mappings are dicts with text keys."""

    place: Position
    value: str | int | float | bool | None | tuple[Node, ...] | dict[str, Node]
    key_place: Position | None = None

    @property
    def head(self) -> Position:
        """Where this node begins for a reader: at its key if it has one."""
        return self.key_place or self.place


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal: where, which key, what is wrong."""

    place: Position
    key: str
    text: str

    def __str__(self) -> str:
        line = f"{self.place}: {self.key}: {self.text}"
        return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in line)


def refusal(problems: Iterable[Problem]) -> ConfigError:
    """Return the error that shows *problems*, one a line, in the order of their places, at most MAX_PROBLEMS."""
    ordered = sorted(problems, key=lambda problem: problem.place)
    shown = ordered[:MAX_PROBLEMS]
    if len(ordered) > MAX_PROBLEMS:
        shown.append(Problem(ordered[MAX_PROBLEMS].place, "file", f"{len(ordered) - MAX_PROBLEMS} more problems"))
    return ConfigError("\n".join(map(str, shown)))


def dotted(loc: Loc) -> str:
    """Return *loc* as users write it: ``guest.smp[2]``; a name with a dot in it is quoted."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = re.fullmatch(r"[\w-]+", part)
            text += ("." if text else "") + (part if plain else json.dumps(part, ensure_ascii=False))
    return text or "file"


def display(value: object) -> str:
    """Return *value* as a message shows it: short, in YAML's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:59] + "…")
    return str(value)


def unusable(text: str) -> str | None:
    """Return why *text* can be no value: a control character or half a character in it; None if it can."""
    bad = _UNUSABLE.search(text)
    return f"the character U+{ord(bad.group()):04X} is not allowed" if bad else None


def plain(node: Node) -> object:
    """Return the bare values of *node*: lists, dicts and scalars."""
    if isinstance(node.value, tuple):
        return [plain(item) for item in node.value]
    if isinstance(node.value, dict):
        return {key: plain(item) for key, item in node.value.items()}
    return node.value


def from_plain(value: object, place: Position) -> Node:
    """Return *value* (scalars, paths, lists, dicts) as nodes that all stand at *place*.

    :raises ValueError: something in it is none of these, a number too long or not finite, or an unusable text.
    """
    if isinstance(value, (list, tuple)):
        return Node(place, tuple(from_plain(item, place) for item in value))
    if isinstance(value, dict):
        entries = {str(key): replace(from_plain(item, place), key_place=place) for key, item in value.items()}
        return Node(place, entries)
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    if isinstance(value, float) and value - value != 0:  # inf or nan
        raise ValueError("not a finite number")
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str) and (reason := unusable(value)):
        raise ValueError(reason)
    if value is None or isinstance(value, (str, int, float)):
        return Node(place, value)
    raise ValueError("neither a scalar, a list nor a mapping")


def find_node(root: Node, loc: Loc) -> tuple[Node, Loc]:
    """Return the node at *loc*, or the deepest one above it that exists, and the part of *loc* that leads to it.

    ``smp: 4`` may stand for ``smp: [4]``: there ``("smp", 0)`` finds the scalar at ``("smp",)``.
    """
    node = root
    for depth, part in enumerate(loc):
        children: dict[Part, Node] = {}
        if isinstance(node.value, dict):
            children = dict(node.value.items())
        elif isinstance(node.value, tuple):
            children = dict(enumerate(node.value))
        if part not in children:
            return node, loc[:depth]
        node = children[part]
    return node, loc


def put(node: Node, path: Loc, new: Node, done: Loc = ()) -> Node:
    """Return *node* with *new* at *path*; missing mappings on the way are made.

    :raises LookupError: *path* goes through a scalar, or names no entry of a list; its text says which.
    """
    if not path:
        return replace(new, key_place=node.key_place or new.place)
    part, rest = path[0], path[1:]
    at = dotted(done) if done else "the top level"
    if isinstance(node.value, tuple):
        if not re.fullmatch(r"[0-9]{1,9}", str(part)):
            raise LookupError(f"{at} is a list: {display(part)} is not the number of one of its entries")
        index = int(part)
        if index >= len(node.value):
            raise LookupError(f"{at} has {len(node.value)} entries, counted from 0")
        changed = put(node.value[index], rest, new, (*done, index))
        return replace(node, value=(*node.value[:index], changed, *node.value[index + 1 :]))
    if node.value is not None and not isinstance(node.value, dict):
        raise LookupError(f"{at} is {display(node.value)}, not a mapping")
    if isinstance(part, int):
        raise LookupError(f"{at} is not a list here; set it as a whole")
    entries = node.value or {}
    child = entries.get(part, Node(new.place, None, new.place))
    return replace(node, value={**entries, part: put(child, rest, new, (*done, part))})

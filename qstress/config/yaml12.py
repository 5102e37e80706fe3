"""YAML text to a tree: YAML 1.2 scalars on PyYAML's parser, with limits that no text can get past.

PyYAML's own loaders follow YAML 1.1 (``on`` is true, ``1:30`` is 90, ``017`` is 15), take duplicate keys silently and
recurse once per level. So this folds PyYAML's *events*, which come one by one: a text that is too deep or too big is
refused after the first events that show it. Scalars: YAML 1.2.2, section 10.3.2 (core schema), except that a leading
zero, infinity and not-a-number are refused.

By hand on purpose, also beside loaders of YAML 1.2: a loader builds the whole tree before anybody can refuse it, and a
place here may be an environment variable or a ``--set``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NoReturn

import yaml

from qstress.config.tree import MAX_DIGITS, Loc, Node, Position, Problem, display, dotted, unusable

MAX_DEPTH = 32
MAX_NODES = 10_000

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_CONSTANTS = {"": None, "~": None, "null": None, "Null": None, "NULL": None,
              "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}  # fmt: skip


class _Fatal(Exception):
    """What ends the reading of a text; carries the last problem."""


def scalar(text: str) -> str | int | float | bool | None:
    """Return what the plain (unquoted) scalar *text* means in YAML 1.2.

    :raises ValueError: it is a number nobody can mean; its text says why.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _LEADING_ZERO.fullmatch(text):
        digits = text.lstrip("+-0") or "0"
        raise ValueError(f"{text[:MAX_DIGITS]} has a leading zero; write {digits[:MAX_DIGITS]}, or put it in quotes")
    if _INT.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise ValueError(f"a number of more than {MAX_DIGITS} digits")
        return int(text, 0)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a finite number")
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text[:MAX_DIGITS]} is too big a number")
        return value
    return text


def parse_yaml(text: str, place_at: Callable[[int, int], Position]) -> tuple[Node | None, list[Problem]]:
    """Return the tree of the one document in *text*, and what is wrong with the text.

    The tree is None when reading had to stop; else every problem is local and the tree holds a stand-in.

    :param text: YAML; PyYAML passes over a byte order mark and does not count it as a column.
    :param place_at: makes a place of a line and a column, both counted from 1.
    """
    builder = _Builder(place_at)
    try:
        return builder.document(yaml.parse(text, Loader=yaml.SafeLoader)), builder.problems
    except _Fatal:
        pass
    except yaml.reader.ReaderError as error:
        # ``position`` counts characters; PyYAML gives no line here.
        before = text[: error.position]
        place = place_at(before.count("\n") + 1, len(before) - before.rfind("\n"))
        builder.problems.append(Problem(place, "yaml", f"the character U+{error.character:04X} is not allowed"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = place_at(mark.line + 1, mark.column + 1) if mark else place_at(1, 1)
        builder.problems.append(Problem(place, "yaml", _syntax(error)))
    except (yaml.YAMLError, ValueError, OverflowError, IndexError):
        # PyYAML lets these out for an escape like "\U7fffffff" or a %YAML directive of 5000 digits.
        words = "not valid YAML: an escape or a directive after this place means nothing"
        builder.problems.append(Problem(builder.last, "yaml", words))
    return None, builder.problems


def _syntax(error: yaml.MarkedYAMLError) -> str:
    """Reword what PyYAML says of a text that is not YAML."""
    problem = error.problem or "cannot be read"
    if "'\\t'" in problem:
        return "not valid YAML: a tab; indent with spaces"
    words = f"{problem} ({error.context})" if error.context else problem
    return f"not valid YAML: {words}"


class _Builder:
    """Folds events into nodes, counting; problems that do not stop it are collected."""

    def __init__(self, place_at: Callable[[int, int], Position]) -> None:
        self._place_at = place_at
        self._anchors: dict[str, Node] = {}
        self._count = 0
        self.problems: list[Problem] = []
        self.last = place_at(1, 1)

    def document(self, events: Iterator[yaml.Event]) -> Node:
        """Return the only document of *events*; an empty stream is null."""
        self._events = events
        next(events)  # the stream's start
        if isinstance(next(events), yaml.StreamEndEvent):
            return Node(self._place_at(1, 1), None)
        root = self._node(next(events), ())
        next(events)  # the document's end
        event = next(events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._stop(self._place(event), (), "a second document begins here; only one is read")
        return root

    def _place(self, event: yaml.Event) -> Position:
        mark = event.start_mark
        assert mark is not None  # every event of a parsed text has one
        return self._place_at(mark.line + 1, mark.column + 1)

    def _note(self, place: Position, loc: Loc, text: str) -> None:
        self.problems.append(Problem(place, dotted(loc), text))

    def _stop(self, place: Position, loc: Loc, text: str) -> NoReturn:
        self._note(place, loc, text)
        raise _Fatal

    def _spend(self, nodes: int, place: Position, loc: Loc) -> None:
        self._count += nodes
        if self._count > MAX_NODES:
            self._stop(place, loc, f"more than {MAX_NODES} values, aliases expanded")

    def _node(self, event: yaml.Event, loc: Loc) -> Node:
        place = self.last = self._place(event)
        self._spend(1, place, loc)
        if len(loc) >= MAX_DEPTH:
            self._stop(place, loc[:3], f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, place, loc)
        assert isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent))
        if event.tag is not None:
            self._note(place, loc, "tags (words that begin with !) are not accepted")
        if isinstance(event, yaml.ScalarEvent):
            node = Node(place, self._scalar(event, place, loc))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Node(place, tuple(self._items(loc)))
        else:
            node = Node(place, self._entries(loc))
        if event.anchor is not None:
            self._anchors[event.anchor] = node  # only now: a node inside itself finds no anchor
        return node

    def _scalar(self, event: yaml.ScalarEvent, place: Position, loc: Loc) -> str | int | float | bool | None:
        text: str = event.value
        if reason := unusable(text):
            self._note(place, loc, reason)
            return ""
        if event.style is not None:  # quoted, or a block of text
            return text
        try:
            return scalar(text)
        except ValueError as error:
            self._note(place, loc, str(error))
            return 0

    def _items(self, loc: Loc) -> Iterator[Node]:
        index = 0
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, (*loc, index))
            index += 1

    def _entries(self, loc: Loc) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, (*loc, "?"))
            name = self._key_name(key, event, loc)
            value = self._node(next(self._events), (*loc, name or "?"))
            if name is None:
                continue
            if name in entries:
                first = entries[name].key_place
                self._note(key.place, (*loc, name), f"given twice; the first one is at {first}")
            else:
                entries[name] = replace(value, key_place=key.place)
        return entries

    def _key_name(self, key: Node, event: yaml.Event, loc: Loc) -> str | None:
        if not isinstance(key.value, str):
            hint = "; put it in quotes" if not isinstance(key.value, (tuple, dict)) else ""
            self._note(key.place, loc, f"{display(key.value)} cannot be a key, only text can{hint}")
            return None
        if key.value == "<<" and isinstance(event, yaml.ScalarEvent) and event.style is None:
            self._note(key.place, (*loc, "<<"), "merge keys are not accepted; write the keys out or use an alias")
            return None
        return key.value

    def _alias(self, anchor: str | None, place: Position, loc: Loc) -> Node:
        node = self._anchors.get(anchor or "")
        if node is None:
            self._stop(place, loc, f"*{anchor} refers to nothing above it, or to what it is part of")
        size, height = _extent(node)
        self._spend(size, place, loc)
        if len(loc) + height > MAX_DEPTH:
            self._stop(place, loc[:3], f"nested more than {MAX_DEPTH} levels deep")
        return replace(node, place=place)


def _extent(node: Node) -> tuple[int, int]:
    """Return the number of values in *node*, aliases expanded, and of its levels (a scalar: 1 and 1)."""
    if not isinstance(node.value, (tuple, dict)):
        return 1, 1
    children = node.value if isinstance(node.value, tuple) else node.value.values()
    sizes = [_extent(child) for child in children]
    return 1 + sum(size for size, _ in sizes), 1 + max((height for _, height in sizes), default=0)

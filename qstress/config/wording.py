"""Pydantic's verdict on a tree in the words of the user: a place, a key and a problem each."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from qstress.config.checked import closest
from qstress.config.schema import SECTIONS
from qstress.config.tree import Loc, Node, Problem, display, dotted, find_node

#: What the structural error types of pydantic mean. Leaf values have checks of their own, with words of their own.
_STRUCTURE = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
}


def problems_of(error: ValidationError, root: Node) -> list[Problem]:
    """Return the problems of the tree *root* that *error* holds."""
    return [_problem(details, root) for details in error.errors(include_url=False)]


def problem_at(root: Node, loc: Loc, text: str) -> Problem:
    """Return a problem with what stands, or should stand, at *loc*: of a value that is missing, the parent's place."""
    node, reached = find_node(root, loc)
    is_bare_entry = len(loc) == len(reached) + 1 and isinstance(loc[-1], int)
    if reached == loc or is_bare_entry:
        inside = isinstance(node.value, (tuple, dict))  # a block begins on the line after its key
        return Problem(node.head if inside else node.place, dotted(reached), text)
    return Problem(node.head, dotted(loc), text)


def _problem(details: ErrorDetails, root: Node) -> Problem:
    loc, kind, context = details["loc"], details["type"], details.get("ctx", {})
    if kind == "qstress":
        if loc and loc[-1] == "[key]":
            return Problem(find_node(root, loc[:-1])[0].head, dotted(loc[:-1]), context["problem"])
        return problem_at(root, (*loc, *context["at"]), context["problem"])
    if kind == "missing":
        return problem_at(root, loc, "is missing; this key is required")
    if kind == "extra_forbidden":
        return Problem(find_node(root, loc)[0].head, dotted(loc), _unknown(loc))
    if kind == "too_short":
        return problem_at(root, loc, "is empty; name at least one")
    if kind in _STRUCTURE:
        return problem_at(root, loc, f"{display(details['input'])} is not {_STRUCTURE[kind]}")
    return problem_at(root, loc, f"{display(details['input'])} is not allowed here")


def _unknown(loc: Loc) -> str:
    """Say what may stand where the unknown key at *loc* stands."""
    key = str(loc[-1])
    for pattern, section in SECTIONS.items():
        if len(pattern) == len(loc) - 1 and all(want in ("*", part) for want, part in zip(pattern, loc, strict=False)):
            known = [field.alias or name for name, field in section.model_fields.items()]
            return "unknown key" + (closest(key, known) or f"; known here: {', '.join(known)}")
    return "unknown key"

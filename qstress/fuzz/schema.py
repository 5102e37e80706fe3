"""QEMU's own description of QMP, as ``query-qmp-schema`` returns it, and whether a value fits it (pure).

The reply is a flat list of entries with a ``meta-type``; names of types are opaque numbers that differ from build to
build, so they are only ever followed (QEMU: docs/devel/qapi-code-gen, "Client JSON Protocol introspection").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: What a JSON type of a built-in means in Python. ``bool`` is no number in QAPI.
_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "object": (dict,),
    "array": (list,),
}


@dataclass(frozen=True, slots=True)
class Builtin:
    """``str``, ``int``, ``number``, ``bool``, ``null``, or ``any`` (JSON type ``value``)."""

    json_type: str


@dataclass(frozen=True, slots=True)
class Enum:
    """One of ``values``."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Array:
    """Any number of ``element``."""

    element: str


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object; its default, where the schema tells one, is never used by QEMU's clients."""

    name: str
    type: str
    optional: bool


@dataclass(frozen=True, slots=True)
class Object:
    """``members``, and, where ``tag`` names one of them, those of the variant that its value selects."""

    members: tuple[Member, ...]
    tag: str | None
    variants: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Alternate:
    """Any one of ``types``, told apart by their JSON type."""

    types: tuple[str, ...]


Type = Builtin | Enum | Array | Object | Alternate


@dataclass(frozen=True, slots=True)
class Command:
    """``arguments`` and ``returns`` name types; ``oob`` says whether it may run out of band."""

    arguments: str
    returns: str
    oob: bool


class Schema:
    """What one QEMU says its QMP is."""

    def __init__(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Read the ``return`` of ``query-qmp-schema``.

        :raises ValueError: an entry is none that is documented, or names a type that is not there.
        """
        self.types: dict[str, Type] = {}
        self.commands: dict[str, Command] = {}
        self.events: dict[str, str] = {}
        for entry in entries:
            try:
                self._read(entry)
            except (KeyError, TypeError) as error:
                raise ValueError(f"not an entry of query-qmp-schema: {str(entry)[:100]}") from error
        used = {name for command in self.commands.values() for name in (command.arguments, command.returns)}
        used.update(self.events.values())
        for known in self.types.values():
            used.update(_named_by(known))
        if missing := sorted(used - self.types.keys()):
            raise ValueError(f"the schema lacks the type {missing[0]!r}")

    def object(self, name: str) -> Object:
        """Return the object type called *name* (a command's arguments always are one)."""
        found = self.types[name]
        assert isinstance(found, Object)
        return found

    def members(self, name: str, value: Mapping[str, Any]) -> tuple[Member, ...]:
        """Return the members that an object of type *name* has when it holds *value*: the variant's too."""
        kind = self.object(name)
        if kind.tag is None:
            return kind.members
        case = value.get(kind.tag)
        variant = kind.variants.get(case) if isinstance(case, str) else None
        return kind.members + (self.members(variant, value) if variant is not None else ())

    def misfit(self, value: Any, name: str, at: str = "") -> str | None:
        """Return what of *value* does not fit type *name*, the first thing only; None when it fits.

        The text names members and types, never values: equal faults have equal texts.
        """
        kind = self.types[name]
        if isinstance(kind, Builtin):
            return None if _is(value, kind.json_type) else f"{at or 'value'} is {_word(value)}, not {kind.json_type}"
        if isinstance(kind, Enum):
            return None if value in kind.values else f"{at or 'value'} is none of its enum's values"
        if isinstance(kind, Array):
            if not isinstance(value, list):
                return f"{at or 'value'} is {_word(value)}, not array"
            return next(filter(None, (self.misfit(item, kind.element, f"{at}[]") for item in value)), None)
        if isinstance(kind, Alternate):
            fits = any(self.misfit(value, option, at) is None for option in kind.types)
            return None if fits else f"{at or 'value'} fits no alternative"
        return self._object_misfit(value, name, at)

    def _object_misfit(self, value: Any, name: str, at: str) -> str | None:
        if not isinstance(value, dict):
            return f"{at or 'value'} is {_word(value)}, not object"
        members = self.members(name, value)
        for member in members:
            if member.name not in value:
                if not member.optional:
                    return f"{at}.{member.name} is missing"
            elif misfit := self.misfit(value[member.name], member.type, f"{at}.{member.name}"):
                return misfit
        extra = value.keys() - {member.name for member in members}
        return f"{at}.{min(extra)} is unexpected" if extra else None

    def _read(self, entry: Mapping[str, Any]) -> None:
        name, meta = entry["name"], entry["meta-type"]
        match meta:
            case "command":
                self.commands[name] = Command(entry["arg-type"], entry["ret-type"], bool(entry.get("allow-oob")))
            case "event":
                self.events[name] = entry["arg-type"]
            case "builtin":
                self.types[name] = Builtin(entry["json-type"])
            case "enum":
                values = [member["name"] for member in entry["members"]] if "members" in entry else entry["values"]
                self.types[name] = Enum(tuple(values))
            case "array":
                self.types[name] = Array(entry["element-type"])
            case "object":
                members = tuple(Member(m["name"], m["type"], "default" in m) for m in entry["members"])
                variants = {variant["case"]: variant["type"] for variant in entry.get("variants", ())}
                self.types[name] = Object(members, entry.get("tag"), variants)
            case "alternate":
                self.types[name] = Alternate(tuple(member["type"] for member in entry["members"]))
            case _:
                raise KeyError(meta)


def _named_by(kind: Type) -> Iterable[str]:
    match kind:
        case Array():
            return (kind.element,)
        case Object():
            return (*(member.type for member in kind.members), *kind.variants.values())
        case Alternate():
            return kind.types
        case _:
            return ()


def _is(value: Any, json_type: str) -> bool:
    if json_type == "value":
        return True
    return isinstance(value, _PYTHON[json_type]) and (json_type == "boolean" or not isinstance(value, bool))


def _word(value: Any) -> str:
    return next(word for word in _PYTHON if _is(value, word))

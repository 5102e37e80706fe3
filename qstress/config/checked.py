"""How a leaf of the configuration is checked: in our own words, beside the JSON Schema of what users write.

Each leaf is an ``Annotated`` type whose :class:`Checked` metadata holds both. A check raises :func:`wrong`, never
pydantic's own words.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from qstress.config.tree import Part, display

JsonSchema = dict[str, Any]
T = TypeVar("T")


def wrong(text: str, at: tuple[Part, ...] = ()) -> PydanticCustomError:
    """Return the error that a check raises; *at* leads from the checked value to the part that is wrong."""
    return PydanticCustomError("qstress", "{problem}", {"problem": text, "at": at})


def closest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the one of *known* that looks most like *word*, or nothing."""
    match = difflib.get_close_matches(word[:100], list(known), n=1)
    return f"; did you mean {match[0]!r}?" if match else ""


@dataclass(frozen=True, eq=False)  # hashed by identity: typing hashes metadata
class Checked:
    """Pydantic metadata: ``check`` alone decides on a value, ``json_schema`` describes what it accepts."""

    check: Callable[[Any], object]
    json_schema: JsonSchema

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return dict(self.json_schema)


class _OneOrMore:
    """Pydantic metadata: a list that is neither empty nor repeats itself, or one bare entry."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        array = {**handler(schema), "minItems": 1, "uniqueItems": True}
        return {"anyOf": [array["items"], array]}

    @staticmethod
    def _check(value: object, inner: core_schema.ValidatorFunctionWrapHandler) -> tuple[object, ...]:
        entries = list(value) if isinstance(value, (list, tuple)) else [value]
        if not entries:
            raise wrong("is empty; name at least one")
        checked: tuple[object, ...] = inner(entries)
        for index, entry in enumerate(checked):
            if entry in checked[:index]:
                raise wrong(f"{display(entries[index])} is listed twice", (index,))
        return checked


#: ``4`` or ``[2, 4]``: an axis. Always a tuple once read.
OneOrMore = Annotated[tuple[T, ...], _OneOrMore()]


def whole(lowest: int, highest: int) -> Checked:
    """A whole number from *lowest* to *highest*."""

    def check(value: object) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise wrong(f"{display(value)} is not a whole number from {lowest} to {highest}")
        return value

    return Checked(check, {"type": "integer", "minimum": lowest, "maximum": highest})


def fraction(*, inclusive: bool) -> Checked:
    """A number from 0 to 1, with or without these two."""

    def check(value: Any) -> float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and (0 < value < 1 or (inclusive and value in (0, 1))):
            return float(value)
        raise wrong(f"{display(value)} is not a number {'from 0 to 1' if inclusive else 'above 0 and below 1'}")

    lowest, highest = ("minimum", "maximum") if inclusive else ("exclusiveMinimum", "exclusiveMaximum")
    return Checked(check, {"type": "number", lowest: 0, highest: 1})


def among(literal: object) -> Checked:
    """One of the values of the ``Literal`` type *literal*."""
    values = get_args(literal)

    def check(value: object) -> object:
        for known in values:
            if type(value) is type(known) and value == known:
                return value
        hint = closest(value, map(str, values)) if isinstance(value, str) else ""
        raise wrong(f"{display(value)} is not one of: {', '.join(map(str, values))}{hint}")

    return Checked(check, {"enum": list(values)})


def boolean(value: object) -> bool:
    """Check ``true`` or ``false``."""
    if not isinstance(value, bool):
        raise wrong(f"{display(value)} is neither true nor false")
    return value


def nonempty_text(value: object) -> str:
    """Check a text that is not blank."""
    if not isinstance(value, str):
        quote = "; put it in quotes" if isinstance(value, (int, float)) else ""
        raise wrong(f"{display(value)} is not text{quote}")
    if not value.strip():
        raise wrong("is blank")
    return value


def one_line(value: object) -> str:
    """Check a text of one line."""
    if "\n" in nonempty_text(value):
        raise wrong("has more than one line")
    return nonempty_text(value)


def any_text(value: object) -> str:
    """Check a text, which may be empty."""
    return value if value == "" and isinstance(value, str) else nonempty_text(value)


def named(pattern: str, rule: str) -> Checked:
    """A text that matches *pattern* as a whole; *rule* says the same in words."""

    def check(value: object) -> str:
        if not re.fullmatch(pattern, nonempty_text(value)):
            raise wrong(f"{display(value)} is not a name: {rule}")
        return nonempty_text(value)

    return Checked(check, {"type": "string", "pattern": f"^{pattern}$"})

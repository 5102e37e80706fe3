from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from qstress.config.checked import (
    Checked,
    OneOrMore,
    among,
    any_text,
    boolean,
    closest,
    fraction,
    named,
    nonempty_text,
    one_line,
    whole,
)

COLOURS = Literal["red", "green"]


def problem(check: Any, value: object) -> str:
    """The words in which *check* refuses *value*."""
    with pytest.raises(PydanticCustomError) as caught:
        (check.check if isinstance(check, Checked) else check)(value)
    return str(caught.value)


@pytest.mark.parametrize("value", [0, 5, "4", 2.0, True, None, [2]])
def test_whole_refuses(value: object) -> None:
    assert problem(whole(1, 4), value).endswith(" is not a whole number from 1 to 4")


def test_whole_accepts_its_bounds() -> None:
    assert [whole(1, 4).check(value) for value in (1, 4)] == [1, 4]


@pytest.mark.parametrize("value", [-0.1, 1.1, "0.5", True, None])
def test_share_refuses(value: object) -> None:
    assert problem(fraction(inclusive=True), value).endswith(" is not a number from 0 to 1")


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, 2])
def test_an_open_share_refuses_its_bounds(value: object) -> None:
    assert problem(fraction(inclusive=False), value).endswith(" is not a number above 0 and below 1")
    if value != 2:
        assert fraction(inclusive=True).check(value) == value


def test_among() -> None:
    check = among(COLOURS)
    assert check.check("red") == "red"
    assert problem(check, "gren") == "'gren' is not one of: red, green; did you mean 'green'?"
    assert problem(check, 1) == "1 is not one of: red, green"
    assert problem(among(Literal[1]), True) == "true is not one of: 1"
    assert problem(among(Literal[1]), 1.0) == "1.0 is not one of: 1"


def test_texts() -> None:
    assert problem(nonempty_text, 5) == "5 is not text; put it in quotes"
    assert problem(nonempty_text, ["x"]) == "a list is not text"
    assert problem(nonempty_text, None) == "null is not text"
    assert problem(nonempty_text, " \n") == "is blank"
    assert problem(one_line, "a\nb") == "has more than one line"
    assert any_text("") == ""
    assert problem(any_text, 1) == "1 is not text; put it in quotes"
    assert problem(boolean, "on") == "'on' is neither true nor false"
    assert problem(boolean, 1) == "1 is neither true nor false"
    assert problem(named("[a-z]+", "small letters"), "aB") == "'aB' is not a name: small letters"
    assert problem(named("[a-z]+", "small letters"), "ab\n") == "'ab\\n' is not a name: small letters"


def test_closest() -> None:
    assert closest("hamer", ["hammer", "guest"]) == "; did you mean 'hammer'?"
    assert closest("zzz", ["hammer"]) == ""


AXIS: TypeAdapter[tuple[int, ...]] = TypeAdapter(OneOrMore[Annotated[int, whole(1, 9)]])


def test_one_or_more_is_a_tuple() -> None:
    assert [AXIS.validate_python(value) for value in (3, [3], [3, 1])] == [(3,), (3,), (3, 1)]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "is empty; name at least one"),
        ([3, 1, 3], "3 is listed twice"),
        ([0], "0 is not a whole number from 1 to 9"),
    ],
)
def test_one_or_more_refuses(value: list[int], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AXIS.validate_python(value)
    (details,) = caught.value.errors()
    assert details["msg"] == words


def test_the_json_schema_of_one_or_more_has_both_forms() -> None:
    item = {"type": "integer", "minimum": 1, "maximum": 9}
    array = {"type": "array", "items": item, "minItems": 1, "uniqueItems": True}
    assert AXIS.json_schema() == {"anyOf": [item, array]}

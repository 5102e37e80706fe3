"""The live schema, read: what fits it, what does not, and what is no schema."""

from __future__ import annotations

from typing import Any

import pytest

from qstress.fuzz.schema import Alternate, Array, Builtin, Enum, Schema
from tests.fuzz.samples import ENTRIES, schema


def test_every_meta_type_is_read() -> None:
    made = schema()
    assert made.types["str"] == Builtin("string")
    assert made.types["1"] == Enum(("file", "raw"))
    assert made.types["[2]"] == Array("2")
    assert made.types["5"] == Alternate(("2", "str"))
    assert [member.name for member in made.members("2", {"driver": "raw"})] == ["driver", "node-name", "file"]
    assert made.commands["query-yank"].oob
    assert not made.commands["stop"].oob
    assert made.events == {"STOP": "0", "RESET": "6"}


@pytest.mark.parametrize(
    "value",
    [
        {"driver": "file", "filename": "f"},
        {"driver": "raw", "file": "n0", "node-name": "n1"},
        {"driver": "raw", "file": {"driver": "raw", "file": {"driver": "file", "filename": ""}}},
    ],
)
def test_what_fits(value: object) -> None:
    assert schema().misfit(value, "2") is None


@pytest.mark.parametrize(
    ("value", "type_name", "misfit"),
    [
        ({"driver": "file"}, "2", ".filename is missing"),
        ({"driver": "qcow2"}, "2", ".driver is none of its enum's values"),
        ({"driver": "file", "filename": 1}, "2", ".filename is int, not string"),
        ({"driver": "file", "filename": "", "file": ""}, "2", ".file is unexpected"),
        ({"driver": "raw", "file": {"driver": "file"}}, "2", ".file fits no alternative"),
        ([{"driver": "file"}], "[2]", "[].filename is missing"),
        ({}, "[2]", "value is object, not array"),
        ("x", "2", "value is string, not object"),
        ({"running": 1, "status": ""}, "6", ".running is int, not boolean"),
        ({"size": True}, "9", ".size is boolean, not int"),
        ({"size": 1.5}, "9", ".size is number, not int"),
        ({"size": 1, "gone": 0}, "9", ".gone is int, not null"),
    ],
)
def test_what_does_not_fit_is_named_without_values(value: object, type_name: str, misfit: str) -> None:
    assert schema().misfit(value, type_name) == misfit


def test_an_int_is_a_number_and_anything_is_any() -> None:
    made = schema()
    assert made.misfit({"size": 1, "ratio": 2}, "9") is None
    assert made.misfit([None, {"a": []}], "any") is None


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "x"},
        {"name": "x", "meta-type": "surprise"},
        {"name": "x", "meta-type": "array", "element-type": "nowhere"},
        {"name": "x", "meta-type": "command", "arg-type": "0", "ret-type": "nowhere"},
        {"name": "x", "meta-type": "object"},
    ],
)
def test_what_is_no_schema_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"schema|query-qmp-schema"):
        Schema([*ENTRIES, entry])


def test_an_enum_with_features_names_its_values_in_members() -> None:
    made = Schema([{"name": "e", "meta-type": "enum", "members": [{"name": "a"}, {"name": "b", "features": []}]}])
    assert made.types["e"] == Enum(("a", "b"))

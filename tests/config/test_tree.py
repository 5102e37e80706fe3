from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from qstress.config.tree import (
    MAX_PROBLEMS,
    Loc,
    Node,
    Position,
    Problem,
    display,
    dotted,
    find_node,
    from_plain,
    plain,
    put,
    refusal,
    unusable,
)

HERE = Position(0, 3, 5, "a.yaml")
THERE = Position(1, 0, 0, "--set x")


def tree(value: object) -> Node:
    return from_plain(value, HERE)


@pytest.mark.parametrize(
    ("loc", "text"),
    [
        ((), "file"),
        (("guest", "smp", 2), "guest.smp[2]"),
        (("hammer", 0, "rate"), "hammer[0].rate"),
        (("builds", "v7.2", "binary"), 'builds."v7.2".binary'),
        (("builds", "fix-imitated"), "builds.fix-imitated"),
    ],
)
def test_dotted(loc: Loc, text: str) -> None:
    assert dotted(loc) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (1.5, "1.5"), ("x", "'x'"), ([], "an empty list"), ([1], "a list"),
        ({}, "a mapping"), ("y" * 100, repr("y" * 59 + "…")),
    ],
)  # fmt: skip
def test_shown(value: object, text: str) -> None:
    assert display(value) == text


def test_a_place_shows_its_line_only_where_it_has_one() -> None:
    assert (str(HERE), str(THERE)) == ("a.yaml:3:5", "--set x")


def test_a_problem_is_one_printable_line() -> None:
    assert str(Problem(HERE, "a", "x\ny\udcff")) == "a.yaml:3:5: a: x\\ny\\udcff"


def test_a_refusal_is_in_the_order_of_places_and_capped() -> None:
    problems = [Problem(Position(0, line, 1, "f"), "k", "p") for line in range(30, 0, -1)]
    lines = str(refusal(problems)).splitlines()
    assert lines[0] == "f:1:1: k: p"
    assert lines[MAX_PROBLEMS - 1] == f"f:{MAX_PROBLEMS}:1: k: p"
    assert lines[MAX_PROBLEMS:] == [f"f:{MAX_PROBLEMS + 1}:1: file: 10 more problems"]


def test_plain_undoes_from_plain() -> None:
    value = {"a": [1, 2.5, None, True], "b": {"c": "d"}}
    assert plain(tree(value)) == value
    assert plain(tree(Path("x/y"))) == "x/y"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(10**5000, "a number of more than 40 digits", id="huge"),
        (-(10**40), "a number of more than 40 digits"),
        (float("nan"), "not a finite number"),
        ([float("inf")], "not a finite number"),
        ("\0", r"U\+0000 is not allowed"),
        ({"a": "\udcff"}, r"U\+DCFF is not allowed"),
        (b"x", "neither a scalar, a list nor a mapping"),
    ],
)
def test_from_plain_refuses(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tree(value)


@pytest.mark.parametrize(("text", "bad"), [("a\tb\nc é", False), ("a\0", True), ("\x7f", True), ("\ud800", True)])
def test_unusable(text: str, bad: bool) -> None:
    assert (unusable(text) is not None) == bad


@pytest.mark.parametrize(
    ("loc", "value", "reached"),
    [
        (("a", 1), 6, ("a", 1)),
        (("a", 7), [5, 6], ("a",)),
        (("b", 0), 4, ("b",)),
        (("b", "c"), 4, ("b",)),
        ((), {"a": [5, 6], "b": 4}, ()),
    ],
)
def test_find_goes_as_deep_as_it_can(loc: Loc, value: object, reached: Loc) -> None:
    node, found = find_node(tree({"a": [5, 6], "b": 4}), loc)
    assert (plain(node), found) == (value, reached)


def test_put_makes_a_new_tree_and_leaves_the_old_one() -> None:
    old = tree({"a": [{"b": 1}], "c": None})
    new = put(old, ("a", "0", "b"), from_plain(2, THERE))
    assert (plain(old), plain(new)) == ({"a": [{"b": 1}], "c": None}, {"a": [{"b": 2}], "c": None})
    assert find_node(new, ("a", 0, "b"))[0].place == THERE
    assert plain(put(old, ("c", "d", "e"), tree(3))) == {"a": [{"b": 1}], "c": {"d": {"e": 3}}}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("a", 2), "a has 2 entries, counted from 0"),
        (("a", "x"), "a is a list: 'x' is not the number of one of its entries"),
        (("b", "x"), "b is 4, not a mapping"),
        (("m", 0), "m is not a list here; set it as a whole"),
        (("new", 0), "new is not a list here; set it as a whole"),
        ((0,), "the top level is not a list here; set it as a whole"),
    ],
)
def test_put_refuses(path: Loc, text: str) -> None:
    with pytest.raises(LookupError) as caught:
        put(tree({"a": [5, 6], "b": 4, "m": {}}), path, tree(1))
    assert caught.value.args == (text,)


def test_a_tree_pickles() -> None:
    node = tree({"a": [1]})
    assert pickle.loads(pickle.dumps(node)) == node

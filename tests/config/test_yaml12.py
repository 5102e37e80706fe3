from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstress.config.tree import Position, plain
from qstress.config.yaml12 import MAX_DEPTH, MAX_NODES, parse_yaml, scalar


def at(line: int, column: int) -> Position:
    return Position(0, line, column, "f")


def value_of(text: str) -> object:
    node, problems = parse_yaml(text, at)
    assert node is not None
    assert problems == []
    return plain(node)


def problems_of(text: str) -> list[str]:
    return [str(problem) for problem in parse_yaml(text, at)[1]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("No", "No"), ("y", "y"), ("true", True), ("False", False),
        ("tRUE", "tRUE"), ("", None), ("~", None), ("null", None), ("Null", None), ("nULL", "nULL"),
        ("0", 0), ("-7", -7), ("+7", 7), ("-0", 0), ("0o17", 15), ("0x1F", 31), ("0b11", "0b11"), ("1_000", "1_000"),
        ("1:30", "1:30"), ("2001-01-01", "2001-01-01"), ("=", "="), ("1.5", 1.5), (".5", 0.5), ("5.", 5.0),
        ("1e-6", 1e-6), ("1E3", 1000.0), ("1e", "1e"), (".", "."), ("2ms", "2ms"), ("-x", "-x"), ("١", "١"),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    found = scalar(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("017", "017 has a leading zero; write 17, or put it in quotes"),
        ("-00", "-00 has a leading zero; write 0, or put it in quotes"),
        (".inf", ".inf is not a finite number"),
        ("-.INF", "-.INF is not a finite number"),
        (".nan", ".nan is not a finite number"),
        ("1e999", "1e999 is too big a number"),
        ("9" * 5000, "a number of more than 40 digits"),
        ("0x" + "f" * 5000, "a number of more than 40 digits"),
    ],
)
def test_numbers_that_are_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match="^") as caught:
        scalar(text)
    assert str(caught.value) == problem
    assert problems_of(f"a: {text}") == [f"f:1:4: a: {problem}"]


def test_a_document_with_every_kind_of_value() -> None:
    text = "a: [1, 'on', \"017\"]\nb:\n  - c: |\n      x\n  - {d: }\n"
    assert value_of(text) == {"a": [1, "on", "017"], "b": [{"c": "x\n"}, {"d": None}]}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "--- ~\n...\n"])
def test_an_empty_document_is_null(text: str) -> None:
    assert value_of(text) is None


def test_marks_point_at_keys_and_values() -> None:
    node, _ = parse_yaml("a:\n  b:  5\n", at)
    assert node is not None
    assert isinstance(node.value, dict)
    inner = node.value["a"].value
    assert isinstance(inner, dict)
    assert (inner["b"].key_place, inner["b"].place) == (at(2, 3), at(2, 7))


def test_aliases_are_expanded_where_they_stand() -> None:
    assert value_of("a: &x [1, 2]\nb: *x\nc: &x 3\nd: *x\n") == {"a": [1, 2], "b": [1, 2], "c": 3, "d": 3}
    node, _ = parse_yaml("a: &x 1\nb: *x\n", at)
    assert node is not None
    assert isinstance(node.value, dict)
    assert node.value["b"].place == at(2, 4)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", "f:3:1: a: given twice; the first one is at f:1:1"),
        ("g:\n  a: 1\n  'a': 3\n", "f:3:3: g.a: given twice; the first one is at f:2:3"),
        ("1: x", "f:1:1: file: 1 cannot be a key, only text can; put it in quotes"),
        ("g: {null: x}", "f:1:5: g: null cannot be a key, only text can; put it in quotes"),
        ("? [a]\n: x", "f:1:3: file: a list cannot be a key, only text can"),
        ("{}: x", "f:1:1: file: a mapping cannot be a key, only text can"),
        ("b: &x {}\n<<: *x", 'f:2:1: "<<": merge keys are not accepted; write the keys out or use an alias'),
        ("a: !!python/object/apply:os.system [x]", "f:1:4: a: tags (words that begin with !) are not accepted"),
        ("a: !!str 5", "f:1:4: a: tags (words that begin with !) are not accepted"),
        ("a: ! 5", "f:1:4: a: tags (words that begin with !) are not accepted"),
        ("a: *x", "f:1:4: a: *x refers to nothing above it, or to what it is part of"),
        ("a: &x [1, *x]", "f:1:11: a[1]: *x refers to nothing above it, or to what it is part of"),
        ("a: 1\n---\nb: 2", "f:2:1: file: a second document begins here; only one is read"),
        ("a: 1\n...\n---\n", "f:3:1: file: a second document begins here; only one is read"),
        ("a: 1\n\tb: 2", "f:2:1: yaml: not valid YAML: a tab; indent with spaces"),
        ("a: b: c", "f:1:5: yaml: not valid YAML: mapping values are not allowed here"),
        (
            "a: [1",
            (
                "f:1:6: yaml: not valid YAML: expected ',' or ']', but got '<stream end>' "
                "(while parsing a flow sequence)"
            ),
        ),
        ("a: 1\nb: \x00", "f:2:4: yaml: the character U+0000 is not allowed"),
        ("\x07", "f:1:1: yaml: the character U+0007 is not allowed"),
        ("a: \ud800", "f:1:4: yaml: the character U+D800 is not allowed"),
        (r'a: "\0"', "f:1:4: a: the character U+0000 is not allowed"),
        (r'a: "\uDC00"', "f:1:4: a: the character U+DC00 is not allowed"),
        (r'a: "\UFFFFFFFF"', "f:1:1: yaml: not valid YAML: an escape or a directive after this place means nothing"),
        (
            "%YAML 1." + "9" * 5000 + "\n--- a",
            "f:1:1: yaml: not valid YAML: an escape or a directive after this place means nothing",
        ),
    ],
)
def test_texts_that_are_refused(text: str, problem: str) -> None:
    assert problems_of(text) == [problem]


def test_several_local_problems_are_noted_at_once() -> None:
    text = "a: 017\n1: x\nb: .nan\nb: 2\n"
    assert len(problems_of(text)) == 4


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_nesting_is_refused_however_deep(opening: str) -> None:
    (problem,) = problems_of(opening * 100_000)
    assert problem.endswith(f"nested more than {MAX_DEPTH} levels deep")


def test_nesting_up_to_the_limit_is_read() -> None:
    assert parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, at)[0] is not None
    assert parse_yaml("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), at)[0] is None


def test_nesting_through_aliases_is_refused() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 100))
    assert problems_of(text)[-1].endswith(f"nested more than {MAX_DEPTH} levels deep")


def test_an_alias_bomb_is_refused() -> None:
    text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    text += "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 20))
    (problem,) = problems_of(text)
    assert problem.endswith(f"more than {MAX_NODES} values, aliases expanded")


def test_many_values_are_refused() -> None:
    (problem,) = problems_of("- x\n" * (MAX_NODES + 1))
    assert problem.endswith(f"more than {MAX_NODES} values, aliases expanded")


@settings(deadline=None, max_examples=300, database=None)
@given(st.text() | st.text(alphabet="[]{}:,-?&*!|>'\"%@`#~<a1 \n\t\\xuU0e.+"))
def test_no_text_gets_past_it(text: str) -> None:
    node, problems = parse_yaml(text, at)
    assert node is not None or problems


_leaf = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text("abcé \n", max_size=5)


@settings(deadline=None, max_examples=100, database=None)
@given(st.recursive(_leaf, lambda inner: st.lists(inner) | st.dictionaries(st.text("abc -"), inner), max_leaves=20))
def test_json_is_read_as_json(value: object) -> None:
    assert value_of(json.dumps(value)) == value

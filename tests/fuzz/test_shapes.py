"""The parts of HMP lines that help does not tell."""

from __future__ import annotations

from random import Random

from qstress.fuzz.pool import Pool
from qstress.fuzz.shapes import SHAPES, expression, number, typable


def test_every_shape_makes_typable_text() -> None:
    pool = Pool()
    for name, shape in SHAPES.items():
        lines = [shape(pool, Random(seed)) for seed in range(100)]
        assert all(line == typable(line) for line in lines), name
        assert len(set(lines)) > 2, name


def test_expressions_use_all_operators_and_edges() -> None:
    rng = Random(1)
    text = " ".join(expression(rng, 3) for _ in range(3000))
    assert all(operator in text for operator in "+-*/%&|^()$")
    assert str(-(1 << 63)) in text


def test_numbers_are_decimal_and_hexadecimal() -> None:
    numbers = [number(Random(seed)) for seed in range(200)]
    assert any(text.startswith(("0x", "-0x")) for text in numbers)
    assert all(int(text, 0) == int(text, 0) for text in numbers)


def test_control_characters_are_not_typed() -> None:
    assert typable("a\x1b[2J\nb\x7f") == "a[2Jb"

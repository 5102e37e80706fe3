"""The picture of the rooms is the contract that import-linter checks."""

from __future__ import annotations

import re

import pytest

from tools.draw_layers import PICTURE, contract, drawn, svg


def test_the_committed_picture_is_of_the_contract_as_it_is() -> None:
    assert PICTURE.read_text() == drawn(), "run python -m tools.draw_layers"


def test_a_row_for_each_layer_and_a_box_for_each_name() -> None:
    picture = svg([["top"], ["left", "right"]], ["right"])
    boxes = re.findall(r'<rect(.*?) x="(.*?)" y="(.*?)" width="(.*?)".*\n<text.*>(.*)</text>', picture)
    (_, x, top, whole, name), (_, _, y, half, left), (pure, far, same, _, right) = boxes[:3]
    assert (name, left, right) == ("top", "left", "right")
    assert (pure, float(x) < float(far), float(top) < float(y), y == same) == (' class="pure"', True, True, True)
    assert float(half) < float(whole) / 2


def test_a_contract_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="no layers of qstress"):
        contract('[[tool.importlinter.contracts]]\ntype = "layers"\ncontainers = ["qstress.fuzz"]\nlayers = ["a"]\n')

"""The map of the package names every room once, and nothing that is not there."""

from __future__ import annotations

from tests.docs.markdown import ROOT, rows, section
from tools.draw_layers import contract

TEXT = (ROOT / "docs/architecture.md").read_text()


def test_every_room_of_the_contract_has_its_line() -> None:
    layers, _ = contract((ROOT / "pyproject.toml").read_text())
    named = [row[0].strip("`") for row in rows(section(TEXT, "The rooms"))]
    assert sorted(named) == sorted(name for layer in layers for name in layer)


def test_twelve_changes_and_more_say_where() -> None:
    assert len(rows(section(TEXT, "I want to change …, where?"))) >= 12

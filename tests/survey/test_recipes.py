from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from qstress.survey.recipes import HMP, QMP, UNDER_WAY, Recipe
from qstress.survey.requests import parse_step


def recipes() -> Iterator[tuple[str, str, Recipe]]:
    for via, table in (("hmp", HMP), ("qmp", QMP)):
        for name, ways in table.items():
            for way in ways:
                yield via, name, way


@pytest.mark.parametrize(("via", "name", "recipe"), list(recipes()))
def test_every_step_of_a_recipe_can_be_sent(via: str, name: str, recipe: Recipe) -> None:
    for text in (*recipe.before, *recipe.after, f"{via} {name} {recipe.text or '{}'}" if via == "qmp" else name):
        parse_step(text).qmp(7)


def test_only_files_are_marked_as_such_and_none_is_absolute() -> None:
    texts = [text for _, _, way in recipes() for text in (way.text, *way.before, *way.after)]
    assert not [
        text for text in texts if "%" in text and not any(end in text for end in (".bin", ".elf", ".ppm", ".log"))
    ]
    assert not [text for text in texts if "/tmp" in text or '"/dev' in text]


def test_what_is_watched_is_watched_by_a_query() -> None:
    assert all(query.startswith("query-") and states and starters for query, (states, starters) in UNDER_WAY.items())
    assert json.loads(QMP["device_add"][1].text)["driver"].endswith("-cpu")

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.report.html.markup import Markup, join, raised, tag


class Texts(HTMLParser):
    """Collects what a browser would take as text and as tags."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))


@given(st.text(st.characters(blacklist_categories=("C", "Z"))))
def test_text_stays_text_wherever_it_enters(said: str) -> None:
    parser = Texts()
    parser.feed(tag("p", said, title=said))
    parser.close()
    assert parser.tags == [("p", [("title", said)])]
    assert "".join(parser.texts) == said


def test_markup_is_not_escaped_again_and_nothing_is_nothing() -> None:
    assert tag("p", tag("b", "<"), None, [" and ", None, 1, 2.5]) == "<p><b>&lt;</b> and 12.5</p>"


def test_attributes_are_named_as_html_has_them() -> None:
    drawn = tag("text", "a", class_="n", aria_label="x", stroke_width=1.5, title=None)
    assert drawn == '<text class="n" aria-label="x" stroke-width="1.5">a</text>'
    assert tag("img", src="data:,", alt="") == '<img src="data:," alt="">'


@pytest.mark.parametrize(("value", "words"), [(1.0, "1"), (1.25, "1.25"), (0.333333, "0.33"), (-0.5, "-0.5"), (7, "7")])
def test_coordinates_take_no_more_room_than_they_need(value: float, words: str) -> None:
    assert join(value) == words


def test_control_characters_have_no_place() -> None:
    assert join("a\x1b[31m\nb\u202e") == "a [31m b "


def test_the_odds_raise_their_exponent() -> None:
    assert raised("10^7.1 : 1") == "10<sup>7.1</sup> : 1"
    assert isinstance(raised("10^0.0 : 1"), Markup)

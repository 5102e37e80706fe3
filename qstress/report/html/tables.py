"""Tables: words to the left, numbers to the right, so that their digits stand one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qstress.report.html.markup import Content, Markup, tag

ROWS_MAX = 200


@dataclass(frozen=True, slots=True)
class TableData:
    """A table: a heading for each column, those in ``words`` hold no numbers; the first column names the row."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Content]]
    words: frozenset[int] = frozenset({0})


def table(data: TableData, caption: str) -> Markup:
    """Return *data* as HTML, at most ``ROWS_MAX`` rows of it; *caption* names it for those who cannot see it."""

    def cell(column: int, content: Content, name: str) -> Markup:
        return tag(name, content, class_=None if column in data.words else "n", scope="row" if name == "th" else None)

    body = [
        tag("tr", [cell(column, content, "td" if column else "th") for column, content in enumerate(row)])
        for row in data.rows[:ROWS_MAX]
    ]
    head = [
        tag("th", name, class_=None if column in data.words else "n", scope="col")
        for column, name in enumerate(data.columns)
    ]
    left_out = len(data.rows) - ROWS_MAX
    more = tag("p", f"and {left_out} more: see summary.json", class_="more") if left_out > 0 else None
    drawn = tag("table", tag("caption", caption, class_="hidden"), tag("thead", tag("tr", head)), tag("tbody", body))
    return tag("div", drawn, more, class_="scroll", tabindex=0, role="region", aria_label=caption)

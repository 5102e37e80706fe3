"""The rate over the axes of a plan: a table with one tile for each cell, darker where more went wrong."""

from __future__ import annotations

import math

from qstress.model import FindingClass
from qstress.report.html.figures import classes_shown
from qstress.report.html.labels import Labels
from qstress.report.html.markup import Markup, tag
from qstress.report.wording import rate
from qstress.stats.cells import CellTally
from qstress.stats.tally import Tally

#: Shades of the style sheet. Each step is a factor of about 2: from 100 % down to 1 in 256, and 0 for none.
SHADES = 9
#: Larger plans are cut to so many columns, and to so many tiles in all maps together.
COLUMNS_MAX, TILES_MAX = 12, 600


def heat_map(tally: Tally) -> Markup | None:
    """Return for each class that was seen and each build a tile for every shape (down) and hammer (across).

    None where the plan has no axis, so that there is nothing to see.
    """
    labels = Labels(tally)
    rows = list(dict.fromkeys(labels.shape(cell.cell.stratum) for cell in tally.cells))
    columns = list(dict.fromkeys(labels.hammer(cell.cell.stratum) for cell in tally.cells))
    seen = [c for c in classes_shown(tally) if any(cell.classes[c] for cell in tally.cells)]
    if len(rows) * len(columns) < 2 or not seen:
        return None
    kinds = [(of_class, build) for of_class in seen for build in tally.builds]
    shown = columns[:COLUMNS_MAX]
    of_each = rows[: max(1, TILES_MAX // (len(kinds) * len(shown)))]
    maps = [_one(tally, of_class, build, of_each, shown, labels) for of_class, build in kinds]
    left_out = len(rows) * len(columns) - len(of_each) * len(shown)
    more = tag("p", f"Each lacks {left_out} tiles, for which there is no room: see summary.json", class_="more")
    name = "Rate by shape and hammer"
    caption = tag(
        "figcaption",
        tag("h2", name),
        tag("p", "Down: the guest's shape; across: what hammered it. A shade darker is about twice the rate."),
    )
    return tag(
        "figure", caption, tag("div", maps, class_="maps"), more if left_out else None, id="heat-map", aria_label=name
    )


def _one(
    tally: Tally, of_class: FindingClass, build: str, rows: list[str], columns: list[str], labels: Labels
) -> Markup:
    cells = {(labels.shape(c.cell.stratum), labels.hammer(c.cell.stratum)): c for c in tally.build(build)}
    head = tag("tr", tag("td"), [tag("th", column, scope="col") for column in columns])
    body = [
        tag("tr", tag("th", row, scope="row"), [_tile(tally, cells.get((row, column)), of_class) for column in columns])
        for row in rows
    ]
    caption = tag("caption", f"{of_class}, {build}")
    return tag("div", tag("table", caption, tag("thead", head), tag("tbody", body), class_="map"), class_="scroll")


def _tile(tally: Tally, cell: CellTally | None, of_class: FindingClass) -> Markup:
    if cell is None or not cell.n:
        return tag("td", "no trial", class_="none")
    k = cell.classes[of_class]
    words = rate(k, cell.n, dispersion=tally.dispersion([cell], [of_class]))
    share, _, limits = words.partition(" ")
    return tag("td", tag("b", share), tag("span", limits), class_=f"heat{shade(k / cell.n)}")


def shade(share: float) -> int:
    """Return the shade of a rate: 0 for none, ``SHADES - 1`` for all.

    >>> [shade(share) for share in (0, 0.001, 0.12, 0.5, 1)]
    [0, 1, 4, 7, 8]
    """
    return 0 if share <= 0 else max(1, SHADES - 1 + math.floor(math.log2(share) + 1e-9))

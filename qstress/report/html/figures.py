"""The figures of a report, each a picture with a name, what it shows in one sentence, and its numbers as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qstress.model import FindingClass, Stratum
from qstress.report.html.labels import Labels
from qstress.report.html.markup import Markup, join, tag
from qstress.report.html.plot import SERIES, WIDTH, Scale, frame, legend, line, mark, path, plot_text, power_of_ten
from qstress.report.html.tables import TableData, table
from qstress.report.trace import Point, Trace, now
from qstress.report.wording import evidence, limits_shown, percent_down, percent_up, rate
from qstress.stats.cells import CellTally
from qstress.stats.compare import ALWAYS, asked_first
from qstress.stats.intervals import Interval
from qstress.stats.tally import Tally

#: More rows than this no picture of rates has; its table goes on.
RATES_MAX = 36


@dataclass(frozen=True, slots=True)
class Figure:
    """``name`` is an identifier on the page, ``title`` its name for people, ``says`` one sentence on how to read it."""

    name: str
    title: str
    says: str
    picture: Markup
    width: float
    height: float
    data: TableData


def figure(shown: Figure) -> Markup:
    """Return a figure as HTML: named for those who cannot see it, its numbers folded away under it."""
    name, said = f"{shown.name}-title", f"{shown.name}-says"
    svg = tag(
        "svg",
        tag("title", shown.title, id=name),
        tag("desc", shown.says, id=said),
        shown.picture,
        viewBox=f"0 0 {shown.width:.0f} {shown.height:.0f}",
        role="img",
        aria_labelledby=name,
        aria_describedby=said,
    )
    caption = tag("figcaption", tag("h2", shown.title), tag("p", shown.says))
    data = tag("details", tag("summary", "The numbers"), table(shown.data, f"{shown.title}: the numbers"))
    return tag("figure", caption, svg, data, id=shown.name, aria_label=shown.title)


def classes_shown(tally: Tally) -> list[FindingClass]:
    """Return the classes that a report speaks of: those that were seen, and those that are always compared. It begins
    with those that the run's question is about."""
    shown = [c for c in FindingClass if c in ALWAYS or any(cell.classes[c] for cell in tally.cells)]
    return asked_first(shown, tally.classes)


def rates(tally: Tally) -> Figure:
    """Draw the rate of each class in each cell with its interval, cells of a stratum one below the other."""
    builds, labels = tally.builds, Labels(tally)
    groups: dict[tuple[FindingClass, Stratum], list[tuple[CellTally, Interval]]] = {}
    for of_class in classes_shown(tally):
        for cell in tally.cells:
            limits = limits_shown(cell.classes[of_class], cell.n, tally.dispersion([cell], [of_class]))
            groups.setdefault((of_class, cell.cell.stratum), []).append((cell, limits))
    drawn = {key for key, arms in groups.items() if any(cell.n for cell, _ in arms)}
    if len(drawn) * len(builds) > RATES_MAX:
        by_height = sorted(drawn, key=lambda key: -max(limits.upper for cell, limits in groups[key] if cell.n))
        drawn = set(by_height[: max(1, RATES_MAX // len(builds))])
    highest = max((limits.upper for key in drawn for cell, limits in groups[key] if cell.n), default=1.0)
    x = Scale(0.0, highest, 8.0, WIDTH - 24)
    parts: list[Markup] = []
    numbers: list[tuple[str | int, ...]] = []
    y, heading = 8.0, None
    for (of_class, stratum), arms in groups.items():
        where = labels.stratum(stratum)
        for cell, limits in arms:
            name, k = cell.cell.build.name, cell.classes[of_class]
            numbers.append((of_class, name, where, k, cell.n, percent_down(limits.lower), percent_up(limits.upper)))
            if (of_class, stratum) not in drawn or not cell.n:
                continue
            if heading is not of_class:
                heading = of_class
                parts.append(plot_text(0, y + 16, of_class, kind="heading"))
                y += 36
            index, series = tally.dispersion([cell], [of_class]), builds.index(name)
            label = ", ".join(filter(None, [name, where]))
            parts += [
                plot_text(0, y + 4, label if len(label) <= 30 else f"{label[:29]}…", kind="name"),
                plot_text(WIDTH, y + 4, rate(k, cell.n, dispersion=index), anchor="end", kind="value"),
                line(x(limits.lower), y + 17, x(limits.upper), y + 17, f"whisker s{series % SERIES}"),
                mark(x(k / cell.n), y + 17, series),
            ]
            y += 42
    grid = [line(x(tick), 14, x(tick), y, "grid") for tick in x.ticks]
    ticks = [plot_text(x(tick), y + 16, f"{100 * tick:g} %", anchor="middle", kind="tick") for tick in x.ticks]
    says = "A mark is the share of bring-ups that showed the class, its line the exact 95 % interval."
    if any(cell.clustered for cell in tally.cells):
        says += (
            " It is widened by how much more a class's process-runs, those of all builds together, differ than "
            "independent trials would."
        )
    if len(drawn) < len(groups):
        says += f" Drawn are the {len(drawn)} highest of {len(groups)} pairs of class and stratum."
    columns = ("class", "build", "stratum", "found", "trials", "lower %", "upper %")
    data = TableData(columns, numbers, frozenset({0, 1, 2}))
    return Figure("rates", "Rates", says, join(grid, parts, ticks), WIDTH, y + 28, data)


def evidence_over_trials(tally: Tally, trace: Trace, alpha: float) -> Figure:
    """Draw how the evidence of each pair grew, and the line at which it decides."""
    points = [*trace.points, now(tally)]
    low = min([0.0, *(log10 for point in points for log10 in point.log10s)])
    high = max([-math.log10(alpha / len(tally.pairs)), *(log10 for point in points for log10 in point.log10s)])
    top = 14.0 + 20.0 * len(tally.pairs)
    x = Scale(0.0, float(max(points[-1].trials, 1)), 60.0, WIDTH - 16)
    y = Scale(low, high + 0.06 * (high - low), top + 242.0, top + 22.0)
    names = [f"{candidate} better than {baseline}" for baseline, candidate in tally.pairs]
    parts = [
        frame(x, y, "trials", "evidence (E : 1)", lambda v: f"{v:,.0f}", power_of_ten),
        *(legend([name], 14.0 + 20.0 * place, 60.0, [place]) for place, name in enumerate(names)),
    ]
    for at, below, words in _limits(alpha, len(names)):
        parts += [
            line(x.start, y(at), x.end, y(at), "limit"),
            plot_text(x.start + 6, y(at) + (15 if below else -6), words, kind="limit-name"),
        ]
    for series in range(len(names)):
        parts.append(path([(x.start, y(0.0)), *((x(p.trials), y(p.log10s[series])) for p in points)], series))
        parts.append(mark(x(points[-1].trials), y(points[-1].log10s[series]), series))
    rows = [(f"{p.trials:,}", *(evidence(log10) for log10 in p.log10s)) for p in thinned(points, 25)]
    return Figure(
        "evidence",
        "Evidence over trials",
        "E is what the outcomes speak for the candidate, as odds; it may be looked at after every block, and decides "
        "when it reaches the line.",
        join(parts),
        WIDTH,
        top + 294.0,
        TableData(("trials", *names), rows, frozenset()),
    )


def _limits(alpha: float, claims: int) -> list[tuple[float, bool, str]]:
    """Return the lines at which evidence decides: log10 of E, whether its words stand below it, and the words.

    Of several claims that share *alpha* the first has to reach more than the last (Holm).
    """
    last = (-math.log10(alpha), claims > 1, f"decided: E = 1/alpha = {1 / alpha:,.0f}")
    if claims == 1:
        return [last]
    first = (-math.log10(alpha / claims), False, f"the first of {claims}: E = {claims}/alpha = {claims / alpha:,.0f}")
    return [first, (last[0], True, f"the last: E = 1/alpha = {1 / alpha:,.0f}")]


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most *most* of *points*, evenly spread, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[i * (len(points) - 1) // (most - 1)] for i in range(most)]

"""The parts of a plot as SVG: scales with round ticks, a frame, lines, marks. Colours are the style sheet's.

By hand on purpose: static SVG by Altair took 4.1 s and 242 MB a report, this takes 0.3 s and 36 MB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qstress.report.html.markup import Content, Markup, join, tag

#: A build's place in the plan is its series in every plot. They differ in colour, in dash and in mark, so that no one
#: of these is needed to tell them apart.
SERIES = 6
#: A figure is so wide: two of them stand side by side, and on a telephone its words can still be read.
WIDTH = 420.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from ``low`` to ``high`` laid out on ``start`` to ``end``; *log*: by their logarithm, all above 0."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return where *value* lies, kept within the scale."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        share = (at - low) / (high - low) if high > low else 0.0
        return self.start + share * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """Round values to label, about five."""
        return _powers(self.low, self.high) if self.log else _steps(self.low, self.high)


def _steps(low: float, high: float) -> list[float]:
    if high <= low:
        return [low]
    rough = (high - low) / 5.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1.0, 2.0, 2.5, 5.0, 10.0) if power * m >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)]


def _powers(low: float, high: float) -> list[float]:
    """Return powers of ten, with multiples between them where there are few; even steps where there are none."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5), (1, 2, 4, 6, 8), range(1, 10)):
        ticks = [m * 10.0**decade for decade in decades for m in multiples]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 3:
            return ticks
    return _steps(low, high)


def plot_text(x: float, y: float, words: Content, *, anchor: str = "start", kind: str = "") -> Markup:
    """Return *words* at a point; *kind* is a class of the style sheet."""
    return tag("text", words, x=x, y=y, text_anchor=None if anchor == "start" else anchor, class_=kind or None)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """Return a straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def path(points: Sequence[tuple[float, float]], series: int) -> Markup:
    """Return the line of a series through *points*."""
    steps = "".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
    return tag("path", d=steps, class_=f"line s{series % SERIES}")


def mark(x: float, y: float, series: int) -> Markup:
    """Return the mark of a series: circle, square, triangle, diamond, and the first two again turned round."""
    kind = f"mark s{series % SERIES}"
    shapes = (
        tag("circle", cx=x, cy=y, r=5.0, class_=kind),
        tag("rect", x=x - 4.5, y=y - 4.5, width=9.0, height=9.0, class_=kind),
        tag("path", d=f"M{x:.1f} {y - 6:.1f}l6 10.5h-12z", class_=kind),
        tag("path", d=f"M{x:.1f} {y - 6.5:.1f}l6.5 6.5l-6.5 6.5l-6.5 -6.5z", class_=kind),
        tag("path", d=f"M{x:.1f} {y + 6:.1f}l6 -10.5h-12z", class_=kind),
        tag("rect", x=x - 6.0, y=y - 3.5, width=12.0, height=7.0, class_=kind),
    )
    return shapes[series % SERIES]


def frame(
    x: Scale, y: Scale, x_label: str, y_label: str, x_text: Callable[[float], str], y_text: Callable[[float], str]
) -> Markup:
    """Return axes with grid, ticks and labels; *y* runs upwards (its start is below its end)."""
    parts: list[Markup] = []
    for tick in y.ticks:
        at = y(tick)
        parts += [
            line(x.start, at, x.end, at, "grid"),
            plot_text(x.start - 8, at + 4, y_text(tick), anchor="end", kind="tick"),
        ]
    for tick in x.ticks:
        at = x(tick)
        parts += [
            line(at, y.start, at, y.start + 5, "axis"),
            plot_text(at, y.start + 20, x_text(tick), anchor="middle", kind="tick"),
        ]
    parts.append(line(x.start, y.start, x.end, y.start, "axis"))
    parts.append(plot_text((x.start + x.end) / 2, y.start + 42, x_label, anchor="middle", kind="label"))
    parts.append(plot_text(x.start - 48, y.end - 12, y_label, kind="label"))
    return join(parts)


def power_of_ten(exponent: float) -> str:
    """Return ten to a power, as people write it.

    >>> power_of_ten(-12)
    '10⁻¹²'
    """
    return "10" + f"{exponent:g}".translate(str.maketrans("-0123456789.", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹·"))


def legend(names: Sequence[str], y: float, x: float, series: Sequence[int] | None = None) -> Markup:
    """Return the names of series in one row, each behind its line and mark; *series* are their places (0, 1, …)."""
    parts: list[Markup] = []
    for place, name in zip(range(len(names)) if series is None else series, names, strict=True):
        parts += [
            path([(x, y), (x + 26, y)], place),
            mark(x + 13, y, place),
            plot_text(x + 34, y + 4, name, kind="name"),
        ]
        x += 34 + 7.2 * len(name) + 26
    return join(parts)

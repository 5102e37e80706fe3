"""How long things took, build by build: cumulative curves, which need no bins and are compared by eye from left to
right."""

from __future__ import annotations

from collections.abc import Sequence

from qstress.model import LATENCY_BUCKETS_S
from qstress.report.html.figures import Figure
from qstress.report.html.labels import Labels
from qstress.report.html.markup import Markup, join
from qstress.report.html.plot import WIDTH, Scale, frame, legend, mark, path
from qstress.report.html.tables import TableData
from qstress.report.wording import duration
from qstress.stats.histogram import Histogram
from qstress.stats.tally import Tally

POINTS = 80
#: Times shorter than this part of the longest are drawn at the edge.
DECADES = 1e4
QUANTILES = (0.5, 0.9, 0.99)

Curve = list[tuple[float, float]]  # seconds, share of all that took at most that; ascending


def boot_times(tally: Tally) -> Figure | None:
    """Draw how long bring-ups took; None where none came up."""
    return _of_histograms(
        tally, "boot", "Boot time", "from the guest's start to all vCPUs up", [cell.boot for cell in tally.cells]
    )


def detection_times(tally: Tally) -> Figure | None:
    """Draw how long it took to be sure of a finding; None without one."""
    return _of_histograms(
        tally, "detection", "Detection latency", "from the last sign of progress to the verdict",
        [cell.detection for cell in tally.cells],
    )  # fmt: skip


def reply_times(tally: Tally) -> Figure | None:
    """Draw how long the monitor took to reply; None where nothing was asked."""
    curves: dict[str, Curve] = {}
    rows = []
    for name in tally.builds:
        buckets = [sum(counts) for counts in zip(*(cell.latencies for cell in tally.build(name)), strict=True)]
        if replies := sum(buckets):
            shares = [sum(buckets[: i + 1]) / replies for i in range(len(LATENCY_BUCKETS_S))]
            curves[name] = list(zip(LATENCY_BUCKETS_S, shares, strict=True))
            rows += [
                (name, f"at most {_time(bound)}", f"{share:.4%}", f"{count:,}")
                for (bound, share), count in zip(curves[name], buckets, strict=False)
            ]
            rows.append((name, f"more than {_time(LATENCY_BUCKETS_S[-1])}", "", f"{buckets[-1]:,}"))
    if not curves:
        return None
    says = "The share of monitor commands that were answered within a time, as counted in buckets (the marks)."
    table = TableData(("build", "reply", "share", "replies in the bucket"), rows, frozenset({0, 1}))
    return _drawn(tally, "replies", "Reply latency", says, _trimmed(curves), table, marks=True)


def _of_histograms(tally: Tally, name: str, title: str, what: str, of_cells: Sequence[Histogram]) -> Figure | None:
    curves: dict[str, Curve] = {}
    labels = Labels(tally)
    rows: list[tuple[str | int, ...]] = []
    for build in tally.builds:
        own = [h for h, cell in zip(of_cells, tally.cells, strict=True) if cell.cell.build.name == build and h.count]
        if own:
            curves[build] = _curve(own)
    for histogram, cell in zip(of_cells, tally.cells, strict=True):
        if histogram.count:
            stratum = labels.stratum(cell.cell.stratum)
            times = [histogram.quantile(q) or 0.0 for q in QUANTILES]
            rows.append((cell.cell.build.name, stratum, histogram.count, *map(duration, (*times, histogram.longest_s))))
    if not curves:
        return None
    columns = ("build", "stratum", "count", *(f"p{100 * q:g}" for q in QUANTILES), "longest")
    says = f"The share of them that took at most so long, {what}; all cells of a build together."
    return _drawn(tally, name, title, says, curves, TableData(columns, rows, frozenset({0, 1})))


def _curve(histograms: Sequence[Histogram]) -> Curve:
    low = min(histogram.shortest_s for histogram in histograms)
    high = max(histogram.longest_s for histogram in histograms)
    bounds = [low * (high / low) ** (i / POINTS) for i in range(POINTS)]
    total = sum(histogram.count for histogram in histograms)
    within = [sum(counts) / total for counts in zip(*(h.at_most(bounds) for h in histograms), strict=True)]
    return [*zip(bounds, within, strict=True), (high, 1.0)]


def _trimmed(curves: dict[str, Curve]) -> dict[str, Curve]:
    """Leave out the buckets below and above all replies, but one on either side."""
    every = list(curves.values())
    first = min(next(i for i, (_, share) in enumerate(curve) if share > 0 or i == len(curve) - 1) for curve in every)
    last = max(next(i for i, (_, share) in enumerate(curve) if share >= 1 or i == len(curve) - 1) for curve in every)
    return {name: curve[max(0, first - 1) : last + 1] for name, curve in curves.items()}


def _drawn(
    tally: Tally, name: str, title: str, says: str, curves: dict[str, Curve], data: TableData, *, marks: bool = False
) -> Figure:
    builds = tally.builds
    times = [at_s for curve in curves.values() for at_s, _ in curve]
    x = Scale(max(min(times), max(times) / DECADES), max(times), 52.0, WIDTH - 12, log=True)
    y = Scale(0.0, 1.0, 236.0, 56.0)
    parts: list[Markup] = [
        frame(x, y, "time", "share", _time, lambda share: f"{100 * share:.0f} %"),
        legend(list(curves), 12.0, 52.0, [builds.index(build) for build in curves]),
    ]
    for build, curve in curves.items():
        series = builds.index(build)
        parts.append(path([(x(at_s), y(share)) for at_s, share in curve], series))
        parts += [mark(x(at_s), y(share), series) for at_s, share in curve if marks]
    return Figure(name, title, says, join(parts), WIDTH, 286.0, data)


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size * 0.9995:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds * 1e6:.4g} µs"

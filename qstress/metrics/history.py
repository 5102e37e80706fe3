"""Recorded runs as OpenMetrics text, for ``promtool tsdb create-blocks-from openmetrics``: history for Prometheus.

Names and labels are those of a live run; what a run counted stands at its end, a zero for each counter at its start.
The format wants all points of a series together, oldest first (OpenMetrics 1.0.0, "Metric Point").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from qstress.metrics.families import (
    CELL_LABELS,
    CONFIDENCE,
    EVIDENCE_HELP,
    HANGS_HELP,
    LOWER_HELP,
    PAIR_LABELS,
    RATIO_HELP,
    TRIALS_HELP,
    UPPER_HELP,
)
from qstress.metrics.snapshot import HANG_CLASSES
from qstress.model import FindingClass, Outcome
from qstress.stats.cells import HANGS
from qstress.stats.clusters import widened

#: A summary.json, read; and one of its cells.
Summary: TypeAlias = Mapping[str, Any]
Cell: TypeAlias = Mapping[str, Any]


class _Family(NamedTuple):
    name: str
    kind: str  # counter | gauge
    help: str
    labels: tuple[str, ...]


class _Point(NamedTuple):
    family: _Family
    values: tuple[str, ...]  # of the labels
    at_s: float  # Unix time
    value: float


_TRIALS = _Family("qstress_trials", "counter", TRIALS_HELP, (*CELL_LABELS, "outcome"))
_HANGS = _Family("qstress_hangs", "counter", HANGS_HELP, (*CELL_LABELS, "class"))
_RATIOS = (
    _Family("qstress_hang_ratio", "gauge", RATIO_HELP, CELL_LABELS),
    _Family("qstress_hang_ratio_lower", "gauge", LOWER_HELP, CELL_LABELS),
    _Family("qstress_hang_ratio_upper", "gauge", UPPER_HELP, CELL_LABELS),
)
_EVIDENCE = _Family("qstress_evidence_log10", "gauge", EVIDENCE_HELP, PAIR_LABELS)
_FAMILIES = (_TRIALS, _HANGS, *_RATIOS, _EVIDENCE)


def openmetrics(summaries: Iterable[Summary]) -> str:
    """Return the finished runs among *summaries* (contents of ``summary.json``) as OpenMetrics text.

    Builds of one -smp are summed over machines and hammers, as in the live metrics.
    """
    runs = sorted((s for s in summaries if s["finished"]), key=lambda s: _unix_s(s["started"]))
    series: dict[_Family, dict[tuple[str, ...], list[_Point]]] = {family: {} for family in _FAMILIES}
    for run in runs:
        for point in (*_rates(run), *_evidence(run)):
            series[point.family].setdefault(point.values, []).append(point)
    lines = [line for family, points in series.items() for line in _lines(family, points)]
    return "".join(f"{line}\n" for line in (*lines, "# EOF"))


def _rates(run: Summary) -> Iterator[_Point]:
    began_s, ended_s = _unix_s(run["started"]), _unix_s(run["finished"])
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in run["cells"]:
        groups.setdefault((run["name"], cell["build"], str(cell["smp"])), []).append(cell)
    for values, cells in groups.items():
        counts = [(_TRIALS, outcome.value, sum(c["outcomes"][outcome] for c in cells)) for outcome in Outcome]
        counts += [(_HANGS, found.value, sum(_found(cell, found) for cell in cells)) for found in HANG_CLASSES]
        for family, kind, count in counts:
            yield _Point(family, (*values, kind), began_s, 0.0)
            yield _Point(family, (*values, kind), ended_s, count)
        for family, value in zip(_RATIOS, _ratio(cells), strict=True):
            if value is not None:
                yield _Point(family, values, ended_s, value)


def _found(cell: Cell, found: FindingClass) -> int:
    of_class = cell["classes"].get(found)  # a summary leaves out what was not seen
    return of_class["count"] if of_class else 0


def _ratio(cells: list[Cell]) -> tuple[float | None, ...]:
    """Return the hang ratio and its limits, None where no trial counted."""
    if len(cells) == 1:
        rate = cells[0]["hang_rate"]
        return rate["estimate"], rate["lower"], rate["upper"]
    n = sum(count for cell in cells for outcome, count in cell["outcomes"].items() if Outcome(outcome).counted)
    if not n:
        return None, None, None
    k = sum(cell["outcomes"][outcome] for cell in cells for outcome in HANGS)
    spread = max(cell.get("process_runs", {}).get("dispersion") or 1.0 for cell in cells)
    return k / n, *widened(k, n, spread, CONFIDENCE)


def _evidence(run: Summary) -> Iterator[_Point]:
    for pair in run.get("comparisons") or filter(None, [run["compare"]]):
        values = (run["name"], pair["baseline"], pair["candidate"])
        yield _Point(_EVIDENCE, values, _unix_s(run["finished"]), pair["evalue_log10"])


def _lines(family: _Family, series: Mapping[tuple[str, ...], list[_Point]]) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    name = f"{family.name}_total" if family.kind == "counter" else family.name
    for values, points in series.items():
        labels = ",".join(f'{label}="{value}"' for label, value in zip(family.labels, values, strict=True))
        for point in points:
            yield f"{name}{{{labels}}} {point.value!r} {point.at_s:.3f}"


def _unix_s(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()

"""Recorded runs as OpenMetrics text, for ``promtool tsdb create-blocks-from openmetrics``: history for Prometheus.

Names and labels are those of a live run; what a run counted stands at its end, a zero for each counter at its start.
The format wants all points of a series together, oldest first (OpenMetrics 1.0.0, "Metric Point").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from prometheus_client.openmetrics.exposition import generate_latest

from qstress.metrics.families import CONFIDENCE, Collected, count_families, evidence_family, ratio_families
from qstress.metrics.snapshot import HANG_CLASSES
from qstress.model import FindingClass, Outcome
from qstress.stats.cells import HANGS
from qstress.stats.clusters import widened

#: A summary.json, read; and one of its cells.
Summary: TypeAlias = Mapping[str, Any]
Cell: TypeAlias = Mapping[str, Any]


def openmetrics(summaries: Iterable[Summary]) -> str:
    """Return the finished runs among *summaries* (contents of ``summary.json``) as OpenMetrics text.

    Builds of one -smp are summed over machines and hammers, as in the live metrics.
    """
    trials, hangs = count_families()
    ratios, evidence = ratio_families(), evidence_family()
    for run in sorted((s for s in summaries if s["finished"]), key=lambda s: _unix_s(s["started"])):
        began_s, ended_s = _unix_s(run["started"]), _unix_s(run["finished"])
        for labels, cells in _by_build_and_smp(run).items():
            counts = [(trials, outcome.value, sum(c["outcomes"][outcome] for c in cells)) for outcome in Outcome]
            counts += [(hangs, found.value, sum(_found(cell, found) for cell in cells)) for found in HANG_CLASSES]
            for family, kind, count in counts:
                family.add_metric([*labels, kind], 0.0, timestamp=began_s)
                family.add_metric([*labels, kind], count, timestamp=ended_s)
            for ratio, value in zip(ratios, _ratio(cells), strict=True):
                if value is not None:
                    ratio.add_metric(labels, value, timestamp=ended_s)
        for pair in run.get("comparisons") or filter(None, [run["compare"]]):
            names = (run["name"], pair["baseline"], pair["candidate"])
            evidence.add_metric(names, pair["evalue_log10"], timestamp=ended_s)
    made = (trials, hangs, *ratios, evidence)
    for each in made:
        each.samples.sort(key=lambda sample: sorted(sample.labels.items()))  # a stable sort: oldest first
    return generate_latest(Collected(made)).decode()  # type: ignore[no-untyped-call, no-any-return]


def _by_build_and_smp(run: Summary) -> dict[tuple[str, str, str], list[Cell]]:
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in run["cells"]:
        groups.setdefault((run["name"], cell["build"], str(cell["smp"])), []).append(cell)
    return groups


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


def _unix_s(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()

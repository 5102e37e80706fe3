"""Recorded runs as OpenMetrics: a strict parser reads them, Prometheus's own tool makes blocks of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from qstress.metrics.history import openmetrics
from qstress.report.summary import RunFacts, summary
from qstress.stats.compare import compare
from tests.dashboards.prom import promtool
from tests.metrics.samples import settings, tally_of
from tests.stats.samples import feed, verdicts

NIGHT = "2026-11-{:02}T0{}:00:00+00:00"


def run(day: int, hangs: int, *, smp: tuple[int, ...] = (4,), finished: bool = True) -> dict[str, Any]:
    """The summary of a night with *hangs* of 50 in the old build."""
    made, planned = settings(smp=smp)
    tally = tally_of(made, planned)
    for first in range(0, len(planned), 2):
        feed(tally, verdicts(hangs, 50), verdicts(0, 50), first)
    facts = RunFacts(
        run=f"run-{day}", folder="runs", name=made.name, started=NIGHT.format(day, 2),
        finished=NIGHT.format(day, 8) if finished else None, reason="trials", exit_code=0, host={}, lanes=1,
    )  # fmt: skip
    return summary(facts, tally, [compare(tally, "old", "new", alpha=1e-6)])


def points(text: str, name: str, **labels: str) -> list[tuple[float, float]]:
    """Return (Unix time, value) of the one series of *name* that has *labels*."""
    return [
        (float(sample.timestamp or 0.0), sample.value)
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def test_counters_rise_from_zero_and_rates_stand_at_the_end() -> None:
    first, second = run(1, 5), run(2, 9)
    text = openmetrics([second, first])
    assert [v for _, v in points(text, "qstress_trials_total", build="old", outcome="hang")] == [0, 5, 0, 9]
    at_s = [t for t, _ in points(text, "qstress_trials_total", build="old", outcome="hang")]
    assert [t - at_s[0] for t in at_s] == [0, 6 * 3600, 24 * 3600, 30 * 3600]
    assert [v for _, v in points(text, "qstress_hang_ratio", build="old", smp="4")] == [0.1, 0.18]
    for end in ("lower", "upper"):
        rates = [night["cells"][0]["hang_rate"][end] for night in (first, second)]
        assert [v for _, v in points(text, f"qstress_hang_ratio_{end}", build="old")] == rates
    ((_, evidence), _) = points(text, "qstress_evidence_log10", candidate="new")
    assert evidence == first["compare"]["evalue_log10"]


def test_cells_of_one_build_and_smp_are_summed() -> None:
    text = openmetrics([run(1, 5, smp=(4, 4))])
    assert points(text, "qstress_trials_total", build="old", outcome="hang")[-1][1] == 10
    assert points(text, "qstress_hang_ratio", build="old") == [(1793520000.0, 0.1)]


def test_a_run_without_a_trial_has_no_rate() -> None:
    empty = run(1, 0)
    for cell in empty["cells"]:
        cell["outcomes"] = dict.fromkeys(cell["outcomes"], 0)
        cell["hang_rate"] = dict.fromkeys(cell["hang_rate"])
    text = openmetrics([empty])
    assert points(text, "qstress_hang_ratio") == []
    assert points(text, "qstress_trials_total", build="old", outcome="ok")[-1][1] == 0


def test_a_run_that_goes_on_is_left_out() -> None:
    assert openmetrics([run(1, 5, finished=False)]) == openmetrics([])
    assert openmetrics([]).endswith("# EOF\n")


def test_promtool_makes_blocks_of_it(tmp_path: Path) -> None:
    text = openmetrics([run(day, day) for day in range(1, 8)])
    source, blocks = tmp_path / "history.om", tmp_path / "data"
    source.write_text(text)
    made = promtool("tsdb", "create-blocks-from", "openmetrics", source, blocks)
    assert made.returncode == 0, made.stderr
    (blocks / "wal").mkdir()
    dumped = promtool("tsdb", "dump", blocks)
    assert dumped.returncode == 0, dumped.stderr
    wanted = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(dumped.stdout.splitlines()) == len(wanted)

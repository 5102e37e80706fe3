"""The metrics of docs/reference.md, "Metrics", made of a snapshot: names, labels, and what each means (pure).

Every child exists from the start, so that a zero is there to count from. Label sets are closed: builds, -smp and
commands come from the configuration, everything else from enumerations; the run's id is only on ``qstress_run_info``.
Histograms have no ``_sum``: a run keeps counts of replies and boots, not their times, and none is made up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from qstress import __version__
from qstress.metrics.snapshot import BOOT_BUCKETS_S, DETECTION_BUCKETS_S, RunVerdict, Snapshot
from qstress.model import LATENCY_BUCKETS_S
from qstress.stats.clusters import widened
from qstress.stats.compare import Decision
from qstress.stats.counts import above

#: Of the limits beside a rate, as in every report.
CONFIDENCE = 0.95

COMMAND_RESULTS = ("return", "error", "timeout", "lost")

#: The value of ``qstress_comparison_decided``.
_DECIDED: dict[Decision | None, float] = {Decision.BETTER: 1.0, Decision.WORSE: -1.0, None: 0.0}

BUILD_LABELS = ("config", "build")
CELL_LABELS = (*BUILD_LABELS, "smp")
PAIR_LABELS = ("config", "baseline", "candidate")


class Collected(Collector):
    """Metric families as an encoder of ``prometheus_client`` asks for them: this run's, and no process's."""

    def __init__(self, made: Iterable[Metric]) -> None:
        self._made = tuple(made)

    def collect(self) -> Iterable[Metric]:
        """Return the families."""
        return self._made


def render(now: Snapshot) -> bytes:
    """Return *now* in Prometheus's text format, version 0.0.4."""
    return generate_latest(Collected(families(now)))


def families(now: Snapshot) -> Iterator[Metric]:
    """Yield every metric family of *now*."""
    yield from _facts(now)
    yield from _rates(now)
    yield from _commands_and_times(now)
    yield from _storm(now)
    yield from _gate_and_evidence(now)
    yield from _state(now)


def count_families() -> tuple[CounterMetricFamily, CounterMetricFamily]:
    """Return the families of trials (by outcome) and of hangs (by class), without a sample."""
    return (
        CounterMetricFamily(
            "qstress_trials", "Trials of finished blocks, by what became of them; unknown and rig are in no rate.",
            labels=(*CELL_LABELS, "outcome"),
        ),
        CounterMetricFamily(
            "qstress_hangs", "Trials of finished blocks that ended as hang or restart, by class.",
            labels=(*CELL_LABELS, "class"),
        ),
    )  # fmt: skip


def ratio_families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    """Return the families of the hang ratio and of its lower and upper limit, without a sample."""
    return (
        _gauge("qstress_hang_ratio", "Hangs and restarts per counted trial; NaN before the first.", CELL_LABELS),
        _gauge("qstress_hang_ratio_lower", "Lower end of the 95 % interval of the hang ratio.", CELL_LABELS),
        _gauge("qstress_hang_ratio_upper", "Upper end of the 95 % interval of the hang ratio.", CELL_LABELS),
    )


def evidence_family() -> GaugeMetricFamily:
    """Return the family of the evidence for each candidate, without a sample."""
    says = "log10 of the evidence that the candidate hangs less often than the baseline."
    return _gauge("qstress_evidence_log10", says, PAIR_LABELS)


def _gauge(name: str, help_text: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, labels=labels)


# most cells have not changed since the last scrape
_widened, _above = lru_cache(maxsize=8192)(widened), lru_cache(maxsize=8192)(above)


def _facts(now: Snapshot) -> Iterator[Metric]:
    progress = now.progress
    build_info = InfoMetricFamily("qstress_build", "The qstress that runs.")
    build_info.add_metric([], {"version": __version__})
    yield build_info
    run_info = InfoMetricFamily("qstress_run", "The run: its folder, its accelerator and what KVM it has.")
    facts = {"run": progress.run, "accel": now.accel, "kvm": progress.kvm or "none"}
    facts["host"] = "emulated" if progress.emulated else "this"
    nested = {None: "unknown", True: "true", False: "false"}[progress.nested]
    run_info.add_metric([], {"config": now.config, **facts, "nested": nested})
    yield run_info
    qemu_info = InfoMetricFamily(
        "qstress_qemu", "A build under test: its QEMU, its tier, whether SMM was pretended and the fix imitated."
    )
    for counts in now.builds:
        build = counts.build
        doing = {"smm": build.smm.value, "smm_writeback": build.smm_writeback.value, "tier": counts.tier.value}
        qemu_info.add_metric([], {"config": now.config, "build": build.name, "version": build.version, **doing})
    yield qemu_info


def _rates(now: Snapshot) -> Iterator[Metric]:
    trials, hangs = count_families()
    ratio, lower, upper = ratio_families()
    for cell in now.rates:
        labels = [now.config, cell.build, str(cell.smp)]
        for outcome, count in cell.outcomes.items():
            trials.add_metric([*labels, outcome.value], count)
        for found, count in cell.classes.items():
            hangs.add_metric([*labels, found.value], count)
        limits = _widened(cell.hangs, cell.n, cell.dispersion, CONFIDENCE)
        ratio.add_metric(labels, cell.hangs / cell.n if cell.n else math.nan)
        lower.add_metric(labels, limits.lower)
        upper.add_metric(labels, limits.upper)
    yield from (trials, hangs, ratio, lower, upper)


def _commands_and_times(now: Snapshot) -> Iterator[Metric]:
    commands = CounterMetricFamily(
        "qstress_monitor_commands", "Commands sent by the hammers, by what became of them.",
        labels=(*BUILD_LABELS, "command", "result"),
    )  # fmt: skip
    times = [
        (HistogramMetricFamily(name, help_text, labels=BUILD_LABELS), bounds_s)
        for name, help_text, bounds_s in (
            ("qstress_monitor_reply_seconds", "From when a command was due to its reply.", LATENCY_BUCKETS_S),
            ("qstress_boot_seconds", "From the guest's start until all its vCPUs were up.", BOOT_BUCKETS_S),
            ("qstress_hang_detection_seconds", "From the last progress to the verdict.", DETECTION_BUCKETS_S),
        )
    ]
    for counts in now.builds:
        labels = [now.config, counts.build.name]
        for command, results in counts.commands.items():
            for result, count in zip(COMMAND_RESULTS, results, strict=True):
                commands.add_metric([*labels, command, result], count)
        for (family, bounds_s), seen in zip(times, (counts.replies, counts.boots, counts.detections), strict=True):
            _add_buckets(family, labels, bounds_s, seen)
    yield commands
    yield from (family for family, _ in times)


def _add_buckets(
    family: HistogramMetricFamily, labels: Sequence[str], bounds_s: Sequence[float], seen: Sequence[int]
) -> None:
    bounds = [*map(str, bounds_s), "+Inf"]
    family.add_metric(labels, list(zip(bounds, map(float, seen), strict=True)), sum_value=None)
    named = dict(zip(BUILD_LABELS, labels, strict=True))
    family.add_sample(f"{family.name}_count", named, seen[-1])


def _storm(now: Snapshot) -> Iterator[Metric]:
    labels = ("config", "build", "kind")
    events = CounterMetricFamily(
        "qstress_storm_events",
        "What moved and kicked vCPUs: moves asked for, migrations counted by the kernel, run-time write-backs, exits.",
        labels=labels,
    )
    watched = CounterMetricFamily(
        "qstress_storm_watched_seconds", "Seconds of guests in which such events were counted.", labels=labels
    )
    for counts in now.builds:
        for kind, (count, seconds) in counts.storm.items():
            events.add_metric([now.config, counts.build.name, kind.value], count)
            watched.add_metric([now.config, counts.build.name, kind.value], seconds)
    yield from (events, watched)


def _gate_and_evidence(now: Snapshot) -> Iterator[Metric]:
    limit = _gauge("qstress_gate_hang_ratio_limit", "The highest hang ratio that passes the gate.", BUILD_LABELS)
    says = "1 once some cell is shown to hang more often than the limit, else 0."
    exceeded = _gauge("qstress_gate_hang_ratio_exceeded", says, BUILD_LABELS)
    if (gate := now.gate) is not None:
        alpha = (1.0 - CONFIDENCE) / len(gate.cells)  # any cell would do, so each has its part
        shown = any(_above(counts, gate.limit, alpha, every_look=gate.every_look) for counts in gate.cells)
        limit.add_metric([now.config, gate.build], gate.limit)
        exceeded.add_metric([now.config, gate.build], float(shown))
    better = evidence_family()
    says = "log10 of the evidence that the candidate hangs more often."
    worse = _gauge("qstress_evidence_worse_log10", says, PAIR_LABELS)
    says = "1: the candidate is better than the baseline; -1: worse; 0: not decided."
    decided = _gauge("qstress_comparison_decided", says, PAIR_LABELS)
    says = "What is enough to decide that a candidate is better."
    needed = _gauge("qstress_evidence_needed_log10", says, ("config",))
    for pair in now.evidence:
        names = [now.config, pair.baseline, pair.candidate]
        better.add_metric(names, pair.better_log10)
        worse.add_metric(names, pair.worse_log10)
        decided.add_metric(names, _DECIDED[pair.winner])
    if now.evidence_needed_log10 is not None:
        needed.add_metric([now.config], now.evidence_needed_log10)
    yield from (limit, exceeded, better, worse, decided, needed)


def _state(now: Snapshot) -> Iterator[Metric]:
    progress = now.progress
    for name, help_text, value in (
        ("qstress_guests_running", "Guests that are alive.", progress.running),
        ("qstress_lanes", "Guests that may be alive at once.", now.lanes),
        ("qstress_run_start_timestamp_seconds", "When the run began.", progress.started_s),
        ("qstress_run_last_trial_timestamp_seconds", "When a trial last ended; 0 before the first.",
         progress.last_trial_s),
        ("qstress_run_end_timestamp_seconds", "When the run ended; 0 while it runs.", progress.ended_s),
    ):  # fmt: skip
        gauge = _gauge(name, help_text, ("config",))
        gauge.add_metric([now.config], value)
        yield gauge
    says = "1 for how the run stands or ended, 0 for the others."
    verdicts = _gauge("qstress_run_verdict", says, ("config", "verdict"))
    for verdict in RunVerdict:
        verdicts.add_metric([now.config, verdict.value], float(verdict is progress.verdict))
    yield verdicts
    errors = CounterMetricFamily(
        "qstress_rig_errors", "Trials that the host or qstress failed, and what ended a run, by reason.",
        labels=("config", "reason"),
    )  # fmt: skip
    for reason, count in now.rig_errors.items():
        errors.add_metric([now.config, reason], count)
    yield errors

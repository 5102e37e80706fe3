"""The overview: how often each build hangs, how sure that is, and whether the nightly job ran."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import units

from dashboards.src.panels import (
    BUILD,
    GREEN,
    ORANGE,
    RED,
    RUN,
    Panel,
    Query,
    Step,
    board,
    finished,
    listing,
    number,
    series,
)

DAILY = 'config=~"$config",build=~"$build"'
CELL = "{{build}} smp {{smp}}"
HOUR_S = 3600.0


def overview() -> Dashboard:
    """Return the dashboard ``qstress-overview``."""
    made = board(
        "qstress-overview",
        "qstress overview",
        "Hang rates of the QEMU builds under test, the evidence between them, and the last runs.",
        ("config", "build", "instance"),
        "now-30d",
    )
    return finished(made, {"Last runs": _last_runs(), "Hang rate": _rates(), "Work": _work(), "What ran": _what_ran()})


def _last_runs() -> list[Panel]:
    age = (Step(None, GREEN), Step(26 * HOUR_S, ORANGE), Step(36 * HOUR_S, RED))
    return [
        listing(
            "Last runs and their verdicts",
            "How the last run of each configuration stands or ended. failed: the gate failed, look at its report; "
            "inconclusive: too few valid trials; error: the host or qstress failed.",
            Query(f"qstress_run_verdict{{{RUN}}} == 1"),
            {"config": "configuration", "instance": "host", "verdict": "verdict"},
            width=10,
        ),
        number(
            "Age of the last nightly",
            "Since the last trial of a nightly configuration. Red after 36 hours: QstressNightlyMissing.",
            units.Seconds,
            Query(
                "time() - max by (config) "
                '(last_over_time(qstress_run_last_trial_timestamp_seconds{config=~"nightly.*"}[30d]))',
                "{{config}}",
            ),
            width=5,
            steps=age,
        ),
        number(
            "Since the last trial",
            "Of each configuration, whether or not it still runs.",
            units.Seconds,
            Query(
                f"time() - max by (config) (qstress_run_last_trial_timestamp_seconds{{{RUN}}} > 0)",
                "{{config}}",
            ),
            width=5,
        ),
        number(
            "Counted trials, 24 h",
            "Trials of the last day that are in a rate: all but unknown and rig.",
            units.Short,
            Query(f"sum by (config) (config_build_smp:qstress_trials:increase1d{{{DAILY}}})", "{{config}}"),
        ),
    ]


def _rates() -> list[Panel]:
    ratio = f"{{{BUILD}}}"
    return [
        series(
            "Hang rate per build and -smp, with its interval",
            "Hangs and restarts per counted trial of the current or last run; thin lines are its 95 % limits. "
            "Rates of different tiers, or of pretended and real SMM, are not comparable: see What ran.",
            units.PercentUnit,
            Query(f"last_over_time(qstress_hang_ratio{ratio}[$__rate_interval])", CELL),
            Query(f"last_over_time(qstress_hang_ratio_lower{ratio}[$__rate_interval])", f"{CELL} lower"),
            Query(f"last_over_time(qstress_hang_ratio_upper{ratio}[$__rate_interval])", f"{CELL} upper"),
            width=24,
            limits=True,
            ceiling=1,
        ),
        series(
            "Hang rate of the last 24 h",
            "Over all runs of the last 24 hours. lower: what is sure of it; upper: what the 28 days before allow. "
            "QstressRegression fires where lower is above upper.",
            units.PercentUnit,
            Query(f"config_build_smp:qstress_hang_ratio:rate1d{{{DAILY}}}", CELL),
            Query(f"config_build_smp:qstress_hang_ratio_lower:rate1d{{{DAILY}}}", f"{CELL} lower"),
            Query(f"config_build_smp:qstress_hang_ratio_upper:baseline28d{{{DAILY}}}", f"{CELL} upper"),
            limits=True,
            ceiling=1,
        ),
        series(
            "Evidence",
            "log10 of the evidence that the candidate hangs less often than the baseline (better) or more often "
            "(worse); it may be looked at any time. What decides is drawn as needed.",
            units.NoUnit,
            Query(f"qstress_evidence_log10{{{RUN}}}", "{{candidate}} better than {{baseline}}"),
            Query(f"qstress_evidence_worse_log10{{{RUN}}}", "{{candidate}} worse than {{baseline}}"),
            Query(f"qstress_evidence_needed_log10{{{RUN}}}", "{{config}}: needed"),
        ),
    ]


def _work() -> list[Panel]:
    return [
        series(
            "Trials per hour",
            "Trials of finished blocks, whatever became of them.",
            units.Short,
            Query(
                f"sum by (config, build) (rate(qstress_trials_total{{{BUILD}}}[$__rate_interval])) * 3600",
                "{{config}} {{build}}",
            ),
        ),
        series(
            "Hangs per hour",
            "Hangs and restarts by class.",
            units.Short,
            Query(
                f"sum by (build, class) (rate(qstress_hangs_total{{{BUILD}}}[$__rate_interval])) * 3600 > 0",
                "{{build}} {{class}}",
            ),
            stacked=True,
        ),
    ]


def _what_ran() -> list[Panel]:
    return [
        listing(
            "Builds under test",
            "What a rate means: the tier says how far it is from production; SMM pretended means that QEMU was told "
            "that KVM has SMM; smm_writeback reset-only means that the fix is imitated, not QEMU's own.",
            Query(f"qstress_qemu_info{{{BUILD}}}"),
            {
                "config": "configuration", "build": "build", "version": "QEMU", "tier": "tier", "smm": "SMM",
                "smm_writeback": "SMM write-back", "instance": "host",
            },
        ),
        listing(
            "Runs",
            "The folder of each current or last run, its accelerator, and what KVM the host has.",
            Query(f"qstress_run_info{{{RUN}}}"),
            {
                "config": "configuration", "run": "run", "accel": "accelerator", "kvm": "KVM", "nested": "nested",
                "instance": "host",
            },
        ),
    ]  # fmt: skip

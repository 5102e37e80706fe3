"""One run under way: lanes and guests, the hammer, how long boots and verdicts take, and what goes wrong."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import units

from dashboards.src.panels import BUILD, GREEN, RED, RUN, Panel, Query, Step, board, finished, heat, number, series


def run() -> Dashboard:
    """Return the dashboard ``qstress-run``."""
    made = board(
        "qstress-run",
        "qstress run",
        "A run while it goes on: is it moving, how hard does it hammer, how long do guests take, what fails.",
        ("config", "build", "instance"),
        "now-6h",
    )
    rows = {"Now": _now(), "Guests": _guests(), "Hammer": _hammer(), "Times": _times()}
    return finished(made, rows)


def _now() -> list[Panel]:
    return [
        number(
            "Since the last trial",
            "Red after 15 minutes: QstressRunStalled, if the run still runs.",
            units.Seconds,
            Query(f"time() - (qstress_run_last_trial_timestamp_seconds{{{RUN}}} > 0)", "{{config}}"),
            steps=(Step(None, GREEN), Step(900, RED)),
            width=6,
        ),
        number(
            "Counted trials",
            "Of this run: all but unknown and rig.",
            units.Short,
            Query(
                f'sum by (config) (qstress_trials_total{{{BUILD},outcome!~"unknown|rig"}})',
                "{{config}}",
            ),
            width=6,
        ),
        number(
            "Hangs",
            "Of this run: hangs and restarts.",
            units.Short,
            Query(f"sum by (config) (qstress_hangs_total{{{BUILD}}})", "{{config}}"),
            width=6,
        ),
        number(
            "In no rate",
            "The share of trials that are unknown or rig. Red above 5 %: QstressRigErrors.",
            units.PercentUnit,
            Query(
                f'sum by (config) (qstress_trials_total{{{BUILD},outcome=~"unknown|rig"}}) '
                f"/ sum by (config) (qstress_trials_total{{{BUILD}}})",
                "{{config}}",
            ),
            steps=(Step(None, GREEN), Step(0.05, RED)),
            width=6,
        ),
    ]


def _guests() -> list[Panel]:
    return [
        series(
            "Lanes and guests",
            "Guests that are alive, of as many as there are lanes.",
            units.Short,
            Query(f"qstress_guests_running{{{RUN}}}", "{{config}} guests"),
            Query(f"qstress_lanes{{{RUN}}}", "{{config}} lanes"),
        ),
        series(
            "Outcomes per hour",
            "What became of the trials, over all builds shown.",
            units.Short,
            Query(
                f"sum by (outcome) (rate(qstress_trials_total{{{BUILD}}}[$__rate_interval])) * 3600",
                "{{outcome}}",
            ),
            stacked=True,
        ),
        series(
            "Rig errors per hour",
            "Trials that the host or qstress failed, by reason; they are in no rate.",
            units.Short,
            Query(
                f"sum by (config, reason) (rate(qstress_rig_errors_total{{{RUN}}}[$__rate_interval])) * 3600 > 0",
                "{{config}} {{reason}}",
            ),
            width=24,
            stacked=True,
        ),
    ]


def _hammer() -> list[Panel]:
    return [
        series(
            "Commands per second",
            "Commands that were answered, by command and build.",
            units.OpsPerSecond,
            Query(
                "sum by (build, command) "
                f'(rate(qstress_monitor_commands_total{{{BUILD},result="return"}}[$__rate_interval]))',
                "{{build}}: {{command}}",
            ),
        ),
        series(
            "Commands without an answer",
            "Per second: errors, timeouts, and commands lost with their monitor.",
            units.OpsPerSecond,
            Query(
                "sum by (build, result) "
                f'(rate(qstress_monitor_commands_total{{{BUILD},result!="return"}}[$__rate_interval]))',
                "{{build}} {{result}}",
            ),
        ),
        series(
            "Reply latency",
            "From when a command was due to its reply; within the bounds of the buckets.",
            units.Seconds,
            *_quantiles("qstress_monitor_reply_seconds", (0.5, 0.99)),
        ),
        heat(
            "Replies by latency",
            "How many replies came how late, over all builds shown: a second hump that a quantile hides.",
            units.Seconds,
            "qstress_monitor_reply_seconds",
        ),
        series(
            "Moves and kicks per second",
            "Of a guest, where churn or kicks are asked for: moves of its threads, migrations that the kernel counted, "
            "run-time write-backs of vCPUs, exits from the guest.",
            units.OpsPerSecond,
            Query(
                f"sum by (build, kind) (rate(qstress_storm_events_total{{{BUILD}}}[$__rate_interval])) / "
                f"sum by (build, kind) (rate(qstress_storm_watched_seconds_total{{{BUILD}}}[$__rate_interval]))",
                "{{build}} {{kind}}",
            ),
        ),
    ]


def _times() -> list[Panel]:
    return [
        series(
            "Boot time",
            "From the guest's start until all its vCPUs were up; of healthy trials.",
            units.Seconds,
            *_quantiles("qstress_boot_seconds", (0.5, 0.99)),
        ),
        series(
            "Detection time",
            "From the last progress of a guest to the verdict; of findings.",
            units.Seconds,
            *_quantiles("qstress_hang_detection_seconds", (0.5, 0.99)),
        ),
        heat(
            "Boots by time",
            "How many healthy boots took how long, over all builds shown.",
            units.Seconds,
            "qstress_boot_seconds",
        ),
    ]


def _quantiles(metric: str, quantiles: tuple[float, ...]) -> list[Query]:
    buckets = f"sum by (build, le) (rate({metric}_bucket{{{BUILD}}}[$__rate_interval]))"
    return [Query(f"histogram_quantile({q:g}, {buckets})", f"{{{{build}}}} p{100 * q:g}") for q in quantiles]

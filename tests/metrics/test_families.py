"""The exposition: promtool takes it, names and labels are those of docs/reference.md, "Metrics", every child is there
from the start."""

from __future__ import annotations

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from qstress.config.settings import Gate
from qstress.metrics.families import families, render
from qstress.metrics.snapshot import HANG_CLASSES, RunVerdict, Snapshot, StormKind, snapshot
from qstress.model import FindingClass, Outcome, Smm, SmmWriteback, StormCount
from qstress.stats.intervals import clopper_pearson
from tests.dashboards.prom import promtool
from tests.metrics.samples import at_start, progress, settings, tally_of
from tests.stats.samples import LOST, OK, REPLAYED, build, cells, feed, feed_runs, verdicts

#: docs/reference.md, "Metrics", and what issues added: the labels of each.
INTERFACE = {
    "qstress_build_info": {"version"},
    "qstress_run_info": {"config", "run", "accel", "kvm", "host", "nested"},
    "qstress_trials_total": {"config", "build", "smp", "outcome"},
    "qstress_hangs_total": {"config", "build", "smp", "class"},
    "qstress_hang_ratio": {"config", "build", "smp"},
    "qstress_hang_ratio_lower": {"config", "build", "smp"},
    "qstress_hang_ratio_upper": {"config", "build", "smp"},
    "qstress_monitor_commands_total": {"config", "build", "command", "result"},
    "qstress_monitor_reply_seconds_bucket": {"config", "build", "le"},
    "qstress_boot_seconds_bucket": {"config", "build", "le"},
    "qstress_hang_detection_seconds_bucket": {"config", "build", "le"},
    "qstress_storm_events_total": {"config", "build", "kind"},
    "qstress_storm_watched_seconds_total": {"config", "build", "kind"},
    "qstress_guests_running": {"config"},
    "qstress_lanes": {"config"},
    "qstress_evidence_log10": {"config", "baseline", "candidate"},
    "qstress_run_start_timestamp_seconds": {"config"},
    "qstress_run_last_trial_timestamp_seconds": {"config"},
    "qstress_rig_errors_total": {"config", "reason"},
}

GATE = Gate("new", 0.01, None, None)
Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def values(now: Snapshot) -> Values:
    """Return what a scraper reads: the value of each series by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(render(now).decode())
        for sample in family.samples
    }


def value(of: Values, name: str, **labels: str) -> float:
    """Return the one series of *name* whose labels include *labels*; ``of_class`` stands for ``class``."""
    wanted = {("class" if key == "of_class" else key, text) for key, text in labels.items()}
    (found,) = [v for (series, given), v in of.items() if series == name and wanted <= given]
    return found


def test_promtool_finds_nothing_to_say() -> None:
    done = promtool("check", "metrics", stdin=render(at_start(GATE)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_names_and_labels_are_the_interface() -> None:
    seen: dict[str, set[str]] = {}
    for name, labels in values(at_start(GATE)):
        seen.setdefault(name, {label for label, _ in labels})
        assert seen[name] == {label for label, _ in labels}
    assert seen | INTERFACE == seen


def test_only_the_run_info_names_the_run() -> None:
    now = at_start(GATE)
    naming = {name for name, labels in values(now) if now.progress.run in dict(labels).values()}
    assert naming == {"qstress_run_info"}


def test_every_child_exists_before_the_first_trial() -> None:
    seen = values(at_start(GATE))
    for name in ("old", "new"):
        for outcome in Outcome:
            assert value(seen, "qstress_trials_total", build=name, outcome=outcome) == 0
        for found in HANG_CLASSES:
            assert value(seen, "qstress_hangs_total", build=name, of_class=found) == 0
        for result in ("return", "error", "timeout", "lost"):
            assert value(seen, "qstress_monitor_commands_total", build=name, result=result) == 0
        for kind in StormKind:
            assert value(seen, "qstress_storm_events_total", build=name, kind=kind) == 0
        assert value(seen, "qstress_boot_seconds_bucket", build=name, le="+Inf") == 0
        assert math.isnan(value(seen, "qstress_hang_ratio", build=name))
        assert value(seen, "qstress_hang_ratio_lower", build=name) == 0
        assert value(seen, "qstress_hang_ratio_upper", build=name) == 1
    assert value(seen, "qstress_gate_hang_ratio_limit", build="new") == 0.01
    assert value(seen, "qstress_gate_hang_ratio_exceeded", build="new") == 0
    assert value(seen, "qstress_comparison_decided", candidate="new") == 0
    assert value(seen, "qstress_run_verdict", verdict="running") == 1


def test_no_series_comes_or_goes_while_a_run_goes_on() -> None:
    made, planned = settings(gate=GATE)
    tally = tally_of(made, planned)
    before = set(values(snapshot(made, tally, progress())))
    feed(tally, [LOST, REPLAYED], [OK, OK])
    assert set(values(snapshot(made, tally, progress()))) == before


def test_rates_have_the_limits_of_the_reports() -> None:
    made, planned = settings()
    tally = tally_of(made, planned)
    feed(tally, verdicts(5, 50), verdicts(0, 50))
    seen = values(snapshot(made, tally, progress()))
    limits = clopper_pearson(5, 50)
    assert value(seen, "qstress_hang_ratio", build="old") == 0.1
    assert value(seen, "qstress_hang_ratio_lower", build="old") == pytest.approx(limits.lower)
    assert value(seen, "qstress_hang_ratio_upper", build="old") == pytest.approx(limits.upper)
    assert value(seen, "qstress_hangs_total", build="old", of_class="lost-init") == 5
    assert value(seen, "qstress_trials_total", build="old", outcome="hang") == 5
    assert value(seen, "qstress_trials_total", build="old", outcome="ok") == 45


def test_trials_that_share_a_process_widen_the_limits() -> None:
    made, _ = settings()
    planned = cells(*made.builds, process_trials=10)
    tally = tally_of(made, planned)
    runs = [[LOST] * 10, *[[OK] * 10] * 9]  # all hangs in one process
    feed_runs(tally, runs, [[OK] * 10] * 10)
    seen = values(snapshot(made, tally, progress()))
    assert value(seen, "qstress_hang_ratio", build="old") == 0.1
    assert value(seen, "qstress_hang_ratio_upper", build="old") > 2 * clopper_pearson(10, 100).upper


def test_the_gate_is_exceeded_when_its_rate_is_shown_above_the_limit() -> None:
    made, planned = settings(gate=GATE)
    for hangs, exceeded in ((1, 0.0), (10, 1.0)):
        tally = tally_of(made, planned)
        feed(tally, verdicts(0, 50), verdicts(hangs, 50))
        seen = values(snapshot(made, tally, progress()))
        assert value(seen, "qstress_gate_hang_ratio_exceeded", build="new") == exceeded


def test_a_decision_has_a_sign() -> None:
    made, planned = settings()
    for old, new, sign in ((40, 0, 1.0), (0, 40, -1.0), (1, 1, 0.0)):
        tally = tally_of(made, planned)
        feed(tally, verdicts(old, 40), verdicts(new, 40))
        seen = values(snapshot(made, tally, progress()))
        assert value(seen, "qstress_comparison_decided", baseline="old", candidate="new") == sign


def test_kicks_have_the_seconds_in_which_they_were_counted() -> None:
    made, planned = settings()
    tally = tally_of(made, planned)
    tally.add_kicks(0, StormCount(10.0, moves=5000, migrations=700, write_backs=3000, exits=None))
    seen = values(snapshot(made, tally, progress()))
    for kind, count, watched_s in (
        ("move", 5000, 10),
        ("migration", 700, 10),
        ("write-back", 3000, 10),
        ("exit", 0, 0),
    ):
        assert value(seen, "qstress_storm_events_total", build="old", kind=kind) == count
        assert value(seen, "qstress_storm_watched_seconds_total", build="old", kind=kind) == watched_s
    assert value(seen, "qstress_storm_watched_seconds_total", build="new", kind="move") == 0


def test_a_finished_run_keeps_its_verdict_and_time() -> None:
    made, planned = settings()
    seen = values(snapshot(made, tally_of(made, planned), progress(RunVerdict.FAILED)))
    told = {verdict: value(seen, "qstress_run_verdict", verdict=verdict) for verdict in RunVerdict}
    assert {verdict for verdict, told_of in told.items() if told_of} == {RunVerdict.FAILED}
    assert value(seen, "qstress_run_end_timestamp_seconds") == 1061.0
    assert value(seen, "qstress_run_last_trial_timestamp_seconds") == 1060.5


def test_four_builds_sixteen_smps_and_three_configurations_stay_small() -> None:
    """As one Prometheus sees them; the commands of a hammer are the only axis that is left."""
    series = 0
    for name in ("nightly", "smp", "quickstart"):
        made, planned = settings([build(b) for b in "abcd"], range(1, 17), name=name, gate=Gate("b", 0.01, None, None))
        now = snapshot(made, tally_of(made, planned), progress())
        series += sum(len(family.samples) for family in families(now))
    assert 3 * 4 * 16 * (len(Outcome) + len(HANG_CLASSES)) < series < 5000


def test_pretended_smm_and_an_imitated_fix_are_said() -> None:
    made, planned = settings([build("old"), build("new", smm=Smm.PRETENDED, smm_writeback=SmmWriteback.RESET_ONLY)])
    seen = values(snapshot(made, tally_of(made, planned), progress()))
    assert value(seen, "qstress_qemu_info", build="new", smm="pretended", smm_writeback="reset-only") == 1
    assert value(seen, "qstress_qemu_info", build="old", smm="none", tier="T1") == 1


def test_no_metric_is_of_python_or_the_process() -> None:
    collected = {family.name for family in families(at_start())}
    assert {name.split("_")[0] for name in collected} == {"qstress"}
    assert set(FindingClass) > set(HANG_CLASSES)

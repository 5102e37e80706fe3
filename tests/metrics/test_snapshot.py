"""A snapshot is what the tally and summary.json say, summed over what the metrics do not tell apart."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest

from qstress.config.settings import Gate
from qstress.metrics.snapshot import (
    BOOT_BUCKETS_S,
    DETECTION_BUCKETS_S,
    HANG_CLASSES,
    RIG_REASONS,
    RunVerdict,
    StormKind,
    snapshot,
)
from qstress.model import LATENCY_BUCKETS_S, CommandCount, FindingClass, Outcome, StormCount, Tier
from qstress.stats.compare import Decision
from tests.metrics.samples import BUILDS, at_start, progress, settings, tally_of
from tests.stats.samples import CRASH, LOST, OK, REPLAYED, RIG, UNKNOWN, build, feed, verdicts


def test_before_the_first_trial_everything_is_there_and_zero() -> None:
    now = at_start(Gate("new", 0.01, None, None))
    assert [(r.build, r.smp, r.n, r.hangs) for r in now.rates] == [("old", 4, 0, 0), ("new", 4, 0, 0)]
    for rate in now.rates:
        assert set(rate.outcomes) == set(Outcome)
        assert set(rate.classes) == set(HANG_CLASSES)
    assert [b.commands for b in now.builds] == [{"info registers -a": (0, 0, 0, 0)}] * 2
    assert now.rig_errors == dict.fromkeys(RIG_REASONS, 0)
    assert [(e.better_log10, e.worse_log10, e.winner) for e in now.evidence] == [(0.0, 0.0, None)]
    assert now.evidence_needed_log10 == pytest.approx(6.0)


def test_hangs_are_hangs_and_restarts_whatever_else_was_found() -> None:
    made, planned = settings()
    tally = tally_of(made, planned)
    feed(tally, [LOST, REPLAYED, CRASH, UNKNOWN, OK], [OK] * 5)
    old, new = snapshot(made, tally, progress()).rates
    assert (old.n, old.hangs, new.n, new.hangs) == (4, 2, 5, 0)
    assert {c: k for c, k in old.classes.items() if k} == {FindingClass.LOST_INIT: 1, FindingClass.REPLAYED_INIT: 1}
    assert sum(old.classes.values()) == old.hangs
    assert old.outcomes[Outcome.CRASH] == old.outcomes[Outcome.UNKNOWN] == 1


def test_cells_of_one_build_and_smp_are_summed() -> None:
    made, planned = settings(smp=(2, 2, 4))  # twice 2: two strata that differ in what the metrics do not tell apart
    tally = tally_of(made, planned)
    feed(tally, [LOST, OK], [OK, OK], first_cell=0)
    feed(tally, [LOST, LOST], [OK, OK], first_cell=2)
    now = snapshot(made, tally, progress())
    assert [(r.build, r.smp, r.n, r.hangs) for r in now.rates] == [
        ("old", 2, 4, 3), ("new", 2, 4, 0), ("old", 4, 0, 0), ("new", 4, 0, 0),
    ]  # fmt: skip


def test_commands_and_times_are_summed_per_build() -> None:
    made, planned = settings(smp=(2, 4))
    tally = tally_of(made, planned)
    count = CommandCount("info registers -a", returned=10, errors=1, timeouts=2, lost=3, hammered_s=1.0)
    latencies = (4, 5, *[0] * (len(LATENCY_BUCKETS_S) - 2), 1)
    for first in (0, 2):
        feed(tally, [LOST], [OK], first, commands=(count,), latencies=latencies, boot_s=0.4, detection_s=4.0)
    old, _ = snapshot(made, tally, progress()).builds
    assert old.commands == {"info registers -a": (20, 2, 4, 6)}
    assert old.replies == (8, *[18] * (len(LATENCY_BUCKETS_S) - 1), 20)
    assert old.boots == tuple(2 * (bound_s >= 0.5) for bound_s in BOOT_BUCKETS_S) + (2,)
    assert old.detections == tuple(2 * (bound_s >= 5.0) for bound_s in DETECTION_BUCKETS_S) + (2,)


def test_kicks_are_summed_per_build_and_unknown_ones_have_no_seconds() -> None:
    made, planned = settings(smp=(2, 4))
    tally = tally_of(made, planned)
    tally.add_kicks(0, StormCount(4.0, moves=40, migrations=4, write_backs=None, exits=8))
    tally.add_kicks(2, StormCount(6.0, moves=60, migrations=6, write_backs=12, exits=None))
    old, new = snapshot(made, tally, progress()).builds
    assert old.storm == {
        StormKind.MOVE: (100, 10.0), StormKind.MIGRATION: (10, 10.0), StormKind.WRITE_BACK: (12, 6.0),
        StormKind.EXIT: (8, 4.0),
    }  # fmt: skip
    assert set(new.storm.values()) == {(0, 0)}


def test_evidence_and_decision_are_those_of_the_comparison() -> None:
    made, planned = settings()
    tally = tally_of(made, planned)
    feed(tally, verdicts(40, 40), verdicts(0, 40))
    (better,) = snapshot(made, tally, progress()).evidence
    assert (better.better_log10, better.worse_log10) == tally.evidence_log10("old", "new")
    assert better.winner is Decision.BETTER
    tally = tally_of(made, planned)
    feed(tally, verdicts(0, 40), verdicts(40, 40))
    assert snapshot(made, tally, progress()).evidence[0].winner is Decision.WORSE


def test_several_candidates_need_more_evidence_each() -> None:
    made, planned = settings([build(name) for name in "abc"])
    needed = snapshot(made, tally_of(made, planned), progress()).evidence_needed_log10
    assert needed == pytest.approx(6.0 + math.log10(2))


@pytest.mark.parametrize(("classes", "k"), [(None, 2), ((FindingClass.LOST_INIT,), 1), ((FindingClass.CRASH,), 1)])
def test_the_gate_counts_what_it_was_told_to(classes: tuple[FindingClass, ...] | None, k: int) -> None:
    made, planned = settings(gate=Gate("new", 0.01, classes, None))
    tally = tally_of(made, planned)
    feed(tally, [OK] * 4, [LOST, REPLAYED, CRASH, RIG])
    gate = snapshot(made, tally, progress()).gate
    assert gate is not None
    assert (gate.build, gate.limit) == ("new", 0.01)
    assert [(counts.k, counts.n) for counts in gate.cells] == [(k, 3)]


def test_a_gate_without_a_limit_has_none() -> None:
    assert at_start(Gate("new", None, None, "old")).gate is None


def test_rig_errors_are_trials_and_what_ended_the_run() -> None:
    made, planned = settings()
    tally = tally_of(made, planned)
    feed(tally, [RIG, RIG], [RIG, OK], rig_reason="spawn")
    feed(tally, [RIG], [OK], rig_reason="never heard of")
    now = snapshot(made, tally, progress(RunVerdict.ERROR, rig_reason="disk-full"))
    assert {reason: count for reason, count in now.rig_errors.items() if count} == {
        "spawn": 3, "rig": 1, "disk-full": 1,
    }  # fmt: skip


def test_tiers_and_accelerator_come_from_the_plan() -> None:
    made, planned = settings([BUILDS[0], build("held", hold_write_s=0.001)])
    now = snapshot(made, tally_of(made, planned), progress())
    assert [b.tier for b in now.builds] == [Tier.T1, Tier.T2]
    assert (now.config, now.accel, now.lanes) == ("nightly", "kvm", 2)


def test_every_reason_that_a_run_may_give_is_a_label() -> None:
    package, given = Path(__file__).parents[2] / "qstress", set()
    for path in package.rglob("*.py"):
        where = path.relative_to(package)
        alone = where in (Path("run/bisect.py"), Path("guest/virsh.py"))
        if alone or where.parts[0] in ("cli", "host", "qemu_build", "kernel_build"):
            continue  # commands that run no trials
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "RigError":
                given |= {ast.literal_eval(k.value) for k in node.keywords if isinstance(k.value, ast.Constant)}
    assert given
    assert given <= set(RIG_REASONS), "add it to RIG_REASONS in qstress/metrics/snapshot.py"


@pytest.mark.parametrize(
    ("code", "verdict"),
    [(0, "passed"), (1, "failed"), (5, "inconclusive"), (130, "interrupted"), (143, "interrupted"), (3, "error"),
     (4, "error")],
)  # fmt: skip
def test_an_exit_code_is_a_verdict(code: int, verdict: str) -> None:
    assert RunVerdict.of(code) == verdict

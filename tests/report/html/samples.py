"""Made-up runs for the tests of the report: small enough to count by hand, or with every axis and figure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qstress.config.settings import Compare, Gate, Settings
from qstress.model import (
    LATENCY_BUCKETS_S,
    Accel,
    Build,
    CommandCount,
    FindingClass,
    HammerSpec,
    Host,
    Rate,
    Shape,
    Smm,
    SmmWriteback,
    Stratum,
    Trial,
    TrialResult,
    Verdict,
)
from qstress.plan.schedule import Plan
from qstress.report.html.run import Shown
from qstress.report.standing import standing
from qstress.report.summary import RunFacts
from qstress.report.trace import Trace
from qstress.stats.tally import Tally
from tests.stats.samples import LOST, OK, REPLAYED, RIG, UNKNOWN

HOST: dict[str, Any] = {
    "kernel": "6.1.0-13-amd64", "machine": "x86_64", "cpu": "AMD EPYC", "cores": 4, "memory_bytes": 8 << 30,
    "kvm": {"usable": True, "reason": "", "kind": "svm", "nested": False},
}  # fmt: skip
#: What a guest may have said: nothing of it may become markup.
HOSTILE = "</script><script>alert(1)</script><img src=http://example.invalid/x onerror=alert(1)>\x1b[31m"


def build(name: str, **more: Any) -> Build:
    """A build of that name."""
    return Build(name, f"/opt/{name}/bin/qemu-system-x86_64", "10.1.0", "ab" * 32, smm=Smm.REAL, **more)


def strata(smp: Sequence[int] = (4,), rates: Sequence[str] = ("max",), **more: Any) -> tuple[Stratum, ...]:
    """Every number of vCPUs with every hammer rate."""
    return tuple(
        Stratum(
            replace(Shape(n, "pc", Accel.KVM, 32 << 20, "seabios"), **more),
            (HammerSpec("info registers -a", "hmp", Rate(None, rate)),),
        )
        for n in smp
        for rate in rates
    )


def settings(builds: Sequence[str] = ("unpatched", "patched"), **more: Any) -> Settings:
    """Settings that compare the first build with the others and gate the last."""
    made = Settings(
        name="nightly",
        builds=tuple(build(name) for name in builds),
        strata=strata(),
        stop_trials=None,
        stop_duration_s=None,
        stop_decided=False,
        compare=Compare(builds[0], tuple(builds[1:]), 1e-3, 0.95) if len(builds) > 1 else None,
        gate=Gate(builds[-1], None, (FindingClass.LOST_INIT,), builds[0]) if len(builds) > 1 else None,
        lanes=1,
        seed=3,
        runs_dir=Path("runs"),
        metrics_listen=None,
        metrics_textfile=None,
        accel_note="KVM",
    )
    return replace(made, **more)


def facts(exit_code: int = 0, reason: str = "trials", **more: Any) -> RunFacts:
    """Facts of a run that ended."""
    return RunFacts(
        run="20260102T030405Z-nightly-k3x9",
        folder="runs/20260102T030405Z-nightly-k3x9",
        name="nightly",
        started="2026-01-02T03:04:05+00:00",
        finished="2026-01-02T03:07:15+00:00",
        reason=reason,
        exit_code=exit_code,
        host=HOST,
        lanes=1,
        kvm="svm",
        nested=False,
        **more,
    )


def result_of(trial: Trial, verdict: Verdict = OK, started_s: float = 0.0) -> TrialResult:
    """What became of *trial*, with every number that a figure draws."""
    smp = trial.cell.stratum.shape.smp
    boot_s = 0.2 + smp / 50 + random.Random(trial.number).random() / 10
    ok, finding = verdict is OK, verdict.outcome.finding
    return TrialResult(
        trial, verdict, started_s, boot_s + 0.1,
        boot_s=boot_s if ok else None,
        detection_s=3.0 + trial.number % 5 if finding else None,
        commands=(CommandCount("info registers -a", 100 + trial.number % 7, hammered_s=boot_s, due=120),),
        latencies=(0, 3, 40, 40, 15, 2) + (0,) * (len(LATENCY_BUCKETS_S) - 5),
        rig_reason="qemu-refused" if verdict is RIG else "",
        duty_cycle=0.1 if ok else None,
    )  # fmt: skip


def shown(
    asked: Settings | None = None, verdicts: Sequence[Sequence[Verdict]] = (), *, exit_code: int = 0,
    hosts: Sequence[Host | None] = (None,), **more: Any,
) -> Shown:  # fmt: skip
    """A run with *asked* settings whose blocks, in planned order, ended as *verdicts* say: one for each build.

    :param hosts: which ran them, in turn.
    """
    asked = asked or settings()
    plan = Plan(asked.builds, asked.strata, asked.seed)
    pairs = [(asked.compare.baseline, candidate) for candidate in asked.compare.candidates] if asked.compare else []
    tally = Tally(plan.cells, pairs, asked.asked_classes)
    trace = Trace()
    names = [build.name for build in asked.builds]
    for block, of_builds in enumerate(verdicts):
        said = dict(zip(names, of_builds, strict=True))
        host = hosts[block % len(hosts)]
        results = [
            replace(result_of(trial, said[trial.cell.build.name], trial.number), host=host)
            for trial in plan.block(block)
        ]
        tally.add_block(results, {r.trial.number: f"evidence/{r.trial.number}" for r in results})
        trace.note(tally)
    return Shown(
        facts=more.pop("facts", facts(exit_code)),
        settings=asked,
        tally=tally,
        trace=trace,
        standing=standing(asked, tally, complete=True),
        builds=more.pop("builds", {}),
        duration_s=more.pop("duration_s", 190.0),
        **more,
    )


def everything(blocks: int = 120) -> Shown:
    """A run with three builds, every axis, every figure, and findings that try to break out."""
    asked = settings(("unpatched", "patched", "v2"), strata=strata((2, 4, 16), ("max", "every 2ms")))
    builds = (asked.builds[0], replace(asked.builds[1], smm_writeback=SmmWriteback.RESET_ONLY), asked.builds[2])
    hostile = replace(LOST, title=HOSTILE, signature=f"lost-init:{HOSTILE}")
    rng = random.Random(1)
    verdicts = [
        (
            hostile if rng.random() < 0.3 else RIG if rng.random() < 0.02 else OK,
            REPLAYED if rng.random() < 0.03 else OK,
            LOST if rng.random() < 0.05 else UNKNOWN if rng.random() < 0.02 else OK,
        )
        for _ in range(blocks)
    ]
    run = shown(replace(asked, builds=builds), verdicts)
    folders = [folder for finding in run.tally.findings for folder in finding.evidence]
    picture = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 60 20"><rect width="60" height="20"/></svg>'
    return replace(
        run, pictures=dict.fromkeys(folders, picture), stories=dict.fromkeys(folders, f"It stood still.\n{HOSTILE}")
    )

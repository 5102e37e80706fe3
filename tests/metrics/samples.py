"""Runs made up for the tests of metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qstress.config.settings import Compare, Gate, Settings
from qstress.metrics.families import families
from qstress.metrics.snapshot import Progress, RunVerdict, Snapshot, snapshot
from qstress.model import Build, Cell
from qstress.stats.tally import Tally
from tests.stats.samples import build, cells

BUILDS = (build("old"), build("new"))


def settings(
    builds: Sequence[Build] = BUILDS, smp: Sequence[int] = (4,), *, name: str = "nightly", gate: Gate | None = None
) -> tuple[Settings, list[Cell]]:
    """Settings that compare the first build with all others, and the cells of their plan."""
    planned = cells(*builds, smp=smp)
    compare = Compare(builds[0].name, tuple(b.name for b in builds[1:]), 1e-6, 0.95) if len(builds) > 1 else None
    made = Settings(
        name=name,
        builds=tuple(builds),
        strata=tuple(dict.fromkeys(cell.stratum for cell in planned)),
        stop_trials=100,
        stop_duration_s=None,
        stop_decided=False,
        compare=compare,
        gate=gate,
        lanes=2,
        seed=1,
        runs_dir=Path("runs"),
        metrics_listen=None,
        metrics_textfile=None,
        accel_note="",
    )
    return made, planned


def tally_of(made: Settings, planned: Sequence[Cell]) -> Tally:
    """An empty tally of what *made* compares."""
    pairs = [(made.compare.baseline, candidate) for candidate in made.compare.candidates] if made.compare else []
    return Tally(planned, pairs, made.gate.classes if made.gate else None)


def progress(verdict: RunVerdict = RunVerdict.RUNNING, *, rig_reason: str = "") -> Progress:
    """A run of two guests that has just had a trial."""
    return Progress(
        run="20261121T020000Z-nightly-abc123",
        kvm="pvm",
        nested=True,
        running=2,
        started_s=1000.0,
        last_trial_s=1060.5,
        ended_s=0.0 if verdict is RunVerdict.RUNNING else 1061.0,
        verdict=verdict,
        rig_reason=rig_reason,
    )


def at_start(gate: Gate | None = None) -> Snapshot:
    """A run that has not had a trial yet."""
    made, planned = settings(gate=gate)
    return snapshot(made, tally_of(made, planned), progress())


def names() -> set[str]:
    """Return the name of every series that a run may expose."""
    now = at_start(Gate("new", 0.01, None, None))
    return {sample.name for family in families(now) for sample in family.samples}

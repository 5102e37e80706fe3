"""A run goes on with its own settings, of which ``stop`` alone may change."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.config.binary import sha256_of
from qstress.config.settings import FleetSettings, Gate, digest
from qstress.errors import ConfigError
from qstress.recorded.extend import is_extended, other_changes, run_extended, settings_to_go_on, stop_changed
from qstress.recorded.settings import settings_of
from qstress.store.read import open_run
from tests.recorded.old_runs import RACE, old_runs
from tests.recorded.samples import document, recorded
from tests.report.html.samples import settings, strata
from tests.stats.samples import OK

RUN = Path("runs/x")
ASKED = settings(stop_trials=400, stop_duration_s=60.0, stop_decided=True)


@pytest.mark.parametrize(
    ("overrides", "trials", "duration_s", "decided"),
    [
        ([], 400, 60.0, True),
        (["stop.trials=1000"], 1000, 60.0, True),
        (["stop.duration=2h", "stop.decided=false"], 400, 7200.0, False),
        (["stop.duration=null"], 400, None, True),
        (["stop={trials: 90, duration: 5s}"], 90, 5.0, True),
    ],
)
def test_stop_may_change(overrides: list[str], trials: int, duration_s: float | None, decided: bool) -> None:
    now = stop_changed(ASKED, overrides, RUN)
    assert (now.stop_trials, now.stop_duration_s, now.stop_decided) == (trials, duration_s, decided)
    assert other_changes(ASKED, now) == []


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("lanes=2", "--set lanes=2: lanes: cannot change while runs/x goes on, stop alone can"),
        ("guest.smp=16", "guest.smp: cannot change"),
        ("builds.unpatched.kvm_smm=real", "builds.unpatched.kvm_smm: cannot change"),
        ("compare.alpha=0.1", "compare.alpha: cannot change"),
        ("stop.until=3", "stop.until: unknown key"),
        ("stop.duration=90", "stop.duration: 90 has no unit"),
        ("stop.trials", "is not of the form key.path=value"),
        ("stop.trials=1", "stop.trials: 1 is fewer than the 2 builds"),
        ("stop={trials: null, duration: null, decided: false}", "stop: nothing would end this run"),
    ],
)
def test_anything_else_is_refused_and_named(override: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        stop_changed(ASKED, [override], RUN)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_deciding_needs_something_to_decide() -> None:
    with pytest.raises(ConfigError, match=r"stop.decided: needs compare, or gate with max_hang_rate"):
        stop_changed(settings(("only",), stop_trials=4, gate=None), ["stop.decided=true"], RUN)
    limited = settings(("only",), stop_trials=4, gate=Gate("only", 0.1, None, None))
    assert stop_changed(limited, ["stop.decided=true"], RUN).stop_decided


def test_other_changes_are_named_as_in_a_configuration() -> None:
    now = replace(ASKED, lanes=2, seed=9, strata=strata((2,)), stop_trials=1, runs_dir=Path("elsewhere"))
    assert other_changes(ASKED, now) == ["guest, hammer or churn", "lanes", "seed"]


def test_what_a_run_was_planned_as_is_kept() -> None:
    now = replace(ASKED, stop_trials=800)
    once = run_extended(document(ASKED), ASKED, now)
    assert (settings_of(once), once["sha256"]) == (now, digest(now))
    assert is_extended(once)
    assert not is_extended(document(ASKED))
    twice = run_extended(once, now, replace(now, stop_decided=False))
    assert twice["extended"] == [
        {"stop_trials": trials, "stop_duration_s": 60.0, "stop_decided": True} for trials in (400, 800)
    ]


def runnable(folder: Path) -> Path:
    """A recorded run whose builds are there, and as they were."""
    binary = Path(shutil.copy("/bin/true", folder / "qemu"))
    (build,) = settings(("only",)).builds
    builds = (replace(build, binary=str(binary), sha256=sha256_of(binary)),)
    return recorded(folder, [(OK,)], replace(settings(("only",), stop_trials=4), builds=builds)).path


def test_a_run_needs_no_configuration(tmp_path: Path) -> None:
    path = runnable(tmp_path)
    now = settings_to_go_on(path, ["stop.trials=9"], {"seed": 3, "lanes": "1", "runs_dir": None})
    assert (now.stop_trials, now.seed, now.lanes) == (9, 3, 1)
    for options, key in (({"seed": 4}, "seed"), ({"lanes": "auto"}, "lanes"), ({"runs_dir": "/x"}, "runs_dir")):
        with pytest.raises(ConfigError, match=f"{key}: cannot change while"):
            settings_to_go_on(path, [], options)


def test_another_session_may_have_other_workers(tmp_path: Path) -> None:
    path = runnable(tmp_path)
    now = settings_to_go_on(path, [], {"workers": "3", "fleet.scheduler": None})
    assert (now.workers, now.fleet) == (3, None)
    assert settings_to_go_on(path, [], {"workers": "auto"}).workers == 1
    there = settings_to_go_on(path, [], {"fleet.scheduler": "tcp://127.0.0.1:8786"})
    assert there.fleet == FleetSettings("tcp://127.0.0.1:8786")
    assert digest(there) == digest(now)
    with pytest.raises(ConfigError, match=r"--workers or --fleet: '10.0.0.1' is not a scheduler"):
        settings_to_go_on(path, [], {"fleet.scheduler": "10.0.0.1"})


def test_a_qemu_that_has_changed_or_gone_is_refused(tmp_path: Path) -> None:
    path = runnable(tmp_path)
    (tmp_path / "qemu").write_bytes(b"another")
    with pytest.raises(ConfigError, match=r"builds.only.binary: is gone or changed"):
        settings_to_go_on(path, [], {})
    (tmp_path / "qemu").unlink()
    with pytest.raises(ConfigError, match=r"builds.only.binary: is gone or changed"):
        settings_to_go_on(path, [], {})


def test_a_run_recorded_long_ago_is_the_same_experiment(tmp_path: Path) -> None:
    with open_run(old_runs(tmp_path) / RACE) as record:
        assert digest(settings_of(record.run)) == record.run["sha256"]

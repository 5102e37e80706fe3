"""The nightly job around a stand-in for ``qstress soak``: what it keeps, what it says, and its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from qstress.config.load import load_config
from qstress.stats.intervals import upper_limit

ROOT = Path(__file__).parents[2]
#: Leaves what a soak leaves, as far as it is told to, and ends with FAKE_CODE; FAKE_WAIT: only once it is told to stop.
FAKE = """
import json, os, pathlib, signal, sys
code = int(os.environ["FAKE_CODE"])
print("called with", *sys.argv[1:])
if sys.argv[1] == "report":
    sys.exit(0)
if code == 2:
    sys.exit(2)
arguments = dict(zip(sys.argv, sys.argv[1:]))
run = pathlib.Path(arguments["--runs-dir"]) / os.environ["FAKE_RUN"]
(run / "evidence/0").mkdir(parents=True)
(run / "evidence/0/dumps.txt").write_text("EIP")
if os.environ.get("FAKE_WAIT"):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    print("waiting", file=sys.stderr, flush=True)
    signal.sigwait({signal.SIGTERM})
    code = 143
(run / "summary.json").write_text(json.dumps({"run": run.name, "exit_code": code}, indent=1))
(run / "junit.xml").write_text("<testsuite/>")
(run / "report.html").write_text("<html/>")
sys.exit(code)
"""


#: The job around the stand-in, as the command runs it: its first argument is where everything is kept.
JOB = """
import pathlib, sys
from qstress.run.nightly import Nights
state = pathlib.Path(sys.argv[1]) / "state"
nights = Nights(pathlib.Path("nightly.yaml"), state, state / "metrics", keep=2)
code, printed = nights.run(sys.argv[2:], [sys.executable, sys.argv[1] + "/fake.py"])
sys.stdout.write(printed)
sys.exit(code)
"""


@pytest.fixture
def job(tmp_path: Path) -> list[str]:
    """The command line of a job that keeps everything under tmp_path."""
    (tmp_path / "fake.py").write_text(FAKE)
    return [sys.executable, "-c", JOB, str(tmp_path)]


def environment(code: int = 0, day: int = 1, **more: str) -> dict[str, str]:
    """What tells the stand-in how to end."""
    ours = {key: text for key, text in os.environ.items() if not key.startswith("GITHUB_")}
    return {**ours, "FAKE_CODE": str(code), "FAKE_RUN": f"2026112{day}T020000Z-nightly-abc", **more}


def night(
    job: list[str], *arguments: str, code: int = 0, day: int = 1, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*job, *arguments], env=environment(code, day, **more), capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_its_configuration_gates_every_stratum_of_the_matrix() -> None:
    config = load_config(ROOT / "configs/nightly.yaml", environ={}, overrides=(), options={})
    assert config.name.startswith("nightly")  # what QstressNightlyMissing looks for
    (hammer,) = config.hammer
    strata = len(config.guest.machine) * len(config.guest.smp) * len(hammer.rate)
    gate = config.gate
    assert gate is not None
    assert gate.max_hang_rate == 0.05
    fewest = next(n for n in range(1, 1000) if upper_limit(0, n, 0.05) <= gate.max_hang_rate)
    assert fewest == 59  # as the configuration and docs/nightly.md say
    assert (config.stop.trials or 0) >= 2 * strata * fewest
    assert (gate.better_than, gate.baseline) == ("unpatched", "last-good")


def test_a_night_leaves_its_results_in_one_place(tmp_path: Path, job: list[str]) -> None:
    done = night(job, "--set", "stop.duration=10m")
    assert (done.returncode, done.stderr) == (0, "")
    last = tmp_path / "state/last"
    left = {str(path.relative_to(last)) for path in last.rglob("*") if path.is_file()}
    assert left == {"printed.txt", "summary.json", "junit.xml", "report.html", "evidence/0/dumps.txt"}
    call, advice = done.stdout.splitlines()
    assert call == (
        f"called with soak --config nightly.yaml --runs-dir {tmp_path}/state/runs "
        f"--set metrics.textfile={tmp_path}/state/metrics --no-progress --set stop.duration=10m"
    )
    assert advice == "nightly: exit 0: passed; nothing to do"
    assert (last / "printed.txt").read_text() == done.stdout
    assert (tmp_path / "state/metrics").is_dir()


def test_a_workflow_gets_its_annotations_and_the_advice(tmp_path: Path, job: list[str]) -> None:
    done = night(job, code=1, GITHUB_STEP_SUMMARY=str(tmp_path / "step.md"))
    assert "--no-progress --format github" in done.stdout.splitlines()[0]
    assert (tmp_path / "step.md").read_text().startswith("\nnightly: exit 1: the gate FAILED")


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (1, "the gate FAILED"),
        (2, "qstress config check"),
        (3, "please report"),
        (4, "qstress doctor"),
        (5, "too few valid trials"),
        (77, "please report"),
    ],
)
def test_each_exit_code_is_passed_on_with_what_to_do(job: list[str], code: int, advice: str) -> None:
    done = night(job, code=code)
    assert done.returncode == code
    assert done.stdout.splitlines()[-1].startswith(f"nightly: exit {code}: ")
    assert advice in done.stdout


def test_history_grows_a_line_a_night_and_last_is_the_last(tmp_path: Path, job: list[str]) -> None:
    for day, code in enumerate((0, 1, 2)):
        night(job, code=code, day=day)
    history = (tmp_path / "state/history.jsonl").read_text().splitlines()
    assert [json.loads(line)["exit_code"] for line in history] == [0, 1]
    assert [path.name for path in (tmp_path / "state/last").iterdir()] == ["printed.txt"]  # the third did not start


def test_old_runs_go_but_for_the_newest_that_passed(tmp_path: Path, job: list[str]) -> None:
    for day, code in enumerate((0, 0, 1, 5, 1)):
        night(job, code=code, day=day)
    kept = sorted(path.name for path in (tmp_path / "state/runs").iterdir())
    assert [name[:8] for name in kept] == ["20261121", "20261123", "20261124"]


def test_a_stop_lets_the_soak_drain(tmp_path: Path, job: list[str]) -> None:
    with subprocess.Popen(
        job, env=environment(FAKE_WAIT="1"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        start_new_session=True,
    ) as running:  # fmt: skip
        try:
            assert running.stderr is not None
            assert running.stderr.readline() == "waiting\n"
            running.send_signal(signal.SIGTERM)
            printed, _ = running.communicate()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 143
    assert f"--resume {tmp_path}/state/runs/20261121T020000Z-nightly-abc" in printed

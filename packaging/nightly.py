#!/usr/bin/env python3
"""One nightly run: soak, keep what it found, say what to do next, pass its exit code on (docs/nightly.md).

Arguments go to ``qstress soak``, for example ``--set stop.duration=10m``. Needs nothing but Python.

::

    NIGHTLY_CONFIG   the configuration; configs/nightly.yaml of this checkout
    NIGHTLY_STATE    the folder that keeps everything; runs/nightly
    NIGHTLY_METRICS  the folder of the textfile for node_exporter; metrics/ in NIGHTLY_STATE
    NIGHTLY_KEEP     how many runs are kept; 30, and the newest that passed
    QSTRESS          the command; .venv/bin/qstress of this checkout if there is one, else qstress

NIGHTLY_STATE holds ``runs/``; ``last/``, what the last run leaves: its reports, its evidence and ``printed.txt``; and
``history.jsonl``, the ``summary.json`` of every run that ended, one a line.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT = ("summary.json", "report.html", "junit.xml", "evidence")

NEXT = {
    0: "passed; nothing to do",
    1: "the gate FAILED: read what it says above and in report.html, then run a finding again by its line "
    "'qstress repro …'",
    2: "the configuration is wrong and nothing was started: qstress config check {config}",
    3: "an internal error of qstress: please report the lines above",
    4: "this host cannot do it: qstress doctor says why",
    5: "inconclusive, too few valid trials: look above for rig and unknown ones, or give it more time",
    130: "stopped; what was found is saved: qstress soak --config {config} --resume {run}",
    143: "stopped; what was found is saved: qstress soak --config {config} --resume {run}",
}


def main(arguments: list[str]) -> int:
    """Run one night; return the exit code of the soak."""
    config = Path(os.environ.get("NIGHTLY_CONFIG", ROOT / "configs/nightly.yaml"))
    state = Path(os.environ.get("NIGHTLY_STATE", "runs/nightly"))
    metrics = Path(os.environ.get("NIGHTLY_METRICS", state / "metrics"))
    runs, last = state / "runs", state / "last"
    shutil.rmtree(last, ignore_errors=True)
    for folder in (runs, last, metrics):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(runs.iterdir())
    ours = ["--config", str(config), "--runs-dir", str(runs), "--set", f"metrics.textfile={metrics}", "--no-progress"]
    code, printed = soak([*command(), "soak", *ours, *arguments])
    run = max(set(runs.iterdir()) - before, default=None)
    if run is not None:
        keep_results(run, last, state / "history.jsonl")
        tell_github(run)
    remove_old(runs, int(os.environ.get("NIGHTLY_KEEP", "30")))
    advice = NEXT.get(code, NEXT[3]).format(config=config, run=run or "RUN")
    printed += f"nightly: exit {code}: {advice}\n"
    (last / "printed.txt").write_text(printed)
    sys.stdout.write(printed)
    if step_summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(step_summary, "a") as file:
            file.write(f"\nnightly: exit {code}: {advice}\n")
    return code


def command() -> list[str]:
    """Return how qstress is called."""
    if "QSTRESS" in os.environ:
        return os.environ["QSTRESS"].split()
    ours = ROOT / ".venv/bin/qstress"
    return [str(ours) if ours.exists() else "qstress"]


def soak(call: list[str]) -> tuple[int, str]:
    """Run the soak to its end and return its exit code and what it printed.

    A TERM is passed on, so that the trials under way finish; an INT comes from a terminal, which tells the soak too.
    """
    process: subprocess.Popen[str] | None = None
    told = False

    def stop(*_: object) -> None:
        nonlocal told
        told = True
        if process is not None:
            process.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, lambda *_: None)
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as child:
        process = child
        if told:  # before there was anybody to tell
            child.terminate()
        printed, _ = child.communicate()
    return child.returncode, printed


def keep_results(run: Path, last: Path, history: Path) -> None:
    """Copy what *run* leaves to the folder *last*, and add its summary to *history* if it ended."""
    for name in LEFT:
        if (run / name).is_dir():
            shutil.copytree(run / name, last / name)
        elif (run / name).exists():
            shutil.copy(run / name, last / name)
    if (run / "summary.json").exists():
        with history.open("a") as file:
            file.write(json.dumps(json.loads((run / "summary.json").read_text())) + "\n")


def tell_github(run: Path) -> None:
    """Within a workflow, mark what failed and add the run's table to the step summary."""
    if "GITHUB_STEP_SUMMARY" in os.environ and (run / "summary.json").exists():
        subprocess.run([*command(), "report", str(run), "--format", "github"], check=False)


def remove_old(runs: Path, keep: int) -> None:
    """Remove all but the newest *keep* runs and the newest that passed: a gate may ask for it (baseline: last-good)."""
    newest_first = sorted(runs.iterdir(), reverse=True)  # their names begin with the time
    good = next(filter(passed, newest_first), None)
    for run in newest_first[keep:]:
        if run != good:
            shutil.rmtree(run)


def passed(run: Path) -> bool:
    """Whether *run* ended with exit code 0."""
    try:
        return bool(json.loads((run / "summary.json").read_text())["exit_code"] == 0)
    except (OSError, ValueError, KeyError):
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

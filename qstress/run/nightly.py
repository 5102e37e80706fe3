"""One nightly run: soak, keep what it found, say what to do next, pass its exit code on (docs/nightly.md).

The soak is a process of its own, so that whatever becomes of it there is an exit code to pass on and advice to give.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from qstress.store.files import store_errors

_LEFT = ("summary.json", "report.html", "junit.xml", "evidence")
_QSTRESS = (sys.executable, "-m", "qstress")
#: In the environment of a workflow's step: the file that it may add to.
_STEP_SUMMARY = "GITHUB_STEP_SUMMARY"

_NEXT = {
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


@dataclass(frozen=True, slots=True)
class Nights:
    """What a nightly job soaks and where it keeps it.

    :param config: the configuration, or the name of a shipped one.
    :param state: holds ``runs/``; ``last/``, what the last run leaves: its reports, its evidence and ``printed.txt``;
        and ``history.jsonl``, the ``summary.json`` of every run that ended, one a line.
    :param metrics: the folder of the textfile for node_exporter.
    :param keep: how many runs are kept, beside the newest that passed.
    """

    config: Path
    state: Path
    metrics: Path
    keep: int

    def run(self, arguments: Sequence[str], command: Sequence[str] = _QSTRESS) -> tuple[int, str]:
        """Run one night; return the exit code of the soak, and what there is to print.

        :param arguments: for ``qstress soak``, which *command* calls; they come after our own.

        :raises RigError: the host refuses to keep something.
        """
        with store_errors(self.state):
            return self._run(arguments, command)

    def _run(self, arguments: Sequence[str], command: Sequence[str]) -> tuple[int, str]:
        runs, last = self.state / "runs", self.state / "last"
        shutil.rmtree(last, ignore_errors=True)
        for folder in (runs, last, self.metrics):
            folder.mkdir(parents=True, exist_ok=True)
        before = set(runs.iterdir())
        ours = ["--config", str(self.config), "--runs-dir", str(runs), "--set", f"metrics.textfile={self.metrics}",
                "--no-progress"]  # fmt: skip
        if _STEP_SUMMARY in os.environ:
            ours += ["--format", "github"]
        code, printed = anyio.run(_soak, [*command, "soak", *ours, *arguments])
        run = max(set(runs.iterdir()) - before, default=None)
        if run is not None:
            _keep_results(run, last, self.state / "history.jsonl")
        _remove_old(runs, self.keep)
        advice = _NEXT.get(code, _NEXT[3]).format(config=self.config, run=run or "RUN")
        advice = f"nightly: exit {code}: {advice}\n"
        (last / "printed.txt").write_text(printed + advice)
        if step_summary := os.environ.get(_STEP_SUMMARY):
            with open(step_summary, "a") as file:
                file.write(f"\n{advice}")
        return code, printed + advice


async def _soak(call: Sequence[str]) -> tuple[int, str]:
    """Run the soak to its end and return its exit code and what it printed.

    A TERM is passed on, so that the trials under way finish; an INT comes from a terminal, which tells the soak too.
    Not by handlers of ``signal``: one that comes right before a read that blocks would wait until there is something
    to read.
    """
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with await anyio.open_process(call, stderr=None) as child, anyio.create_task_group() as tasks:

            async def pass_on() -> None:
                async for number in signals:
                    if number is signal.SIGTERM:
                        with suppress(ProcessLookupError):
                            child.terminate()

            tasks.start_soon(pass_on)
            assert child.stdout is not None
            printed = b"".join([part async for part in child.stdout])
            code = await child.wait()
            tasks.cancel_scope.cancel()
    return code, printed.decode(errors="replace")


def _keep_results(run: Path, last: Path, history: Path) -> None:
    """Copy what *run* leaves to the folder *last*, and add its summary to *history* if it ended."""
    for name in _LEFT:
        if (run / name).is_dir():
            shutil.copytree(run / name, last / name)
        elif (run / name).exists():
            shutil.copy(run / name, last / name)
    if (run / "summary.json").exists():
        with history.open("a") as file:
            file.write(json.dumps(json.loads((run / "summary.json").read_text())) + "\n")


def _remove_old(runs: Path, keep: int) -> None:
    """Remove all but the newest *keep* runs and the newest that passed: a gate may ask for it (baseline: last-good)."""
    newest_first = sorted(runs.iterdir(), reverse=True)  # their names begin with the time
    good = next(filter(_passed, newest_first), None)
    for run in newest_first[keep:]:
        if run != good:
            shutil.rmtree(run)


def _passed(run: Path) -> bool:
    """Whether *run* ended with exit code 0."""
    try:
        return bool(json.loads((run / "summary.json").read_text())["exit_code"] == 0)
    except (OSError, ValueError, KeyError):
        return False

"""``python -m tools.bench_record``: what a million recorded trials take, on the disk and in ``qstress report``.

The trials are made up, and recorded as a soak records them: healthy ones, many to a process-run, and one to a process
with a lost INIT in every eighth of the first build's.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from qstress.config.settings import Settings
from tests.recorded.samples import Recording
from tests.report.html.samples import settings, strata
from tests.stats.samples import LOST, OK, REPLAYED

TRIALS, PROCESS_TRIALS = 1_000_000, 100


def recorded_run(folder: Path, asked: Settings, found: Sequence[tuple[float, float]]) -> Path:
    """Record :data:`TRIALS` trials, of which each build shows lost and replayed INITs as often as *found* says."""
    run, rng = Recording(folder, asked), random.Random(1)
    while run.blocks * run.plan.block_trials < TRIALS:
        run.block([rng.choices((LOST, REPLAYED, OK), (*often, 1 - sum(often)))[0] for often in found])
        run.totals.keep(run.store)
    run.end()
    return run.path


def reported(run: Path) -> tuple[float, float, float]:
    """Write the reports of *run*; return seconds by the clock, seconds of CPU, and the most memory in MB."""
    began_s = time.monotonic()
    nowhere = subprocess.DEVNULL
    argv = (sys.executable, "-m", "qstress", "report", str(run))
    process = subprocess.Popen(argv, stdin=nowhere, stdout=nowhere, stderr=nowhere)
    _, status, used = os.wait4(process.pid, 0)
    took_s = time.monotonic() - began_s
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.returncode
    return took_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Print a line for each of the two runs."""
    in_place = settings(strata=strata(firmware="smpscan", restart="reset", process_trials=PROCESS_TRIALS))
    with tempfile.TemporaryDirectory(prefix="qstress-bench-") as folder:
        for name, asked, found in (
            ("reset", in_place, ((0.0, 0.0), (0.0, 0.0))),
            ("process", settings(), ((0.12, 0.01), (0.0, 0.01))),
        ):
            run = recorded_run(Path(folder) / name, asked, found)
            took_s, cpu_s, rss_mb = reported(run)
            stored_mb = (run / "trials.db").stat().st_size / 1e6
            print(
                f"{f'{TRIALS:,} trials, restart: {name}':<44} trials.db {stored_mb:5.1f} MB (aim < 60)"
                f"  report {took_s:4.1f} s (aim < 5), {cpu_s:4.1f} s of CPU, {rss_mb:4.0f} MB (aim < 300)",
                flush=True,
            )


if __name__ == "__main__":
    main()

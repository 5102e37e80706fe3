"""Part of ``make bench``: what worker processes bring, and what they cost. Not a test: nothing here passes or fails.

Soaks take turns (A B A B …), so that a drift of this host hits both; printed are medians, n and the spread.
``python -m tools.bench_fleet [replies] [paces] [costs] [rates]`` measures only what is named.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from statistics import mean, median

from qstress.model import TrialResult
from qstress.plan.schedule import Plan
from qstress.recorded.settings import settings_of
from qstress.store.read import open_run
from tools.bench import report
from tools.quick_monitors import MONITORS, quick_monitors
from tools.watched_soak import Kept, kept_in

Guest = dict[str, object]  # a part of a configuration
HAMMER: Guest = {"command": "info registers -a", "via": "hmp"}
SEABIOS: Guest = {"accel": "tcg", "smp": 2, "memory": "32M"}
SMPSCAN: Guest = {**SEABIOS, "smp": 4, "firmware": "smpscan", "restart": "reset", "process_trials": 200}
#: What is left out at the begin of a soak that is timed, in seconds: not all of its lanes run yet.
WARM_S = 1.0


@dataclass
class Soaked:
    """A soak in a folder of its own, under way."""

    folder: Path
    guest: Guest
    stop: Guest
    hammer: list[Guest]
    lanes: int
    workers: int
    environ: dict[str, str]

    def __post_init__(self) -> None:
        config = {
            "version": 1, "name": "bench", "builds": {"stock": {"binary": "qemu-system-x86_64"}}, "guest": self.guest,
            "hammer": self.hammer, "stop": self.stop, "lanes": self.lanes, "workers": self.workers,
        }  # fmt: skip
        self.folder.mkdir(parents=True)
        path = self.folder / "bench.yaml"
        path.write_text(json.dumps(config))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.watched_soak", str(self.folder / "notes"), "-", "soak", str(path),
             "--runs-dir", str(self.folder / "runs"), "-q"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **self.environ},
        )  # fmt: skip

    def done(self) -> Soaked:
        """Wait for its end."""
        said, _ = self._process.communicate()
        if self._process.returncode not in (0, 1, 5):
            sys.exit(f"a soak ended with {self._process.returncode}: {said}")
        return self

    @cached_property
    def kept(self) -> list[Kept]:
        """Its trials, in the order in which they came."""
        return kept_in(self.folder / "notes")

    @property
    def results(self) -> list[TrialResult]:
        """The results that count."""
        (run,) = (self.folder / "runs").iterdir()
        with open_run(run) as record:
            settings = settings_of(record.run)
            plan = Plan(settings.builds, settings.strata, settings.seed)
            return [result for block in record.results(plan.block) for result in block]

    @property
    def cpu_ms_a_trial(self) -> float:
        """What its own process took for each trial, when all was running."""
        kept = [each for each in self.kept if each.at_s >= self.kept[0].at_s + WARM_S]
        return (kept[-1].cpu_s - kept[0].cpu_s) / (len(kept) - 1) * 1e3


@dataclass(frozen=True)
class Hammered:
    """What lanes on quick monitors brought: ``achieved`` of what the pace asked for, ``per_cpu_s`` are the replies to
    one loop for each second of its CPU time."""

    replies_hz: float
    achieved: float
    per_cpu_s: float


def hammered(made: Callable[..., Soaked], *, workers: int, lanes: int, rate: str, runs: int = 5) -> Hammered:
    """Hammer quick monitors on so many lanes."""
    soak = made(SEABIOS, {"trials": lanes * runs}, [{**HAMMER, "rate": rate}], lanes, workers).done()
    results = soak.results
    counts = [result.commands[0] for result in results]
    returned = sum(each.returned for each in counts)
    loop_cpu_s = mean(result.boot_s or 0.0 for result in results)
    return Hammered(
        lanes * returned / sum(each.hammered_s for each in counts),
        returned / sum(each.due for each in counts),
        lanes / workers * returned / len(results) / loop_cpu_s,
    )


def replies(made: Callable[..., Soaked], rounds: int = 5) -> None:
    """Print how many replies a second two workers carry, against one loop."""
    pairs = [
        [hammered(made, workers=workers, lanes=8, rate="max") for workers in (1, 2)] for _ in range(rounds)
    ]  # fmt: skip
    one, two = (median(pair[i].replies_hz for pair in pairs) for i in (0, 1))
    ratios = [two.replies_hz / one.replies_hz for one, two in pairs]
    report("replies/s, two workers / one loop, -smp 4, 8 lanes", ratios, ">= 1.8", f"{two:.0f}/s, {one:.0f}/s")
    ratios = [2 * two.per_cpu_s / one.per_cpu_s for one, two in pairs]
    each_us = 1e6 / median(two.per_cpu_s for _, two in pairs)
    report("the same, had each loop a core of its own (CPU time)", ratios, ">= 1.8", f"{each_us:.0f} us a reply")


def paces(made: Callable[..., Soaked], rounds: int = 3) -> None:
    """Print how much of a pace of 500/s on many lanes is achieved with one loop, and with workers."""
    for lanes in (16, 32, 48):
        pairs = [[hammered(made, workers=workers, lanes=lanes, rate="500/s") for workers in (1, 2)]
                 for _ in range(rounds)]  # fmt: skip
        for i, name in enumerate(("one loop", "two workers")):
            shares = [pair[i].achieved for pair in pairs]
            report(f"achieved / asked, {lanes} lanes of 500/s, {name}", shares, "1", f"{lanes * 500}/s asked")


def costs(made: Callable[..., Soaked], rounds: int = 3) -> None:
    """Print what the coordinator's process takes for a trial that a worker runs."""
    for name, guest, trials, aim in (
        ("a process each (SeaBIOS)", SEABIOS, 240, "<= 1"),
        ("smpscan in place, batches", SMPSCAN, 12_000, "<= 0.2"),
    ):
        soaks = [made(guest, {"trials": trials}, [], 2, 2).done() for _ in range(rounds)]
        report(f"coordinator's CPU ms a trial, {name}", [soak.cpu_ms_a_trial for soak in soaks], aim)


def rate_hz(soaks: list[Soaked]) -> float:
    """Return the trials a second of *soaks* together, while all of them ran."""
    begin_s = max(soak.kept[0].at_s for soak in soaks) + WARM_S
    end_s = min(soak.kept[-1].at_s for soak in soaks)
    return sum(begin_s <= each.at_s < end_s for soak in soaks for each in soak.kept) / (end_s - begin_s)


def rates(made: Callable[..., Soaked], rounds: int = 3, seconds: int = 20) -> None:
    """Print the trials a second of two workers against those of two soaks beside each other."""
    stop: Guest = {"duration": f"{seconds}s"}
    for name, guest, hammer in (
        ("SeaBIOS, hammered", SEABIOS, [{**HAMMER, "rate": "max"}]),
        ("smpscan in place", SMPSCAN, []),
    ):
        pairs = []
        for _ in range(rounds):
            together = rate_hz([made(guest, stop, hammer, 2, 2).done()])
            apart = [made(guest, stop, hammer, 1, 1) for _ in range(2)]
            pairs.append((together, rate_hz([soak.done() for soak in apart])))
        ratios = [together / apart for together, apart in pairs]
        detail = f"{median(pair[0] for pair in pairs):.0f}/s"
        report(f"trials/s, --workers 2 / two soaks, {name}", ratios, ">= 0.95", detail)


def soaks_in(folder: Path, **environ: str) -> Callable[..., Soaked]:
    """Return what makes soaks in folders below *folder*."""
    numbers = count(1)

    def made(guest: Guest, stop: Guest, hammer: list[Guest], lanes: int, workers: int) -> Soaked:
        return Soaked(folder / str(next(numbers)), guest, stop, hammer, lanes, workers, environ)

    return made


def main() -> None:
    """Print everything, or only the parts that are named."""
    named = sys.argv[1:] or ["replies", "paces", "costs", "rates"]
    print(f"load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores, {time.strftime('%m-%d %H:%M')}")
    with tempfile.TemporaryDirectory(prefix="qstress-bench-") as name, quick_monitors(Path(name)) as at:
        played, live = soaks_in(Path(name) / "played", **{MONITORS: at}), soaks_in(Path(name) / "live")
        for part, figures, made in (
            ("replies", replies, played), ("paces", paces, played), ("costs", costs, live), ("rates", rates, live),
        ):  # fmt: skip
            if part in named:
                figures(made)


if __name__ == "__main__":
    main()

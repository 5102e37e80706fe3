"""A soak that is broken on purpose, for :mod:`tools.kill_emulated` and :mod:`tools.kill_workers`, and what is asked of
it afterwards.

The run's folder is readable all the time; each trial counts once, with the outcome of a soak that nobody broke; no
finding is lost that was said to be kept; no process is left; exit code and message are those that the manual promises;
what did not go on by itself is resumed.
"""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from qstress.errors import ConfigError
from qstress.plan.schedule import Plan
from qstress.recorded.settings import settings_of
from qstress.store.read import open_run
from tools.watched_soak import Kept, kept_in

#: What the environment of every process of one attempt holds.
TAG = "KILLED_SOAK"
#: The share of the moments that lie before the first trial is over; and how large a file system is that gets filled.
BEFORE, RUNS_BYTES, RUNS_FILES = 0.2, 8 << 20, 2048
PATIENCE_S, GONE_WITHIN_S = 600.0, 20.0


@dataclass(slots=True)
class Attempt:
    """One soak of so many trials in *folder*, its process, and what was wrong with it.

    :param arguments: of ``qstress soak``, beside the folder for its runs.
    """

    folder: Path
    rng: random.Random
    trials: int
    arguments: Sequence[str]
    stand_in: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)
    tag: str = field(default_factory=lambda: secrets.token_hex(16))
    process: subprocess.Popen[bytes] | None = None
    wrong: list[str] = field(default_factory=list)

    def begin(self) -> subprocess.Popen[bytes]:
        """Start the soak."""
        return self._start(*self.arguments, "--runs-dir", str(self.folder / "runs"), name="first")

    def go_on(self) -> subprocess.Popen[bytes]:
        """Start it again where it ended."""
        return self._start("--resume", str(self.run), name="second")

    def _start(self, *arguments: str, name: str) -> subprocess.Popen[bytes]:
        instead = str(self.folder) if self.stand_in else "-"
        command = [sys.executable, "-m", "tools.watched_soak", str(self.folder / "notes"), instead, "soak"]
        with (self.folder / f"{name}.out").open("wb") as out, (self.folder / f"{name}.err").open("wb") as err:
            self.process = subprocess.Popen(
                [*command, *arguments, "--no-progress"], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True, env=self.tagged,
            )  # fmt: skip
        return self.process

    @property
    def tagged(self) -> dict[str, str]:
        """The environment of each of its processes."""
        return {**os.environ, **self.environ, TAG: self.tag}

    def said(self, name: str = "first") -> str:
        """Return what it printed for people."""
        return (self.folder / f"{name}.err").read_text()

    def told(self, says: str) -> bool:
        """Whether it printed something that the pattern *says* fits."""
        return re.search(says, self.said()) is not None

    @property
    def notes(self) -> list[list[str]]:
        """What its processes noted: words, line by line."""
        path = self.folder / "notes"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def kept(self) -> list[Kept]:
        """Each trial that was said to be kept."""
        return kept_in(self.folder / "notes")

    @property
    def run(self) -> Path | None:
        """The folder of its run, once there is one."""
        return next((path.parent for path in (self.folder / "runs").glob("*/run.json")), None)

    def outcomes(self) -> dict[int, str]:
        """Return what became of each trial that counts; note what is wrong."""
        if (run := self.run) is None:
            return {}
        try:
            with open_run(run) as record:
                settings = settings_of(record.run)
                plan = Plan(settings.builds, settings.strata, settings.seed)
                results = [each for block in record.results(plan.block) for each in block]
        except ConfigError as error:  # the folder can be read whatever happened
            self.wrong.append(f"cannot be read: {error}")
            return {}
        counts = Counter(result.trial.number for result in results)
        self.wrong += [f"trial {number} counts {times} times" for number, times in counts.items() if times > 1]
        return {each.trial.number: each.verdict.outcome.value for each in results}

    def found(self) -> Counter[int]:
        """Return how many findings the run holds of each trial, whether they count or not; note what is wrong."""
        assert self.run is not None
        with open_run(self.run) as record:
            found = record.findings()
        counted = Counter(each.number for each in found if each.counted)
        self.wrong += [f"finding {number} counts {times} times" for number, times in counted.items() if times > 1]
        known = Counter(each.number for each in found)
        said = Counter(each.number for each in self.kept if each.outcome == "hang")
        self.wrong += [f"finding {number}: kept {n} times, found {known[number]}" for number, n in said.items()
                       if known[number] < n]  # fmt: skip
        named = [each.evidence for each in found if each.evidence is not None]
        folders = {f"evidence/{path.name}" for path in (self.run / "evidence").iterdir()}
        if len(named) != len(set(named)) or set(named) != folders:
            self.wrong.append(f"evidence: {sorted(set(named) ^ folders)} or one named twice")
        self.wrong += [
            f"{name}: no finding.json" for name in folders if not (self.run / name / "finding.json").exists()
        ]
        return known

    def wait_for_moment(self, moment: float, boot_s: float) -> bool:
        """Wait for *moment*, from 0 to 1 of the soak, of which ``BEFORE`` is the time until its first trial is over;
        return whether it came before the soak's end.

        :param boot_s: how long that takes.
        """
        assert self.process is not None
        began_s, after = time.monotonic(), (moment - BEFORE) / (1 - BEFORE) * self.trials
        while self.process.poll() is None:
            if moment < BEFORE:
                if time.monotonic() >= began_s + moment / BEFORE * boot_s and (self.notes or self.run):
                    return True
            elif len(self.kept) >= max(1.0, after):
                time.sleep(self.rng.uniform(0.0, 0.5))
                return self.process.poll() is None
            time.sleep(0.01)
        return False

    def check_end(self, exits: frozenset[int], says: str, expected: Mapping[int, str] | None, *, whole: bool) -> bool:
        """Note what is wrong with how it ended; return whether all of its trials count.

        :param exits: the exit codes that it may have.
        :param says: what it must have printed, a pattern.
        :param expected: the outcomes of its trials; None: nobody knows.
        :param whole: whether all of its trials have to count.
        """
        assert self.process is not None
        code, said, done = self.process.wait(PATIENCE_S), self.said(), self.outcomes()
        complete = done == expected if expected is not None else len(done) == self.trials
        if code not in exits or not self.told(says) or "Traceback" in said or (whole and not complete):
            self.wrong.append(f"exit code {code}, {len(done)} trials, and said: {said[-2000:]}")
        return complete

    def resume(self, expected: Mapping[int, str] | None, exits: frozenset[int] = frozenset({1})) -> None:
        """Go on with the run; note what is wrong."""
        assert self.run is not None
        command = [sys.executable, "-m", "qstress", "report", str(self.run), "--format", "json"]
        reported = subprocess.run(command, capture_output=True)
        if reported.returncode and not self.filler.exists():
            self.wrong.append(f"report: {reported.stderr.decode()}")
        self.filler.unlink(missing_ok=True)
        process = self.go_on()
        try:
            code = process.wait(PATIENCE_S)
        finally:
            process.kill()
        said, done = self.said("second"), self.outcomes()
        wrong = done != expected if expected is not None else len(done) != self.trials
        if code not in exits or "Traceback" in said or wrong:
            self.wrong.append(f"resumed: exit code {code}, {len(done)} trials: {said[-2000:]}")

    def planned(self) -> dict[int, str]:
        """Return what becomes of each of its trials if nothing but planned faults happens."""
        assert self.run is not None
        with open_run(self.run) as record:
            settings = settings_of(record.run)
        plan = Plan(settings.builds, settings.strata, settings.seed)
        trials = (trial for block in range(self.trials // plan.block_trials) for trial in plan.block(block))
        return {trial.number: "hang" if trial.inject_lost_ap else "ok" for trial in trials}

    def fleet(self) -> object:
        """Return what its summary says of its workers; None: nothing."""
        path = (self.run or self.folder) / "summary.json"
        return json.loads(path.read_bytes()).get("fleet") if path.exists() else None

    @property
    def filler(self) -> Path:
        """What fills the folder of its runs."""
        return self.folder / "runs/filler"

    def check_left(self, name: str = "", within_s: float = GONE_WITHIN_S) -> None:
        """Note which processes are left of it, giving them some time to go.

        :param name: how the names of those begin that must not be left.
        """
        deadline_s = time.monotonic() + within_s
        while (found := tagged_processes(self.tag, name)) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        if found:
            self.wrong.append(f"left: {found}")


def tagged_processes(tag: str, name: str = "") -> list[str]:
    """Return process id and name of each process whose environment has *tag* and whose name begins with *name*."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"{TAG}={tag}".encode() in path.read_bytes():
                comm = (path.parent / "comm").read_text().strip()
                found += [f"{path.parent.name} {comm}"] if comm.startswith(name) else []
    return found


def small_file_system(path: Path) -> None:
    """Make *path* a file system of ``RUNS_BYTES`` and ``RUNS_FILES`` that lies in memory."""
    path.mkdir(exist_ok=True)
    options = f"size={RUNS_BYTES},nr_inodes={RUNS_FILES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, path.name, str(path)], check=True)


def fill(filler: Path, leave_bytes: int) -> None:
    """Fill a file system but for so much: some files will still fit."""
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - leave_bytes))


def mounts_of_our_own() -> None:
    """Have this program run where it may mount file systems that nobody else sees: it is started again there."""
    if not os.environ.get("KILLED_SOAK_MOUNTS"):
        os.environ["KILLED_SOAK_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "-m" if os.geteuid() == 0 else "-rm", sys.executable, *sys.orig_argv[1:]])


def clear(attempt: Attempt, *mounted: Path) -> None:
    """Unmount what was mounted, and remove the folder of an attempt with which nothing was wrong."""
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)
    if not attempt.wrong:
        shutil.rmtree(attempt.folder)

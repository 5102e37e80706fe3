"""``python -m tools.kill_emulated --kind KIND``: break a soak on an emulated host at random moments; see what is left.

Each time a small soak with faults of which the plan knows is broken in one way (``--kind``), at a moment drawn from the
seed, and resumed where it did not go on by itself. Then: the run's folder was readable all the time; each trial counts
once, with the outcome of a soak that nobody broke; no finding is lost that was said to be kept; no process is left;
exit code and message are those that the manual promises. Not a test: a host takes seconds to boot and half a minute to
be found dead. ``--stand-in`` does without (``tools/watched_soak.py``), for what needs no kernel.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from qstress.errors import ConfigError
from qstress.plan.schedule import Plan
from qstress.recorded.settings import settings_of
from qstress.store.read import open_run
from tools.watched_soak import BREAK_BY

TRIALS = 24
CONFIG = f"""
version: 1
name: broken
builds:
  lossy: {{binary: qemu-system-x86_64, inject: {{lost_ap: 0.3, accel: any}}}}
  healthy: {{binary: qemu-system-x86_64}}
guest: {{accel: auto, smp: 2, memory: 32M, firmware: smpscan, restart: reset, process_trials: 3}}
hammer: []
stop: {{trials: {TRIALS}}}
lanes: 2
"""
#: What the environment of every process of one attempt holds.
TAG = "KILLED_SOAK"
#: The share of the moments that lie before the first trial is over; and how large the folder of runs is, to be filled.
BEFORE, RUNS_BYTES = 0.2, 8 << 20
PATIENCE_S, GONE_WITHIN_S = 600.0, 20.0
#: Fill every file system of the host, or its memory.
FILL_DISK = "for at in /tmp /dev/shm /run; do cat /dev/zero > $at/filler & done; wait"
FILL_MEMORY = "exec tail /dev/zero"


@dataclass(slots=True)
class Attempt:
    """One soak in *folder*, its process, and what was wrong with it."""

    folder: Path
    rng: random.Random
    stand_in: bool
    tag: str = field(default_factory=lambda: secrets.token_hex(16))
    process: subprocess.Popen[bytes] | None = None
    wrong: list[str] = field(default_factory=list)

    def start(self, *arguments: str, name: str, break_by: str = "") -> subprocess.Popen[bytes]:
        """Start ``qstress soak`` with *arguments*; what it prints goes to ``NAME.out`` and ``NAME.err``."""
        instead = str(self.folder) if self.stand_in else "-"
        command = [sys.executable, "-m", "tools.watched_soak", str(self.folder / "notes"), instead, "soak"]
        with (self.folder / f"{name}.out").open("wb") as out, (self.folder / f"{name}.err").open("wb") as err:
            self.process = subprocess.Popen(
                [*command, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
                env={**os.environ, TAG: self.tag, BREAK_BY: break_by},
            )  # fmt: skip
        return self.process

    @property
    def notes(self) -> list[list[str]]:
        """What its processes noted: words, line by line."""
        path = self.folder / "notes"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def kept(self) -> list[list[str]]:
        """The outcome and number of each trial that was said to be kept."""
        return [words for words in self.notes if words[0] != "host"]

    @property
    def run(self) -> Path | None:
        """The folder of its run, once there is one."""
        return next((path.parent for path in (self.folder / "runs").glob("*/run.json")), None)

    def outcomes(self) -> dict[int, str]:
        """Return what became of each trial that counts.

        :raises ConfigError: the run cannot be read.
        """
        if (run := self.run) is None:
            return {}
        with open_run(run) as record:
            settings = settings_of(record.run)
            plan = Plan(settings.builds, settings.strata, settings.seed)
            results = [each for block in record.results(plan.block) for each in block]
            counts = Counter(result.trial.number for result in results)
            self.wrong += [f"trial {number} counts {times} times" for number, times in counts.items() if times > 1]
            return {each.trial.number: each.verdict.outcome.value for each in results}

    def check_findings(self) -> None:
        """Note what is wrong with what the run holds of its findings."""
        assert self.run is not None
        with open_run(self.run) as record:
            found = record.findings()
        counted = Counter(each.number for each in found if each.counted)
        self.wrong += [f"finding {number} counts {times} times" for number, times in counted.items() if times > 1]
        known = Counter(each.number for each in found)
        said = Counter(int(number) for outcome, number in self.kept if outcome == "hang")
        self.wrong += [f"finding {number}: kept {n} times, found {known[number]}" for number, n in said.items()
                       if known[number] < n]  # fmt: skip
        named = [each.evidence for each in found if each.evidence is not None]
        folders = {f"evidence/{path.name}" for path in (self.run / "evidence").iterdir()}
        if len(named) != len(set(named)) or set(named) != folders:
            self.wrong.append(f"evidence: {sorted(set(named) ^ folders)} or one named twice")
        self.wrong += [
            f"{name}: no finding.json" for name in folders if not (self.run / name / "finding.json").exists()
        ]

    def left(self) -> list[str]:
        """Return the processes that are left of it, waiting some time for them to go."""
        deadline_s = time.monotonic() + GONE_WITHIN_S
        while (found := _tagged(self.tag)) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        return found


@dataclass(frozen=True, slots=True)
class Breakage:
    """A way to break a soak: what is done, which exit codes it may have then, what it must say (a pattern).

    ``break_by`` is what SIGUSR1 runs inside; ``goes_on``: in a new host, by itself; ``fills_runs``: its runs have a
    small file system of their own.
    """

    name: str
    do: Callable[[Attempt], None]
    exits: frozenset[int]
    says: str
    break_by: str = ""
    goes_on: bool = True
    fills_runs: bool = False


def _to_host(number: signal.Signals) -> Callable[[Attempt], None]:
    return lambda attempt: os.kill(int([words[1] for words in attempt.notes if words[0] == "host"][-1]), number)


def _to_us(number: signal.Signals) -> Callable[[Attempt], None]:
    def send(attempt: Attempt) -> None:
        assert attempt.process is not None
        attempt.process.send_signal(number)

    return send


def _twice(attempt: Attempt) -> None:
    _to_us(signal.SIGINT)(attempt)
    time.sleep(attempt.rng.uniform(0.0, 2.0))
    _to_us(signal.SIGINT)(attempt)


def _fill_runs(attempt: Attempt) -> None:
    """Leave between nothing and 64 KiB: some files will still fit."""
    with (attempt.folder / "runs/filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            size = filler.tell() - attempt.rng.randrange(0, 1 << 16)
            filler.truncate(max(0, size))


#: -2: by a signal that comes when all is said and done; a shell tells both as 130.
LOST, STOPPED = frozenset({1}), frozenset({130, -2})
KINDS = {
    kind.name: kind
    for kind in (
        Breakage("killed", _to_host(signal.SIGKILL), LOST, "host is lost: its QEMU ended .killed by SIGKILL"),
        Breakage("panicked", _to_us(signal.SIGUSR1), LOST, "Kernel panic", break_by="echo c > /proc/sysrq-trigger"),
        Breakage("frozen", _to_host(signal.SIGSTOP), LOST, "host is lost: .* its QEMU is stopped"),
        Breakage("disk-full", _to_us(signal.SIGUSR1), LOST, "", break_by=FILL_DISK),
        Breakage("memory-full", _to_us(signal.SIGUSR1), LOST, "host is lost", break_by=FILL_MEMORY),
        Breakage("runs-full", _fill_runs, frozenset({4}), "No space left|disk", goes_on=False, fills_runs=True),
        Breakage("ctrl-c", _to_us(signal.SIGINT), STOPPED, "", goes_on=False),
        Breakage("ctrl-c-twice", _twice, STOPPED, "", goes_on=False),
        Breakage("kill-9", _to_us(signal.SIGKILL), frozenset({-9}), "", goes_on=False),
    )
}


def _tagged(tag: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{TAG}={tag}".encode() in path.read_bytes():
                found.append(f"{path.parent.name} {(path.parent / 'comm').read_text().strip()}")
        except OSError:
            continue
    return found


def wait_for_moment(attempt: Attempt, moment: float, boot_s: float) -> bool:
    """Wait for *moment*, from 0 to 1 of the soak; return whether it came before the soak's end."""
    assert attempt.process is not None
    began_s, after = time.monotonic(), (moment - BEFORE) / (1 - BEFORE) * TRIALS
    while attempt.process.poll() is None:
        if moment < BEFORE:
            if time.monotonic() >= began_s + moment / BEFORE * boot_s and attempt.notes:
                return True
        elif len(attempt.kept) >= max(1.0, after):
            time.sleep(attempt.rng.uniform(0.0, 0.5))
            return attempt.process.poll() is None
        time.sleep(0.01)
    return False


def broken(kind: Breakage, attempt: Attempt, boot_s: float, expected: dict[int, str]) -> bool:
    """Start a soak and break it; note what is wrong. Return whether the moment came before all was done."""
    config, runs = attempt.folder / "config.yaml", attempt.folder / "runs"
    config.write_text(CONFIG)
    runs.mkdir()
    if kind.fills_runs:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={RUNS_BYTES}", "runs", str(runs)], check=True)
    moment = attempt.rng.random()
    asked = (str(config), "--host", "emulated", "--runs-dir", str(runs), "--no-progress")
    process = attempt.start(*asked, name="first", break_by=kind.break_by)
    try:
        if not wait_for_moment(attempt, moment, boot_s):
            return False
        kind.do(attempt)
        code = process.wait(PATIENCE_S)
    finally:
        process.kill()
    said = (attempt.folder / "first.err").read_text()
    try:
        done = attempt.outcomes()  # the folder can be read whatever happened
    except ConfigError as error:
        done = {}
        attempt.wrong.append(f"cannot be read: {error}")
    whole, told = done == expected, re.search(kind.says, said) is not None
    if whole and code == 1 and not (told and kind.goes_on):
        return False
    if code not in kind.exits or not told or "Traceback" in said or (kind.goes_on and not whole):
        attempt.wrong.append(f"exit code {code}, {len(done)} trials, and said: {said[-2000:]}")
    if left := attempt.left():
        attempt.wrong.append(f"left: {left}")
    if not whole and attempt.run is not None:
        resume(attempt, expected)
    elif attempt.run is None and attempt.kept:
        attempt.wrong.append("trials were kept, and there is no run")
    if attempt.run is not None:
        attempt.check_findings()
    return True


def resume(attempt: Attempt, expected: dict[int, str]) -> None:
    """Go on with the run of *attempt*; note what is wrong."""
    assert attempt.run is not None
    reported = subprocess.run(
        [sys.executable, "-m", "qstress", "report", str(attempt.run), "--format", "json"], capture_output=True
    )
    full = (attempt.folder / "runs/filler").exists()
    if reported.returncode and not full:
        attempt.wrong.append(f"report: {reported.stderr.decode()}")
    (attempt.folder / "runs/filler").unlink(missing_ok=True)
    process = attempt.start("--resume", str(attempt.run), "--no-progress", name="second")
    try:
        code = process.wait(PATIENCE_S)
    finally:
        process.kill()
    said = (attempt.folder / "second.err").read_text()
    if code != 1 or "Traceback" in said or attempt.outcomes() != expected:
        attempt.wrong.append(f"resumed: exit code {code}, {len(attempt.outcomes())} trials: {said[-2000:]}")
    if left := attempt.left():
        attempt.wrong.append(f"left: {left}")


def undisturbed(folder: Path, *, stand_in: bool) -> tuple[float, dict[int, str]]:
    """Return how long a soak takes until its first trial is over, in seconds, and what becomes of each trial."""
    attempt = Attempt(folder, random.Random(0), stand_in)
    (folder / "config.yaml").write_text(CONFIG)
    began_s = time.monotonic()
    process = attempt.start(
        str(folder / "config.yaml"), "--host", "emulated", "--runs-dir", str(folder / "runs"), name="first"
    )
    while process.poll() is None and not attempt.kept:
        time.sleep(0.01)
    boot_s = time.monotonic() - began_s
    code = process.wait(PATIENCE_S)
    expected = attempt.outcomes()
    if code != 1 or len(expected) != TRIALS:
        sys.exit(f"a soak that nobody broke: exit code {code}; see {folder}")
    return boot_s, expected


def main() -> int:
    """Do what the command line asks; return 1 where anything was wrong."""
    made = argparse.ArgumentParser(prog="python -m tools.kill_emulated", description=__doc__)
    made.add_argument("--kind", action="append", choices=list(KINDS), help="repeatable (default: all)")
    made.add_argument("--times", type=int, default=20, help="how often each kind (default 20)")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--stand-in", action="store_true", help="the host is a program on this machine")
    asked = made.parse_args()
    kinds = [KINDS[name] for name in asked.kind or KINDS]
    if any(kind.fills_runs for kind in kinds) and not os.environ.get("KILLED_SOAK_MOUNTS"):
        os.environ["KILLED_SOAK_MOUNTS"] = "1"  # a small file system of our own, which nobody else sees
        os.execvp("unshare", ["unshare", "-m" if os.geteuid() == 0 else "-rm", sys.executable, *sys.orig_argv[1:]])
    top = Path(tempfile.mkdtemp(prefix="qstress-kill-"))
    (top / "undisturbed").mkdir()
    boot_s, expected = undisturbed(top / "undisturbed", stand_in=asked.stand_in)
    bad = 0
    for kind in kinds:
        done, wrong, seed = 0, 0, asked.seed
        while done < asked.times:
            folder = top / f"{kind.name}-{seed}"
            folder.mkdir()
            attempt = Attempt(folder, random.Random(f"{kind.name} {seed}"), asked.stand_in)
            if broken(kind, attempt, boot_s, expected):
                done, wrong = done + 1, wrong + bool(attempt.wrong)
                print(f"{kind.name} {seed}:", "; ".join(attempt.wrong) or f"ok, {len(attempt.kept)} kept", flush=True)
            if kind.fills_runs:
                subprocess.run(["umount", "-l", str(folder / "runs")], check=True)
            if not attempt.wrong:
                shutil.rmtree(folder)
            seed += 1
        print(json.dumps({"kind": kind.name, "times": done, "wrong": wrong, "stand_in": asked.stand_in}), flush=True)
        bad += wrong
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

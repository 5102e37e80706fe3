"""``python -m tools.kill_emulated --kind KIND``: break a soak on an emulated host at random moments; see what is left.

Each time a small soak with faults of which the plan knows is broken in one way (``--kind``), at a moment drawn from the
seed, and resumed where it did not go on by itself; what must hold then says :mod:`tools.broken_soak`. Not a test: a
host takes seconds to boot and half a minute to be found dead. ``--stand-in`` does without (``tools/watched_soak.py``),
for what needs no kernel.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.broken_soak import PATIENCE_S, Attempt, clear, fill, mounts_of_our_own, small_file_system
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
#: Fill every file system of the host, or its memory.
FILL_DISK = "for at in /tmp /dev/shm /run; do cat /dev/zero > $at/filler & done; wait"
FILL_MEMORY = "exec tail /dev/zero"


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
    fill(attempt.filler, attempt.rng.randrange(0, 1 << 16))


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


def attempt_in(folder: Path, rng: random.Random, *, stand_in: bool, break_by: str = "") -> Attempt:
    """Make an attempt in a new *folder*."""
    folder.mkdir()
    config = folder / "config.yaml"
    config.write_text(CONFIG)
    asked = (str(config), "--host", "emulated")
    return Attempt(folder, rng, TRIALS, asked, stand_in, {BREAK_BY: break_by})


def broken(kind: Breakage, attempt: Attempt, boot_s: float, expected: Mapping[int, str]) -> bool:
    """Start a soak and break it; note what is wrong. Return whether the moment came before all was done."""
    moment, process = attempt.rng.random(), attempt.begin()
    try:
        if not attempt.wait_for_moment(moment, boot_s):
            return False
        kind.do(attempt)
        process.wait(PATIENCE_S)
    finally:
        process.kill()
    if attempt.outcomes() == expected and process.returncode == 1 and not (kind.goes_on and attempt.told(kind.says)):
        return False  # it was over before
    whole = attempt.check_end(kind.exits, kind.says, expected, whole=kind.goes_on)
    attempt.check_left()
    if not whole and attempt.run is not None:
        attempt.resume(expected)
        attempt.check_left()
    elif attempt.run is None and attempt.kept:
        attempt.wrong.append("trials were kept, and there is no run")
    if attempt.run is not None:
        attempt.found()
    return True


def undisturbed(folder: Path, *, stand_in: bool) -> tuple[float, dict[int, str]]:
    """Return how long a soak takes until its first trial is over, in seconds, and what becomes of each trial."""
    attempt, began_s = attempt_in(folder, random.Random(0), stand_in=stand_in), time.monotonic()
    process = attempt.begin()
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
    if any(kind.fills_runs for kind in kinds):
        mounts_of_our_own()
    top = Path(tempfile.mkdtemp(prefix="qstress-kill-"))
    boot_s, expected = undisturbed(top / "undisturbed", stand_in=asked.stand_in)
    bad = 0
    for kind in kinds:
        done, wrong, seed = 0, 0, asked.seed
        while done < asked.times:
            folder, rng = top / f"{kind.name}-{seed}", random.Random(f"{kind.name} {seed}")
            attempt = attempt_in(folder, rng, stand_in=asked.stand_in, break_by=kind.break_by)
            runs = [folder / "runs"] if kind.fills_runs else []
            for path in runs:
                small_file_system(path)
            if broken(kind, attempt, boot_s, expected):
                done, wrong = done + 1, wrong + bool(attempt.wrong)
                print(f"{kind.name} {seed}:", "; ".join(attempt.wrong) or f"ok, {len(attempt.kept)} kept", flush=True)
            clear(attempt, *runs)
            seed += 1
        print(json.dumps({"kind": kind.name, "times": done, "wrong": wrong, "stand_in": asked.stand_in}), flush=True)
        bad += wrong
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tools.time_emulated``: how long an emulated host takes to its first command, and to its first lost INIT.

Each time a new host is booted for ``qstress host run -- true``, then a soak of ``configs/emulated.yaml`` is begun and
interrupted at the first lost INIT that it tells: the whole command's time, its start included. The QEMU that emulates
the host is the first on PATH.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

QSTRESS = (sys.executable, "-m", "qstress")


def to_the_first_command(kernel: str, cpus: int) -> float:
    """Return how long it takes until a command on a new host has said something, in seconds."""
    began_s = time.monotonic()
    with subprocess.Popen(
        [*QSTRESS, "host", "run", "--kernel", kernel, "--cpus", str(cpus), "--", "cat", "/proc/uptime"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as host:  # fmt: skip
        assert host.stdout is not None
        if not host.stdout.readline():
            assert host.stderr is not None
            sys.exit(host.stderr.read().decode())
        return time.monotonic() - began_s


def to_the_first_loss(kernel: str, cpus: int, seed: int, runs: str) -> float | None:
    """Return how long a soak takes from its start to the first lost INIT that it tells, in seconds; or None."""
    began_s, took_s = time.monotonic(), None
    with subprocess.Popen(
        [*QSTRESS, "soak", "emulated", "--set", f"host.emulated.kernel={kernel}", "--set", f"host.emulated.cpus={cpus}",
         "--seed", str(seed), "--runs-dir", runs],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as soak:  # fmt: skip
        assert soak.stderr is not None
        for line in soak.stderr:
            if took_s is None and "lost INIT" in line:
                took_s = time.monotonic() - began_s
                soak.send_signal(signal.SIGINT)
    return took_s


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the least, the median and the greatest of *values*, and how many they are."""
    return {
        "n": len(values), "min": round(min(values), 2), "median": round(statistics.median(values), 2),
        "max": round(max(values), 2),
    }  # fmt: skip


def main() -> int:
    """Do what the command line asks."""
    made = argparse.ArgumentParser(prog="python -m tools.time_emulated", description=__doc__)
    made.add_argument("--kernel", default="auto")
    made.add_argument("--cpus", type=int, default=2)
    made.add_argument("--times", type=int, default=10)
    asked = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="qstress-time-") as runs:
        first, lost = [], []
        for seed in range(1, asked.times + 1):
            first.append(to_the_first_command(asked.kernel, asked.cpus))
            lost.append(to_the_first_loss(asked.kernel, asked.cpus, seed, runs))
            print(f"{seed}: first command {first[-1]:.1f} s, first lost INIT {lost[-1] or math.inf:.1f} s", flush=True)
    seen = [took_s for took_s in lost if took_s is not None]
    figures = {"first_command_s": spread(first), "first_loss_s": spread(seen) if seen else None}
    print(json.dumps({**figures, "without": len(lost) - len(seen), "load": os.getloadavg()[0]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

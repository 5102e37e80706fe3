"""``make bench``: how soon and how often a minute a confirmed lost INIT shows, as production polls and as fast as this
host can; and what qstress costs a guest that resets itself.

Each figure a minute is a whole soak of one build on one lane, so what a hang costs (confirm, record, next trial) is
part of it. The four take turns, so that a drift of this host hits them alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import anyio

from qstress.config.kvm import probe
from qstress.firmware import SMPSCAN
from qstress.firmware.smpscan import SETTLE_S
from qstress.guest.argv import guest_arguments
from qstress.interposer import build as interposer
from qstress.model import Accel, Build, FindingClass, Shape
from qstress.trial.context import FinishedTrial, TrialContext
from qstress.trial.process_run import run_process
from tests.live.rig import Telling, planned, pretending, stock
from tools.bench import report

SEABIOS: dict[str, object] = {"firmware": "seabios"}
IN_PLACE: dict[str, object] = {"firmware": "smpscan", "restart": "reset", "process_trials": 200}
#: What to run, by letter (issue 3): the report's monitor, SeaBIOS at its best, smpscan in place, the same held.
PARTS: dict[str, tuple[str, dict[str, object], str, dict[str, str]]] = {
    "a": ("every 2ms, SeaBIOS, a process a boot", SEABIOS, "every 2ms", {}),
    "b": ("SeaBIOS, boot CPU alone", {**SEABIOS, "placement": "bsp-alone"}, "max", {}),
    "c": ("smpscan, reset in place", IN_PLACE, "max", {}),
    "d": ("smpscan, held", IN_PLACE, "max", {"write": "1ms", "until_checkin": "20ms"}),
}
AIMS = {"b": 4, "c": 25, "d": 60}


def hangs_a_minute(part: str, folder: Path, seconds: int) -> float:
    """Soak for so long and return the lost INITs a minute."""
    _, guest, rate, hold = PARTS[part]
    build = {"binary": "qemu-system-x86_64", "kvm_smm": "auto", **({"hold": hold} if hold else {})}
    config = {
        "version": 1, "name": f"bench-{part}", "builds": {"stock": build}, "guest": {"smp": 4, "accel": "kvm", **guest},
        "hammer": [{"command": "info registers -a", "rate": rate}], "stop": {"duration": f"{seconds}s"}, "lanes": 1,
    }  # fmt: skip
    path = folder / f"{part}.yaml"
    path.write_text(json.dumps(config))
    command = [sys.executable, "-m", "qstress", "soak", "-c", str(path), "--runs-dir", str(folder), "-q", "--format"]
    start = time.monotonic()
    done = subprocess.run([*command, "json"], capture_output=True, text=True, check=False)
    minutes = (time.monotonic() - start) / 60
    (cell,) = json.loads(done.stdout)["cells"]
    found = cell["classes"].get("lost-init", {}).get("count", 0)
    return float(found) / minutes


async def first_lost_init_s(build: Build) -> float:
    """Return how long after the start of the first QEMU a lost INIT was confirmed."""
    first = planned(Accel.KVM, build=build, firmware="smpscan", restart="reset", process_trials=2000, settle_s=SETTLE_S)
    found: list[float] = []

    def deliver(done: Sequence[FinishedTrial]) -> bool:
        now_s = time.monotonic()
        found.extend(now_s for each in done if each.result.verdict.finding_class is FindingClass.LOST_INIT)
        return not found

    context, start_s = TrialContext(env=interposer.environment(build)), time.monotonic()
    await run_process([replace(first, number=i) for i in range(2000)], context, Telling(deliver))
    return found[0] - start_s if found else float("inf")


async def in_place(accel: Accel, seconds: float) -> tuple[float, float]:
    """Return bring-ups a second, nothing hammering: through qstress, and of the ROM with nobody attached."""
    first = planned(accel, hammers=(), firmware="smpscan", restart="reset", process_trials=2)
    count, until_s, began_s = 0, float("inf"), 0.0

    def deliver(done: Sequence[FinishedTrial]) -> bool:
        nonlocal count, until_s, began_s
        now_s = time.monotonic()
        if until_s > now_s + seconds:  # the first results: QEMU runs
            began_s, until_s = now_s, now_s + seconds
        else:
            count += len(done)
        return now_s < until_s

    await run_process([replace(first, number=i) for i in range(200_000)], TrialContext(), Telling(deliver))
    ours = count / (time.monotonic() - began_s)
    return ours, bare_resets(first.cell.stratum.shape, seconds)


def bare_resets(shape: Shape, seconds: float) -> float:
    """Return bring-ups a second of the same ROM, its console in a pipe that is emptied now and then."""
    read_fd, write_fd = os.pipe()
    console = (
        *("-add-fd", f"fd={write_fd},set=1", "-chardev", "file,id=c,path=/dev/fdset/1,append=on"),
        *("-device", "isa-debugcon,iobase=0x402,chardev=c", "-sandbox", "on"),
    )
    argv = guest_arguments(stock(), shape, firmware=SMPSCAN.arguments(shape, 0))
    process = subprocess.Popen([*argv, *console], pass_fds=(write_fd,), stderr=subprocess.DEVNULL)
    os.close(write_fd)
    count, began_s = 0, 0.0
    while not began_s or time.monotonic() < began_s + seconds:
        seen = os.read(read_fd, 65536).count(b")")
        if began_s:
            count += seen
        elif seen:
            began_s = time.monotonic()
        time.sleep(0.01)
    rate = count / (time.monotonic() - began_s)
    process.kill()
    process.wait()
    os.close(read_fd)
    return rate


def quickness(rounds: int = 20) -> None:
    """Print the medians of the first confirmed lost INIT."""
    held = replace(pretending(), hold_write_s=0.001, hold_until_checkin_s=0.02)
    for name, build, aim_s in (("", pretending(), 0.6), (", held", held, 0.25)):
        times = [anyio.run(first_lost_init_s, build) for _ in range(rounds)]
        print(
            f"{f'first confirmed lost INIT, smpscan in place{name}':<60} {median(times):7.3f} s"
            f"  (n={rounds}, {min(times):.3f}-{max(times):.3f})  aim <= {aim_s}"
        )


def resets(rounds: int = 5, seconds: float = 2.0) -> None:
    """Print bring-ups a second through qstress against those of the ROM alone."""
    for accel in [Accel.TCG] + ([Accel.KVM] if probe().usable else []):
        pairs = [anyio.run(in_place, accel, seconds) for _ in range(rounds)]
        ratios = [ours / bare for ours, bare in pairs]
        report(
            f"bring-ups/s in place / ROM alone, {accel} -smp 4",
            ratios,
            ">= 0.90",
            f"{median(p[0] for p in pairs):.0f}/s",
        )


def main() -> None:
    """Print everything, or only the parts that are named: ``resets``, ``quickness``, ``rates``."""
    named = sys.argv[1:] or ["resets", "quickness", "rates"]
    for name, part in (("resets", resets), ("quickness", quickness), ("rates", rates)):
        if name in named and (name == "resets" or probe().usable):
            part()
    if not probe().usable:
        print("lost INITs: not measured, KVM cannot be used here")


def rates(rounds: int = 3, seconds: int = 20) -> None:
    """Print the four figures and their ratios to the first."""
    rates: dict[str, list[float]] = {part: [] for part in PARTS}
    with tempfile.TemporaryDirectory(prefix="qstress-bench-") as folder:
        for _ in range(rounds):
            for part, seen in rates.items():
                seen.append(hangs_a_minute(part, Path(folder), seconds))
    base = median(rates["a"])
    for part, seen in rates.items():
        against = f"  {part}/a {median(seen) / base:.1f}, aim >= {AIMS[part]}" if part in AIMS and base else ""
        spread = f"(n={len(seen)}, {min(seen):.1f}-{max(seen):.1f})"
        print(f"lost INITs a minute, ({part}) {PARTS[part][0]:<36} {median(seen):8.1f}  {spread}{against}")


if __name__ == "__main__":
    main()

"""Monitors that answer at once with a recorded register dump, and process-runs that do nothing but hammer them.

So that what qstress itself can carry is seen: no QEMU takes the CPU. Everything else is the real thing: the hammer and
what reads its replies, lanes, workers, the store.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anyio

from qstress.guest.wire import Wire
from qstress.hammer.drive import Hammer
from qstress.model import Build, Outcome, Trial, TrialResult, Verdict
from qstress.run import dask_fleet, runner, site
from qstress.trial.context import Coordinator, FinishedTrial, TrialContext
from qstress.trial.replies import HammerCounts, Replies

SOURCE = Path(__file__).with_suffix(".c")
DUMP = Path(__file__).parent.parent / "tests/data/registers/tcg-smp4-up.json"
#: The environment variable that says where they listen, and how long one process-run hammers one of them.
MONITORS, HAMMERED_S = "QUICK_MONITORS", 1.0


@contextmanager
def quick_monitors(folder: Path) -> Iterator[str]:
    """Compile them in *folder*, and have them listen on the socket that is returned."""
    program, reply, path = folder / "quick_monitors", folder / "reply.json", str(folder / "monitors")
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(SOURCE)], check=True)
    reply.write_bytes(json.dumps(json.loads(DUMP.read_bytes())).encode() + b"\r\n")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(128)
        fd = listening.fileno()
        process = subprocess.Popen([str(program), str(fd), str(reply)], pass_fds=(fd,))
        try:
            yield path
        finally:
            process.kill()
            process.wait()


async def hammered(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
    """As :func:`qstress.trial.process_run.run_process`, on one of the monitors. ``boot_s`` of a result is the CPU time
    that this process took meanwhile, for all its lanes."""
    for trial in trials:
        coordinator.began(trial, 1)
        (spec,), replies = trial.cell.stratum.hammers, Replies()
        hammer, there = Hammer(spec, trial.seed, replies.add), socket.socket(socket.AF_UNIX)
        there.connect(os.environ[MONITORS])
        wire = await Wire.connect(there, timeout_s=60.0)
        hammer.attach(wire)
        counts, began_s, began_cpu_s = HammerCounts([hammer]), time.monotonic(), time.process_time()
        with anyio.move_on_after(HAMMERED_S):
            await hammer.run()
        await hammer.quiesce(60.0)
        cpu_s = time.process_time() - began_cpu_s
        wire.close()
        result = TrialResult(
            trial, Verdict(Outcome.OK, "hammered"), began_s - context.run_began_s, time.monotonic() - began_s, cpu_s,
            None, counts.commands(), counts.latencies(),
        )  # fmt: skip
        coordinator.ended(trial)
        if not coordinator.take([FinishedTrial(result)]):
            return


_enter = dask_fleet.enter


async def enter_hammering(
    run: str, session: str, builds: Sequence[Build], host: str, local: bool, dask_worker: Any
) -> None:
    """As :func:`qstress.run.dask_fleet.enter`; the worker's process-runs hammer these monitors."""
    patch.object(site, "run_process", hammered).start()
    await _enter(run, session, builds, host, local, dask_worker)


def hammer_quick_monitors() -> None:
    """Have all process-runs of this process and of its workers hammer the monitors of the environment."""
    patch.object(runner, "run_process", hammered).start()
    patch.object(dask_fleet, "enter", enter_hammering).start()

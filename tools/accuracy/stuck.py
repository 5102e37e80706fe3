"""Kinds in which an AP is stuck otherwise than by a lost INIT: after its SIPI, or until somebody looks at it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import anyio

from qstress.guest.live import Guest
from qstress.model import Accel, FindingClass, Outcome
from qstress.trial.process_run import run_trial
from tests.live.gdb import Gdb
from tests.live.rig import bring_up, stock
from tools.accuracy.kind import COMPUTING, Batch, Kind
from tools.accuracy.table import truth

#: Where a SIPI of SeaBIOS has an AP begin.
TRAMPOLINE = 0x10000

_CURED = truth(Outcome.HANG, FindingClass.CURED_BY_LOOKING)
_LOST_LATER = truth(Outcome.HANG, FindingClass.AP_LOST_LATER)
_SOURCE = Path(__file__).with_name("woken_by_looking.c")


@contextmanager
def gdb_socket() -> Iterator[tuple[Path, tuple[str, str]]]:
    """Hand out a path for QEMU's gdb stub, and the arguments that put it there."""
    with tempfile.TemporaryDirectory(prefix="qstress-accuracy-") as folder:
        path = Path(folder) / "gdb"
        yield path, ("-gdb", f"unix:{path},server=on,wait=off")


def stop_one_at(gdb: Gdb, address: int, smp: int) -> int:
    """Wait for the breakpoint at *address*, and have all vCPUs but the first to be there go on; return its number."""
    stopped = gdb.stopped_thread()
    gdb.set(b"z1,%x,1" % address)
    others = [thread for thread in range(1, smp + 1) if thread != stopped]
    gdb.go_on(*others)
    return stopped - 1


async def _lost_later(batch: Batch, *, accel: Accel) -> None:
    """An AP takes its SIPI and is stopped at its first instruction by gdb, which lets all others go on.

    Under KVM it need not come so far: reading a vCPU that gdb keeps from running has KVM take the SIPI in
    (docs/background/qemu.md, "Injecting a lost AP", I4).
    """
    smp = 4
    with gdb_socket() as (path, args):
        connected: list[Gdb] = []

        async def paused(guest: Guest) -> None:
            gdb = await anyio.to_thread.run_sync(Gdb, path)
            connected.append(gdb)
            await anyio.to_thread.run_sync(gdb.set, b"Z1,%x,1" % TRAMPOLINE)

        async def running(guest: Guest) -> None:
            await anyio.to_thread.run_sync(stop_one_at, connected[0], TRAMPOLINE, smp, abandon_on_cancel=True)

        try:
            brought = await bring_up(
                batch.trial(accel, smp, args=args, hammers=()), batch.context, paused=paused, running=running
            )
        finally:
            for gdb in connected:
                gdb.__exit__(None, None, None)
        batch.book(_LOST_LATER, brought.verdict, brought.result.detection_s)


@cache
def woken_by_looking() -> Path:
    """Return the library that makes a lost wake-up, built for this process."""
    folder = Path(tempfile.mkdtemp(prefix="qstress-accuracy-"))
    path = folder / "woken_by_looking.so"
    subprocess.run(
        ("cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", path, _SOURCE, "-ldl"),
        stdin=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return path


async def _cured(batch: Batch) -> None:
    """The last AP is plugged in after the broadcast, and gets its SIPI when it has been dumped."""
    build = stock(env=(("LD_PRELOAD", str(woken_by_looking())),))
    result = (await run_trial(batch.trial(Accel.KVM, 4, build=build, lost_ap=True), batch.context)).result
    batch.book(_CURED, result.verdict, result.detection_s)


STUCK = [
    *(
        Kind(
            f"an AP stopped after its SIPI, {accel} -smp 4", 100, partial(_lost_later, accel=accel), accel, "SeaBIOS",
            lanes=COMPUTING, fault="an AP lost later",
        )
        for accel in (Accel.TCG, Accel.KVM)
    ),
    Kind(
        "an AP that runs once it is looked at, kvm -smp 4", 200, _cured, Accel.KVM, "SeaBIOS", lanes=COMPUTING,
        fault="an AP cured by looking", impossible="" if shutil.which("cc") else "no C compiler",
    ),
]  # fmt: skip

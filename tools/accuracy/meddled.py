"""Kinds in which somebody meddles with a booting guest or with its QEMU: by monitor, by signal, by the host."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio

from qstress.errors import GuestError
from qstress.guest.live import Guest
from qstress.host.explain import explain_live
from qstress.model import Accel, FindingClass, Milestone, Outcome, Verdict
from qstress.verdict.explain.picture import DumpVerdict
from tests.live.rig import HAMMER, Act, bring_up
from tools.accuracy.kind import COMPUTING, WAITING, Batch, Kind, Load, lanes
from tools.accuracy.load import quota, quota_root, schedule, threads_of
from tools.accuracy.processes import rom_path
from tools.accuracy.roms import Doing, Saying
from tools.accuracy.table import HEALTHY, Truth, truth

REPLY_S = 60.0

_PAUSED = truth(Outcome.UNKNOWN, says="paused")
_SPIN = truth(Outcome.HANG, FindingClass.BSP_SPIN)
_STOPPED = truth(Outcome.MONITOR_STALL, FindingClass.MONITOR_STALL, says="monitor-stall/stopped")
_BLOCKED = truth(Outcome.MONITOR_STALL, FindingClass.MONITOR_STALL, says="monitor-stall/main-loop")
_SLOW = Truth(frozenset({Outcome.OK, Outcome.RIG}))


async def _in_the_middle(batch: Batch, act: Act, true: Truth, *, accel: Accel) -> None:
    """Meddle once, at a milestone drawn for each trial; nothing is booked where the guest came up before that."""
    milestone = random.Random(batch.seed).choice((Milestone.BANNER, Milestone.PCI, Milestone.CHECKIN))

    async def running(guest: Guest) -> None:
        while guest.console.log.milestone < milestone:
            await anyio.sleep(0.0005)
        with suppress(GuestError):  # it was over before that was done
            await act(guest)

    brought = await bring_up(batch.trial(accel, 16), batch.context, running=running)
    if brought.bringup is None or brought.bringup.watch.log.found is None:
        batch.book(true, brought.verdict, brought.result.detection_s)


async def _signalled(batch: Batch, *, accel: Accel, number: signal.Signals, true: Truth) -> None:
    async def act(guest: Guest) -> None:
        guest.process.send_signal(number)

    await _in_the_middle(batch, act, true, accel=accel)


async def _paused(batch: Batch, *, accel: Accel) -> None:
    async def act(guest: Guest) -> None:
        await guest.control.execute("stop", timeout_s=REPLY_S)

    await _in_the_middle(batch, act, _PAUSED, accel=accel)


async def _miscounted(batch: Batch, *, accel: Accel, smp: int) -> None:
    """The boot CPU is told of one CPU more than there is (docs/background/qemu.md, "Injecting a lost AP", I1)."""

    async def paused(guest: Guest) -> None:
        await guest.control.hmp("o /b 0x70 0x5f", timeout_s=REPLY_S)
        await guest.control.hmp(f"o /b 0x71 {smp}", timeout_s=REPLY_S)

    brought = await bring_up(batch.trial(accel, smp), batch.context, paused=paused)
    batch.book(_SPIN, brought.verdict, brought.result.detection_s)


async def _starved(batch: Batch, *, accel: Accel, firmware: str, only_ap: bool) -> None:
    """All of QEMU, or its last AP, gets no CPU while the hogs want it; after some seconds it does again."""
    for_s = random.Random(batch.seed).uniform(0.2, 5.0)
    concerned: list[int] = []

    async def paused(guest: Guest) -> None:
        threads = await guest.vcpu_threads(timeout_s=REPLY_S)
        concerned.extend([threads[3]] if only_ap else threads_of(guest.process.pid))
        schedule(concerned, os.SCHED_IDLE)

    async def running(_guest: Guest) -> None:
        await anyio.sleep(for_s)
        schedule(concerned, os.SCHED_OTHER)

    trial = batch.trial(accel, 4, firmware=firmware)
    batch.book(_SLOW, (await bring_up(trial, batch.context, paused=paused, running=running)).verdict, None)


async def _throttled(batch: Batch, *, accel: Accel) -> None:
    with quota(batch.first) as take:

        async def paused(guest: Guest) -> None:
            take(guest.process.pid)

        batch.book(_SLOW, (await bring_up(batch.trial(accel, 4), batch.context, paused=paused)).verdict, None)


async def _blocked(batch: Batch, *, accel: Accel) -> None:
    """The guest writes into a pipe that nobody reads: its vCPU then waits with QEMU's big lock held."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    try:
        fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
        chardev = f"file,id=full,path=/proc/{os.getpid()}/fd/{theirs},append=on"
        args = ("-chardev", chardev, "-device", "isa-debugcon,iobase=0x403,chardev=full")
        rom = rom_path(Saying.BANNER, Doing.FILL_PIPE)
        brought = await bring_up(batch.trial(accel, 4, firmware=rom, args=args, hammers=(HAMMER,)), batch.context)
        batch.book(_BLOCKED, brought.verdict, brought.result.detection_s)
    finally:
        os.close(ours)
        os.close(theirs)


async def _plugged(batch: Batch, *, accel: Accel) -> None:
    """A CPU is plugged in once the guest is up, and nobody brings it up: no verdict may call it lost, and no
    explanation of the guest as somebody keeps it."""
    with tempfile.TemporaryDirectory(prefix="qstress-accuracy-") as folder:
        socket = Path(folder) / "qmp"
        trial = batch.trial(accel, 4, args=("-smp", "4,maxcpus=5", "-qmp", f"unix:{socket},server=on,wait=off"))
        explained: list[Verdict] = []

        async def after(guest: Guest) -> None:
            places = await guest.control.execute("query-hotpluggable-cpus", timeout_s=REPLY_S)
            assert isinstance(places, list)
            (free,) = [place for place in places if "qom-path" not in place]
            what = {"driver": free["type"], "id": "qstress-plugged", **free["props"]}
            await guest.control.execute("device_add", what, timeout_s=REPLY_S)
            said = await explain_live(str(socket), dump=True, gap_s=0.05)
            if said.verdict in (DumpVerdict.LOST_INIT, DumpVerdict.REPLAYED_INIT):
                kind = FindingClass(said.verdict)
                explained.append(Verdict(Outcome.HANG, "by explain", kind, "", said.confidence, said.because))

        brought = await bring_up(trial, batch.context, after=after)
        batch.book(HEALTHY, explained[0] if explained else brought.verdict, None)


#: 1,000 boot CPUs that spin (a reset could make it; a process is as quick here), most where latency is measured.
_MISCOUNTED = {
    Accel.TCG: ((2, 100), (4, 500), (16, 100), (64, 50)),
    Accel.KVM: ((2, 50), (4, 125), (16, 50), (64, 25)),
}


def _kinds(accel: Accel) -> Iterator[Kind]:
    """Yield the kinds of one accelerator; the others have 200 of each fault over both."""
    for smp, many in _MISCOUNTED[accel]:
        work: Callable[[Batch], Awaitable[None]] = partial(_miscounted, accel=accel, smp=smp)
        yield Kind(
            f"a CPU counted that is not there, {accel} -smp {smp}", many, work, accel, "SeaBIOS", **lanes(smp),
            fault="the boot CPU spins",
        )  # fmt: skip
    for name, number, true in (
        ("QEMU killed (SIGKILL)", signal.SIGKILL, truth(Outcome.CRASH, FindingClass.CRASH, "SIGKILL")),
        ("QEMU crashed (SIGSEGV)", signal.SIGSEGV, truth(Outcome.CRASH, FindingClass.CRASH, "SIGSEGV")),
        ("QEMU stopped (SIGSTOP)", signal.SIGSTOP, _STOPPED),
    ):
        work = partial(_signalled, accel=accel, number=number, true=true)
        wide = 4 * COMPUTING if number is signal.SIGSTOP else COMPUTING
        yield Kind(f"{name}, {accel} -smp 16", 100, work, accel, "SeaBIOS", lanes=wide, fault=name)
    work = partial(_blocked, accel=accel)
    yield Kind(
        f"QEMU's big lock held, {accel} -smp 4", 100, work, accel, "own ROMs", lanes=WAITING, load=Load.NEVER,
        fault="QEMU's big lock held",
    )  # fmt: skip
    work = partial(_paused, accel=accel)
    yield Kind(f"guest paused, {accel} -smp 16", 100, work, accel, "SeaBIOS", lanes=COMPUTING, fault="guest paused")
    for who, only_ap in (("QEMU", False), ("an AP", True)):
        for firmware in ("SeaBIOS", "smpscan"):
            name = f"{who} starved for 0.2-5 s, {firmware}, {accel} -smp 4"
            work = partial(_starved, accel=accel, firmware=firmware.lower(), only_ap=only_ap)
            yield Kind(
                name, 50, work, accel, "slow hosts", load=Load.ALWAYS, lanes_loaded=WAITING, fault=f"{who} starved"
            )
    yield Kind(
        f"QEMU throttled to 10 ms of 100, {accel} -smp 4", 100, partial(_throttled, accel=accel), accel, "slow hosts",
        lanes=WAITING, load=Load.NEVER, impossible="" if quota_root() else "no CPU cgroup can be made here",
        fault="QEMU throttled",
    )  # fmt: skip
    work = partial(_plugged, accel=accel)
    yield Kind(
        f"CPU plugged in once all are up, {accel} -smp 4", 100, work, accel, "SeaBIOS", lanes=COMPUTING,
        fault="a CPU plugged in",
    )  # fmt: skip


MEDDLED = [kind for accel in (Accel.TCG, Accel.KVM) for kind in _kinds(accel)]

"""``qstress watch`` at living guests: it tells the hung one, and none that is idle, paused, slow or hot-plugged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from qstress.guest.live import Guest, live_guest
from qstress.host.explain import vcpus_of
from qstress.host.watch import WatchedGuest, Watcher, watch_rounds
from qstress.interposer.build import environment
from qstress.interposer.log import WindowLog
from qstress.interposer.windows import RecordKind
from qstress.model import Accel, Confidence
from qstress.observe.guests import guest_of
from qstress.trial import inject
from qstress.verdict.outside import GuestState
from tests.live.rig import planned, pretending, stock

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(120)]
NAMED = ("-name", "guest=w,debug-threads=on")
BOTH = pytest.mark.parametrize("accel", [Accel.TCG, pytest.param(Accel.KVM, marks=pytest.mark.kvm)])


@asynccontextmanager
async def watched(
    accel: Accel, *, smp: int = 4, lost: bool = False, qmp: Path | None = None, args: tuple[str, ...] = NAMED,
    firmware: str = "seabios", log: WindowLog | None = None,
) -> AsyncIterator[tuple[Guest, Watcher]]:  # fmt: skip
    """A guest that has come up, or that never will: by a vCPU left out (SeaBIOS), or not woken (smpscan)."""
    changed = [anyio.Event()]

    def change() -> None:
        changed[0].set()

    monitor = ("-qmp", f"unix:{qmp},server=on,wait=off") if qmp else ()
    shape = planned(accel, smp, args=(*args, *monitor), firmware=firmware).cell.stratum.shape
    env, fds = (log.env, log.pass_fds) if log else ({}, ())
    async with live_guest(stock(), shape, env=env, pass_fds=fds, lost_every=int(lost), on_change=change) as guest:
        find = lambda: [found] if (found := guest_of(guest.process.pid)) else []  # noqa: E731
        left_out = lost and firmware == "seabios"
        if left_out:
            await inject.expect_one_more(guest, timeout_s=30)
        await guest.cont()
        while not (lost if firmware == "smpscan" else guest.console.log.found is not None):
            if left_out and await inject.is_due(guest, quiet_s=0.3):
                await inject.add_the_lost_one(guest, timeout_s=30)
                break
            await changed[0].wait()
            changed[0] = anyio.Event()
        yield guest, Watcher(sockets=[str(qmp)] if qmp else [], find=find)


async def state_after(watcher: Watcher, *, until: set[GuestState], least_looks: int = 1) -> WatchedGuest:
    """Watch the one guest until it shows one of these."""
    looks = 0
    await watcher.connect()
    async for seen in watch_rounds(watcher, every_s=1.0):
        looks += 1
        if seen[0].seen.state in until and looks >= least_looks:
            return seen[0]
    raise AssertionError


@pytest.mark.kvm
@pytest.mark.parametrize(("smp", "confidence"), [(2, Confidence.LIKELY), (4, Confidence.CERTAIN)])
async def test_an_ap_that_nobody_woke_is_told_by_the_kernel_alone(smp: int, confidence: Confidence) -> None:
    async with watched(Accel.KVM, smp=smp, lost=True, firmware="smpscan") as (_, watcher):
        told = await state_after(watcher, until={GuestState.HUNG, GuestState.SUSPECT})
        assert (told.seen.state, told.seen.confidence, told.seen.missing) == (GuestState.HUNG, confidence, (smp - 1,))


async def test_under_tcg_it_is_a_suspicion_until_the_monitor_is_asked(tmp_path: Path) -> None:
    async with watched(Accel.TCG, lost=True, qmp=tmp_path / "q") as (guest, watcher):
        blind = Watcher(find=watcher.find)
        told = await state_after(blind, until={GuestState.HUNG, GuestState.SUSPECT})
        assert told.seen.state is GuestState.SUSPECT
        assert "--qmp" in told.seen.ask_for[0]
        told = await state_after(watcher, until={GuestState.HUNG, GuestState.SUSPECT})
        assert (told.seen.state, told.seen.missing) == (GuestState.HUNG, (3,)), told
        assert any("expects 4 CPUs and has 3" in reason for reason in told.seen.because)
        assert guest.console.log.found is None


async def test_threads_without_names_are_learnt_from_the_monitor(tmp_path: Path) -> None:
    async with watched(Accel.TCG, qmp=tmp_path / "q", args=()) as (_, watcher):
        assert (await state_after(Watcher(find=watcher.find), until=set(GuestState))).seen.state is GuestState.UNKNOWN
        told = await state_after(watcher, until={GuestState.OK, GuestState.SUSPECT, GuestState.HUNG}, least_looks=3)
        assert (told.seen.state, sorted(told.guest.threads)) == (GuestState.OK, [0, 1, 2, 3])


@BOTH
@pytest.mark.parametrize("smp", [2, 4])
async def test_one_that_is_up_and_one_that_is_paused_then(accel: Accel, smp: int) -> None:
    async with watched(accel, smp=smp) as (guest, watcher):
        told = await state_after(watcher, until={GuestState.OK, GuestState.SUSPECT, GuestState.HUNG}, least_looks=4)
        assert told.seen.state is GuestState.OK
        await guest.control.execute("stop", timeout_s=30)
        told = await state_after(watcher, until={GuestState.OK, GuestState.SUSPECT, GuestState.HUNG}, least_looks=4)
        assert told.seen.state is GuestState.OK


@pytest.mark.kvm
async def test_a_hot_plugged_cpu_that_nobody_brings_up() -> None:
    async with watched(Accel.KVM, smp=2, args=(*NAMED, "-smp", "2,maxcpus=3")) as (guest, watcher):
        await inject.add_the_lost_one(guest, timeout_s=30)
        told = await state_after(watcher, until={GuestState.OK, GuestState.SUSPECT, GuestState.HUNG}, least_looks=4)
        assert (told.seen.state, len(told.guest.threads)) == (GuestState.OK, 3)


@pytest.mark.kvm
async def test_a_look_makes_no_vcpu_read_or_write_its_state() -> None:
    """What QEMU reads of a vCPU and writes back is in the interposer's log, so that nothing is left to statistics."""
    with WindowLog(environment(pretending())) as log:

        def touched() -> int:
            now = log.read()
            assert now
            return sum(record.kind in (RecordKind.READ, RecordKind.WRITE) for record in now.records)

        async with watched(Accel.KVM, log=log) as (guest, watcher):
            looks = [0, 0, 0]  # the guest's own boot may end in the first
            for round_ in range(len(looks)):
                touched()
                for _ in range(300):
                    await watcher.look()
                    await vcpus_of(guest.control)
                looks[round_] = touched()
            await guest.control.hmp("info registers -a", timeout_s=30)
            assert touched() >= 4, "each vCPU is read, so the log would have shown it"
            assert looks[-1] == 0, looks

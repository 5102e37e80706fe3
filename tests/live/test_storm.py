"""Kicks and churn on real guests: every kick is carried out and undone, threads really move and come home."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from qstress.firmware.rom import find_rom
from qstress.firmware.smpscan import SmpscanOptions, option_arguments
from qstress.guest.churn import churning
from qstress.guest.live import Guest, live_guest
from qstress.hammer.drive import Hammer, scratch_path
from qstress.interposer.build import environment
from qstress.interposer.log import WindowLog
from qstress.model import Accel, ChurnSpec, HammerSpec, Kick, Rate, Shape, StormCount
from qstress.observe.kicks import kicks_between, kicks_so_far
from tests.live.rig import HAMMER, pretending, stock

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]

SMP = 4
STORM = option_arguments(SmpscanOptions(deadline_us=10_000_000, payload="storm"))
ACCELS = [pytest.param(Accel.TCG, id="tcg"), pytest.param(Accel.KVM, id="kvm", marks=pytest.mark.kvm)]


async def hammered(guest: Guest, spec: HammerSpec, enough: Callable[[], bool]) -> tuple[Hammer, list[bytes]]:
    """Hammer a running guest until *enough*, and come to rest."""
    replies: list[bytes] = []
    hammer = Hammer(spec, 1, lambda reply, at_s: replies.append(reply), smp=SMP)
    hammer.attach(guest.wires[0])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hammer.run)
        while not enough() or hammer.count().returned < 4:
            await anyio.sleep(0.005)
        tasks.cancel_scope.cancel()
    assert await hammer.quiesce(30)
    return hammer, replies


@pytest.mark.parametrize("kick", list(Kick))
@pytest.mark.parametrize("accel", ACCELS)
async def test_a_kick_is_carried_out_and_the_guest_runs_on(accel: Accel, kick: Kick) -> None:
    shape = Shape(SMP, "pc", accel, 32 << 20, str(find_rom("smpscan")), STORM)
    async with live_guest(stock(), shape, monitors=1, env={}, on_change=lambda: None) as guest:
        await guest.cont()
        _, replies = await hammered(guest, HammerSpec(kick, "kick", Rate(0.05, "20/s")), lambda: True)
        refused = [reply for reply in replies if not reply.startswith(b'{"return"')]
        assert all(b"migration" in reply for reply in refused)  # the last one may not be quite over yet
        status = await guest.control.execute("query-status", timeout_s=30)
        assert isinstance(status, dict)
        assert status["status"] == "running"
        if kick is Kick.DIRTY_LOG:
            migration = await guest.control.execute("query-migrate", timeout_s=30)
            assert isinstance(migration, dict)
            assert migration["status"] in ("cancelling", "cancelled")  # so it had begun, and did not end by itself
        if kick is Kick.MIGRATE:
            migration = await guest.control.execute("query-migrate", timeout_s=30)
            assert isinstance(migration, dict)
            assert migration["status"] == "completed"  # and the source runs on
        if kick is Kick.DUMP_MEMORY:
            assert Path(scratch_path()).read_bytes().startswith(b"\x7fELF")


@pytest.mark.parametrize("line", ["info registers K", "info lapic K"])
async def test_a_vcpu_is_drawn_for_each_line(line: str) -> None:
    shape = Shape(SMP, "pc", Accel.TCG, 32 << 20, str(find_rom("smpscan")), STORM)
    async with live_guest(stock(), shape, monitors=1, env={}, on_change=lambda: None) as guest:
        await guest.cont()
        asked: list[bytes] = []
        spec = HammerSpec(line, "hmp", Rate(None, "max"))
        _, asked = await hammered(guest, spec, lambda: True)
    assert len(asked) >= 4
    assert all(b"CPU" in reply for reply in asked)


@pytest.mark.kvm
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
async def test_churn_moves_the_threads_of_a_guest_that_is_kicked_and_all_is_counted() -> None:
    build = pretending()
    shape = Shape(SMP, "pc", Accel.KVM, 32 << 20, str(find_rom("smpscan")), STORM)
    with WindowLog(environment(build)) as log:
        async with live_guest(
            build, shape, monitors=1, env=log.env, pass_fds=log.pass_fds, on_change=lambda: None
        ) as guest:
            await guest.cont()
            tids = set((await guest.vcpu_threads(timeout_s=30)).values())
            homes = {tid: os.sched_getaffinity(tid) for tid in tids}
            first = await kicks_so_far(guest, log, timeout_s=30)
            spec = ChurnSpec("500/s", rate_hz=500.0)
            async with churning(spec, guest.process.pid, tids, seed=1) as churn:
                await hammered(guest, HAMMER, lambda: churn._moved > 100)
            count = kicks_between(first, await kicks_so_far(guest, log, timeout_s=30), churn.count)
            assert {tid: os.sched_getaffinity(tid) for tid in tids} == homes
    assert_all_grew(count)


def assert_all_grew(count: StormCount) -> None:
    assert count.moves > 100
    assert count.seconds > 0
    assert count.migrations is None or count.migrations > 0
    assert (count.write_backs or 0) >= SMP
    assert (count.exits or 0) > 10

"""A closer look at living guests that stand still for different reasons."""

from __future__ import annotations

import signal

import anyio
import pytest

from qstress.errors import GuestError
from qstress.guest.live import Guest, live_guest
from qstress.model import Accel
from qstress.observe.examine import examine, out_of_band_answers
from qstress.verdict.limits import Limits, limits
from tests.live.rig import planned, stock

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]
SHAPE = planned(Accel.TCG, 2).cell.stratum.shape
LIMITS = limits(SHAPE)


async def booted(guest: Guest, changed: list[anyio.Event]) -> None:
    await guest.cont()
    while guest.console.log.found is None:
        await changed[0].wait()
        changed[0] = anyio.Event()


async def test_a_guest_that_is_up_is_seen_running_and_not_waiting() -> None:
    changed = [anyio.Event()]
    async with live_guest(stock(), SHAPE, env={}, on_change=lambda: changed[0].set()) as guest:
        await booted(guest, changed)
        look = await examine(guest, LIMITS, clock_zero_s=anyio.current_time())
        seen = look.examination
        assert (seen.running, seen.runstate, seen.wait_loop) == (True, "running", None)
        assert [vcpu.index for vcpu in seen.after.vcpus] == [0, 1]
        assert [thread.index for thread in seen.usage] == [0, 1]
        assert seen.usage[1].share < 0.05
        assert len(look.dumps) == 2
        assert look.dumps[1][0] - look.dumps[0][0] >= LIMITS.gap_s


async def test_a_paused_guest_is_seen_paused() -> None:
    async with live_guest(stock(), SHAPE, env={}, on_change=lambda: None) as guest:
        look = await examine(guest, LIMITS, clock_zero_s=0.0)
        assert not look.examination.running
        assert look.examination.runstate == "prelaunch"


async def test_a_stopped_qemu_answers_neither_in_band_nor_out_of_band() -> None:
    async with live_guest(stock(), SHAPE, env={}, on_change=lambda: None) as guest:
        assert await out_of_band_answers(guest, timeout_s=30)
        guest.process.send_signal(signal.SIGSTOP)
        assert not await out_of_band_answers(guest, timeout_s=0.2)
        short = Limits(0.1, 0.1, 0.1, 0.2, 1.0)
        with pytest.raises(GuestError):
            await examine(guest, short, clock_zero_s=0.0)

"""The interposer in a real QEMU under KVM, with QEMU's sandbox on: who asks for the SMM part, what gets through, and a
hold that is let go.

Where flags are counted the guest is looked at only once all its vCPUs are up, so that the race itself cannot occur.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import pytest

from qstress.config.kvm import probe
from qstress.guest.live import live_guest
from qstress.interposer.build import environment
from qstress.interposer.log import Counters, open_log, read_counters, set_holding
from qstress.interposer.windows import RecordKind, read_log
from qstress.model import Accel, Build, Milestone
from tests.interposer.fake import copy_log
from tests.live.rig import planned, pretending, stock

pytestmark = [pytest.mark.qemu, pytest.mark.kvm, pytest.mark.timeout(120)]
LOOKS = 5
AGES = 1000.0


async def counted(build: Build) -> Counters:
    """Boot two vCPUs, look at their registers, and return what the interposer counted on the way."""
    log, changed = open_log(), anyio.Event()

    def on_change() -> None:
        nonlocal changed
        changed.set()
        changed = anyio.Event()

    try:
        shape = planned(Accel.KVM, 2, build=build).cell.stratum.shape
        env = environment(build, log)
        async with live_guest(build, shape, env=env, on_change=on_change, pass_fds=(log,)) as guest:
            await guest.cont()
            while guest.console.log.milestone < Milestone.FOUND and guest.process.returncode is None:
                await changed.wait()
            assert guest.console.log.found == 2
            enough = read_counters(log).runtime + LOOKS
            while read_counters(log).runtime < enough:  # two dumps can share one write-back
                await guest.control.hmp("info registers -a", timeout_s=30)
        after = read_counters(log)
        assert after.reset > 0
        return after
    finally:
        os.close(log)


async def test_a_qemu_that_is_told_of_smm_writes_it_back_by_its_own_code() -> None:
    seen = await counted(pretending())
    assert seen.runtime_asked == seen.runtime_passed == seen.runtime  # stock QEMU 7.2 to 11.1: unguarded


async def test_the_imitated_fix_takes_it_out_on_the_way() -> None:
    seen = await counted(pretending(fixed=True))
    assert seen.runtime_asked == seen.runtime
    assert seen.runtime_passed == 0


async def test_without_pretending_qemu_sees_what_kvm_has() -> None:
    seen = await counted(stock())
    assert seen.runtime_asked == seen.runtime_passed == (seen.runtime if probe().smm else 0)


@pytest.mark.parametrize(
    "hold", ["hold_write_s", "hold_read_s", "hold_until_checkin_s"], ids=["write", "read", "until-checkin"]
)
async def test_a_hold_that_is_let_go_does_not_delay_quit(hold: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``quit`` suffices: the first rung of the ladder. Without the release only KILL would end this guest."""

    def held() -> bool:
        """Whether a vCPU is in a hold at this moment."""
        last = {record.vcpu: record.kind for record in read_log(copy_log(log)).records}
        return RecordKind.HELD in last.values()

    log = open_log()
    try:
        build = stock()
        shape = planned(Accel.KVM, 4, build=build).cell.stratum.shape
        held_long: dict[str, Any] = {hold: AGES}
        env = environment(replace(build, **held_long), log)
        async with live_guest(build, shape, env=env, on_change=lambda: None, pass_fds=(log,)) as guest:
            set_holding(log, True)
            await guest.cont()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(guest.control.hmp, "info registers -a", timeout_s=60))
                while not held():
                    await anyio.sleep(0.001)
                set_holding(log, False)
            with monkeypatch.context() as patch:
                patch.setattr(guest.process, "end", lambda grace_s: pytest.fail("quit did not suffice"))
                await guest.end()
            assert guest.process.returncode == 0
    finally:
        os.close(log)

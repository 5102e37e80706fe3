"""The interposer in a real QEMU under KVM, with QEMU's sandbox on: who asks for the SMM part, and what gets through.

The guest is looked at only once all its vCPUs are up, so that the race itself cannot occur here.
"""

from __future__ import annotations

import os

import anyio
import pytest

from qstress.config.kvm import probe
from qstress.guest.interpose.build import Counters, environment, open_log, read_counters
from qstress.guest.live import live_guest
from qstress.model import Accel, Build, Milestone
from tests.live.rig import planned, pretending, stock

pytestmark = [pytest.mark.qemu, pytest.mark.kvm, pytest.mark.timeout(120)]
LOOKS = 5


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

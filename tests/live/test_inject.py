"""The injected fault shows the exact picture of a lost AP, and nothing else is wrong with the guest."""

from __future__ import annotations

import anyio
import pytest

from qstress.errors import RigError
from qstress.guest.live import live_guest
from qstress.model import Accel, Milestone
from qstress.registers import parse_text
from qstress.trial import inject
from tests.live.rig import planned, stock

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]


@pytest.mark.parametrize("smp", [2, 4])
@pytest.mark.parametrize("accel", [Accel.TCG, pytest.param(Accel.KVM, marks=pytest.mark.kvm)])
async def test_the_last_vcpu_stands_at_the_reset_vector_while_the_boot_cpu_spins(accel: Accel, smp: int) -> None:
    shape = planned(accel, smp).cell.stratum.shape
    async with live_guest(stock(), shape, env={}, lost_every=1, on_change=lambda: None) as guest:
        await inject.expect_one_more(guest, timeout_s=30)
        await guest.cont()
        while not await inject.is_due(guest, quiet_s=0.001):  # however short, it does not plug it in too early
            await anyio.sleep(0.001)
        await inject.add_the_lost_one(guest, timeout_s=30)
        seen = parse_text(await guest.control.hmp("info registers -a", timeout_s=30))
        assert [vcpu.index for vcpu in seen.vcpus] == list(range(smp))
        assert [vcpu.at_reset_vector for vcpu in seen.vcpus] == [False] * (smp - 1) + [True]
        assert guest.console.log.found is None


async def test_a_guest_that_is_not_there_yet_or_has_ended_is_not_due() -> None:
    shape = planned(Accel.TCG, 2).cell.stratum.shape
    async with live_guest(stock(), shape, env={}, lost_every=1, on_change=lambda: None) as guest:
        assert not await inject.is_due(guest, quiet_s=0.001)
        await inject.expect_one_more(guest, timeout_s=30)
        await guest.cont()
        while guest.console.log.milestone < Milestone.PCI:
            await anyio.sleep(0.001)
        await guest.end(polite=False)
        assert not await inject.is_due(guest, quiet_s=0.001)


async def test_a_machine_without_room_for_it_is_a_rig_error() -> None:
    shape = planned(Accel.TCG, 2).cell.stratum.shape
    async with live_guest(stock(), shape, env={}, on_change=lambda: None) as guest:
        with pytest.raises(RigError, match="no place"):
            await inject.add_the_lost_one(guest, timeout_s=30)

"""Guests that boot as production's do, judged from their monitor's replies alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.firmware import tier_of
from qstress.model import Accel, FindingClass, Outcome, Tier
from qstress.trial.bringup import Bringup
from qstress.trial.context import TrialContext
from tests.live.rig import planned, pretending, run

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(120)]


@pytest.mark.parametrize("smp", [1, 4, 16])
@pytest.mark.parametrize("accel", [Accel.TCG, pytest.param(Accel.KVM, marks=pytest.mark.kvm)])
async def test_a_healthy_guest_comes_up(accel: Accel, smp: int) -> None:
    bringup = Bringup(planned(accel, smp, observe="none"), TrialContext())
    await bringup.run()
    if accel is Accel.TCG or smp == 1:  # under KVM a hammered guest has real races
        assert bringup.verdict.outcome is Outcome.OK, bringup.verdict
    assert tier_of(bringup.trial.cell) is Tier.T0
    assert bringup.guest is not None
    assert "-S" not in bringup.guest.argv
    assert not bringup.guest.console.text


@pytest.mark.kvm
async def test_the_real_race_shows_without_a_console() -> None:
    held = replace(pretending(), hold_write_s=0.003)
    for number in range(40):
        result, evidence = await run(planned(Accel.KVM, build=held, number=number, observe="none"))
        if result.verdict.finding_class is FindingClass.LOST_INIT:
            break
    assert result.verdict.finding_class is FindingClass.LOST_INIT, result.verdict
    assert evidence is not None
    assert evidence.wait_loop is not None
    assert evidence.wait_loop.found < evidence.wait_loop.expected

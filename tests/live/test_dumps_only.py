"""Guests that boot as production's do, judged from their monitor's replies alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.firmware import tier_of
from qstress.model import Accel, FindingClass, Outcome, Tier
from tests.live.rig import bring_up, planned, pretending, run

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(120)]


@pytest.mark.parametrize("smp", [1, 4, 16])
@pytest.mark.parametrize("accel", [Accel.TCG, pytest.param(Accel.KVM, marks=pytest.mark.kvm)])
async def test_a_healthy_guest_comes_up(accel: Accel, smp: int) -> None:
    brought = await bring_up(planned(accel, smp, observe="none"))
    if accel is Accel.TCG or smp == 1:  # under KVM a hammered guest has real races
        assert brought.verdict.outcome is Outcome.OK, brought.verdict
    assert tier_of(brought.result.trial.cell) is Tier.T0
    guest = brought.under_way.made.guest
    assert "-S" not in guest.argv
    assert not guest.console.text


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

"""Guests of 255 vCPUs, whose every reply is 390 kB; under TCG, so that any host can have them."""

from __future__ import annotations

import pytest

from qstress.model import Accel, Confidence, FindingClass, Outcome
from tests.live.rig import planned, run

pytestmark = [pytest.mark.qemu]


async def test_255_vcpus_come_up_hammered_and_are_judged_ok() -> None:
    result, _ = await run(planned(Accel.TCG, 255, firmware="smpscan"))
    assert result.verdict.outcome is Outcome.OK
    assert result.boot_s is not None


async def test_the_one_of_255_that_is_lost_is_found_and_named() -> None:
    result, evidence = await run(planned(Accel.TCG, 255, firmware="smpscan", lost_ap=True))
    verdict = result.verdict
    assert (verdict.outcome, verdict.finding_class) == (Outcome.HANG, FindingClass.LOST_INIT)
    assert verdict.confidence is Confidence.CERTAIN
    assert "CPU#254" in verdict.title
    assert "CPU#253" not in verdict.title
    assert evidence is not None
    assert evidence.wait_loop is not None
    assert (evidence.wait_loop.found, evidence.wait_loop.expected) == (254, 255)
    assert "CPU#254" in evidence.dumps[-1][1]

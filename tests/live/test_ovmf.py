"""OVMF under TCG: a healthy boot under the hammer, and its APs lost, late and replayed by injection. Two boots belong
to every gate; the others run with ``TEST_LONG=1``."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from qstress.errors import ConfigError
from qstress.firmware.base import ApFault
from qstress.firmware.pflash import find_pflash
from qstress.model import Accel, Confidence, Evidence, FindingClass, Milestone, Outcome, Trial, TrialResult
from tests.live.rig import planned, run, stock

try:
    PAIR = find_pflash()
except ConfigError as error:
    pytest.skip(str(error), allow_module_level=True)

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(240)]
LONG = pytest.mark.skipif("TEST_LONG" not in os.environ, reason="half a minute: set TEST_LONG=1")
MEMORY_BYTES = 64 << 20


def ovmf(number: int = 0, fault: ApFault | None = None, *, smp: int = 4) -> Trial:
    """A hammered trial of OVMF, with *fault* in it, which strikes another AP for each *number*."""
    build = stock() if fault is None else stock(lost_ap_share=1.0, fault=fault.value)
    return planned(
        Accel.TCG, smp, build=build, number=number, lost_ap=fault is not None,
        firmware="ovmf", pflash=PAIR, machine="q35", memory_bytes=MEMORY_BYTES,
    )  # fmt: skip


async def ran(number: int, fault: ApFault) -> tuple[TrialResult, Evidence]:
    """Run such a trial, whose result is a finding."""
    result, evidence = await run(ovmf(number, fault))
    assert evidence is not None, result.verdict
    return result, evidence


async def test_a_healthy_boot_is_followed_to_its_boot_menu_and_leaves_the_hosts_variables_alone() -> None:
    before = hashlib.sha256(Path(PAIR[1]).read_bytes()).digest()
    result, evidence = await run(ovmf(smp=2))
    assert (result.verdict.outcome, result.verdict.title) == (Outcome.OK, "Found 2 cpu(s)"), result.verdict
    assert evidence is None
    assert result.commands[0].returned > 10
    assert hashlib.sha256(Path(PAIR[1]).read_bytes()).digest() == before


async def test_a_parked_ap_that_is_not_woken_again_is_a_lost_init_and_named() -> None:
    result, evidence = await ran(1, ApFault.LATER_ROUND)
    verdict = result.verdict
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.LOST_INIT, Confidence.CERTAIN), verdict
    assert verdict.signature.endswith("/halted=3,running=1/later-round")
    assert "by its numbering CPU#3" in verdict.because[0]
    assert evidence.wait_loop is not None
    assert (evidence.wait_loop.expected, evidence.wait_loop.found, evidence.wait_loop.later) == (4, 3, True)


@LONG
@pytest.mark.parametrize("number", [0, 1, 2])
async def test_an_ap_that_never_comes_is_a_lost_init_of_the_first_round(number: int) -> None:
    result, evidence = await ran(number, ApFault.NEVER_WOKEN)
    assert (result.verdict.finding_class, result.verdict.confidence) == (FindingClass.LOST_INIT, Confidence.CERTAIN)
    assert f"CPU#{1 + (number + 1) % 3} never left the reset vector" in result.verdict.title
    assert evidence.wait_loop is not None
    assert (evidence.wait_loop.found, evidence.wait_loop.later) == (3, False)
    assert {"banner", "pci"} == set(evidence.notes["milestones_s"])  # type: ignore[call-overload]


@LONG
async def test_an_ap_that_comes_late_is_no_fault() -> None:
    result, _ = await run(ovmf(0, ApFault.WOKEN_LATE))
    assert (result.verdict.outcome, result.boot_s is not None) == (Outcome.OK, True), result.verdict


@LONG
async def test_an_ap_that_enters_at_the_reset_vector_is_a_replayed_init() -> None:
    result, _ = await ran(0, ApFault.REPLAYED)
    assert (result.verdict.finding_class, result.verdict.confidence) == (
        FindingClass.REPLAYED_INIT, Confidence.CERTAIN,
    )  # fmt: skip
    assert result.verdict.signature in {f"replayed-init/{each}" for each in (Milestone.PCI.name.lower(), "checkin")}

"""Linux guests under TCG: a kernel that ``qstress host fetch`` brought, or the host's own; skipped where there is none.

Each boot takes some seconds, so that most of them run with ``TEST_LONG=1`` only.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from qstress.firmware.base import ApFault
from qstress.firmware.kernels import guest_kernel
from qstress.firmware.linux_console import LinuxBoot
from qstress.model import Accel, Confidence, FindingClass, LinuxGuest, Outcome, Trial
from tests.live.rig import bring_up, planned, run, stock, why_no_kernel

MEMORY = ("-m", "256M")
long = pytest.mark.skipif("TEST_LONG" not in os.environ, reason="takes minutes: set TEST_LONG=1")


pytestmark = [
    pytest.mark.qemu,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(why_no_kernel()), reason=f"NOT shown with a Linux guest: {why_no_kernel()}"),
]


def linux(smp: int = 2, kernel: str = "auto", **more: Any) -> Trial:
    """One trial of a guest that boots a kernel, hammered."""
    told = {name: more.pop(name) for name in ("append", "rounds") if name in more}
    path, release = guest_kernel(kernel, Path("/"))
    args = (*MEMORY, *more.pop("args", ()))
    return planned(Accel.TCG, smp, linux=LinuxGuest(str(path), release, **told), args=args, **more)


async def test_a_healthy_guest_says_that_all_are_online_and_come_on_again() -> None:
    brought = await bring_up(linux(firmware="qboot", rounds=2))
    assert (brought.verdict.outcome, brought.verdict.title) == (Outcome.OK, "Found 2 cpu(s)"), brought.verdict
    log = brought.under_way.watch.log
    assert isinstance(log, LinuxBoot)
    assert (log.init.online, log.init.round, log.kernel.starts) == ((0, 1), 2, 1)
    assert log.init.release == guest_kernel("auto", Path("/"))[1]


async def test_a_cpu_that_the_kernel_does_not_bring_up_is_missing() -> None:
    result, evidence = await run(linux(lost_ap=True))
    verdict = result.verdict
    assert (verdict.outcome, verdict.finding_class) == (Outcome.HANG, FindingClass.MISSING_CPU), verdict
    assert verdict.confidence is Confidence.CERTAIN
    assert verdict.title == "missing CPU: CPU#1 did not come online: its kernel says nothing of it"
    assert any("CPU#1 stands where the firmware parked it" in why for why in verdict.because)
    assert evidence is not None
    assert b"qstress round 0 " in evidence.console
    assert b"smp: Brought up 1 node, 1 CPU\r\n" in evidence.serial


@long
@pytest.mark.parametrize(
    ("fault", "outcome", "kind"),
    [
        ("panic", Outcome.GUEST_PANIC, FindingClass.GUEST_PANIC),
        ("reset", Outcome.RESTART, FindingClass.REPLAYED_INIT),
    ],
)
async def test_faults_of_our_init_are_told_apart(fault: str, outcome: Outcome, kind: FindingClass) -> None:
    result, _ = await run(linux(append=f"qstress_fault={fault}"))
    assert (result.verdict.outcome, result.verdict.finding_class) == (outcome, kind), result.verdict


@long
@pytest.mark.parametrize("firmware", ["seabios", "qboot"])
@pytest.mark.parametrize("append", ["", "cpuhp.parallel=0"])
async def test_a_vcpu_that_is_left_standing_while_the_kernel_runs_is_missing(firmware: str, append: str) -> None:
    later = stock(fault=ApFault.LATER_ROUND.value)
    result, _ = await run(linux(4, build=later, lost_ap=True, firmware=firmware, append=append, number=3))
    verdict = result.verdict
    assert (verdict.outcome, verdict.finding_class) == (Outcome.HANG, FindingClass.MISSING_CPU), verdict
    assert verdict.title.startswith("missing CPU: CPU#2 did not come online: ")
    assert any(re.search(r"the kernel said .*CPU#?2.*, after \d+\.\d s$", why) for why in verdict.because), verdict

"""An AP that is stuck otherwise than by a lost INIT, on live guests: each is made, found, and named for certain."""

from __future__ import annotations

import pytest

from qstress.model import Accel, Confidence, FindingClass, Verdict
from qstress.trial.context import TrialContext
from tools.accuracy.kind import Batch, Kind
from tools.accuracy.stuck import STUCK
from tools.accuracy.table import Truth

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(120)]


async def said(kind: Kind) -> Verdict:
    """Carry out one trial of *kind* and return what was said of it."""
    booked: list[Verdict] = []

    def book(true: Truth, verdict: Verdict, detection_s: float | None, *, beside: bool = False) -> None:
        assert detection_s is not None
        booked.append(verdict)

    await kind.carry_out(Batch(kind.name, 0, 1, TrialContext(), book))
    return booked[0]


async def test_an_ap_that_is_stopped_after_its_sipi_was_lost_later() -> None:
    """gdb keeps it at the first instruction of SeaBIOS's trampoline, and the boot CPU waits for it."""
    verdict = await said(next(kind for kind in STUCK if kind.fault == "an AP lost later" and kind.accel is Accel.TCG))
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.AP_LOST_LATER, Confidence.CERTAIN)
    assert "took its SIPI and never reported" in verdict.title


@pytest.mark.kvm
async def test_an_ap_that_runs_once_it_was_dumped_is_cured_by_looking_and_not_ok() -> None:
    """It slept in the kernel until its registers were read; all vCPUs are up then, and it is a finding all the same."""
    verdict = await said(next(kind for kind in STUCK if kind.fault == "an AP cured by looking"))
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.CURED_BY_LOOKING, Confidence.CERTAIN)
    assert verdict.title.startswith("cured by looking: CPU#3 slept at the reset vector")

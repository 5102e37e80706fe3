"""One trial, start to result: a bring-up, its verdict, and the evidence where it is a finding."""

from __future__ import annotations

from qstress.bringup import Bench, Bringup
from qstress.errors import RigError, rig_error_in
from qstress.model import Evidence, Trial, TrialResult
from qstress.record import evidence_of, result_of

__all__ = ["Bench", "run_trial"]


async def run_trial(trial: Trial, bench: Bench) -> tuple[TrialResult, Evidence | None]:
    """Run *trial* and return its result, with evidence where it is a finding.

    Never raises for what guest, QEMU or host do: that is an outcome. Nothing of the guest is left when it returns,
    also when it is cancelled.
    """
    bringup = Bringup(trial, bench)
    try:
        await bringup.run()
    except* RigError as group:
        bringup.fail(rig_error_in(group))
    return result_of(bringup), evidence_of(bringup) if bringup.verdict.outcome.finding else None

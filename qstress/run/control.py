"""A boot that nothing disturbs, before the first trial counts: can this host run such a guest at all?

A KVM may be unable to run what a guest runs: it stops with ``internal-error``, or crawls on under an emulator for
minutes and never comes up. A trial would take that for a hang at worst, and for nothing that counts at best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qstress.errors import RigError
from qstress.firmware import firmware_of
from qstress.model import Accel, Outcome, Trial, Verdict
from qstress.trial.context import Coordinator, FinishedTrial


def control_boot_of(trial: Trial) -> Trial | None:
    """Return the boot that shows whether this host can run guests like that of *trial*, by itself and undisturbed; None
    where every host can."""
    stratum = trial.cell.stratum
    if stratum.shape.accel is not Accel.KVM or not firmware_of(stratum.shape).whole_cpu:
        return None
    shape = replace(stratum.shape, placement="none", restart="process", process_trials=1)
    return replace(
        trial,
        inject_lost_ap=False,
        cell=replace(
            trial.cell,
            build=replace(trial.cell.build, hold_write_s=0.0, hold_read_s=0.0, hold_until_checkin_s=0.0),
            stratum=replace(stratum, shape=shape, hammers=(), churn=None),
        ),
    )


class ControlBoot(Coordinator):
    """Hears what comes of a control boot, and of nothing else: it is no trial of the run."""

    def __init__(self) -> None:
        self._verdict, self._rig_reason = Verdict(Outcome.RIG, "it was never run"), ""

    def take(self, finished: Sequence[FinishedTrial]) -> bool:
        """Take in its only result."""
        result = finished[0].result
        self._verdict, self._rig_reason = result.verdict, result.rig_reason
        return False

    def must_have_come_up(self) -> None:
        """Return where it has.

        :raises RigError: reason ``cannot-run``: it has not; or ``control``: it did not even begin, which says nothing
            of what runs in it.
        """
        if self._verdict.outcome is Outcome.RIG and self._rig_reason != "cannot-run":
            raise RigError(f"the boot before the first trial did not begin: {self._verdict.title}", reason="control")
        if self._verdict.outcome is not Outcome.OK:
            raise RigError(
                f"this host cannot run such a guest: a boot that nothing disturbed came to: {self._verdict.title}; "
                "guest.accel: tcg can, and host: emulated has a KVM that can",
                reason="cannot-run",
            )

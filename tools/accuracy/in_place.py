"""Kinds that a reset makes: thousands of bring-ups of smpscan in one QEMU."""

from __future__ import annotations

from functools import partial

from qstress.model import Accel, TrialResult
from qstress.trial.process_run import run_process
from tools.accuracy.kind import COMPUTING, Batch, Booking, Kind, lanes
from tools.accuracy.table import HEALTHY, LOST_INIT

#: An AP is lost in every so manieth bring-up, so that each loss is between healthy ones.
EVERY = 3


async def _in_place(batch: Batch, *, accel: Accel, smp: int, lost_every: int) -> None:
    many = batch.many * max(1, lost_every)
    first = batch.trial(accel, smp, firmware="smpscan", restart="reset", process_trials=many)

    def book(result: TrialResult) -> None:
        lost = result.trial.inject_lost_ap
        true = LOST_INIT if lost else HEALTHY
        batch.book(true, result.verdict, result.detection_s, beside=lost_every > 0 and not lost)

    await run_process(batch.trials(first, many, lost_every=lost_every), batch.context, Booking(book))


HEALTHY_IN_PLACE = [
    Kind(
        f"healthy, smpscan in place, {accel} -smp {smp}", trials,
        partial(_in_place, accel=accel, smp=smp, lost_every=0), accel, "smpscan", batch=1000, lanes=COMPUTING,
    )
    for accel, smp, trials in (
        (Accel.TCG, 4, 60_000), (Accel.TCG, 16, 10_000), (Accel.KVM, 4, 25_000), (Accel.KVM, 16, 5_000),
    )
]  # fmt: skip

#: 1,000 for each accelerator; most of them where latency is measured.
LOST_IN_PLACE = [
    Kind(
        f"lost AP, smpscan in place, {accel} -smp {smp}", trials,
        partial(_in_place, accel=accel, smp=smp, lost_every=EVERY), accel, "smpscan", batch=100, **lanes(smp),
        fault="an AP lost, by reset", beside=f"healthy, smpscan between two lost APs, {accel}",
    )
    for accel in (Accel.TCG, Accel.KVM)
    for smp, trials in ((2, 200), (4, 500), (16, 200), (64, 100))
]  # fmt: skip

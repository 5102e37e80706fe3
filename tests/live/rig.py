"""Trials on live guests, for the tests: the real thing with the fewest words."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from qstress.interposer import build as interposer
from qstress.model import (
    Accel,
    Build,
    Cell,
    Evidence,
    HammerSpec,
    Rate,
    Shape,
    Smm,
    SmmWriteback,
    Stratum,
    Trial,
    TrialResult,
)
from qstress.trial.context import TrialContext
from qstress.trial.process_run import run_trial

QEMU = shutil.which("qemu-system-x86_64") or "qemu-system-x86_64"
HAMMER = HammerSpec("info registers -a", "hmp", Rate(None, "max"))


def stock(**more: Any) -> Build:
    """The host's own QEMU."""
    return Build("stock", QEMU, "", "", **more)


def pretending(*, fixed: bool = False) -> Build:
    """The host's own QEMU, told that KVM has SMM, with the fix imitated or not."""
    writeback = SmmWriteback.RESET_ONLY if fixed else SmmWriteback.AS_IS
    return stock(smm=Smm.PRETENDED, smm_writeback=writeback)


def planned(
    accel: Accel,
    smp: int = 4,
    *,
    build: Build | None = None,
    hammers: tuple[HammerSpec, ...] = (HAMMER,),
    number: int = 0,
    lost_ap: bool = False,
    **shape: Any,
) -> Trial:
    """One trial as the plan would make it."""
    made = Shape(smp, "pc", accel, 32 << 20, **{"firmware": "seabios", **shape})
    return Trial(number, number, 0, Cell(build or stock(), Stratum(made, hammers)), number + 1, lost_ap)


async def run(trial: Trial, **bench: Any) -> tuple[TrialResult, Evidence | None]:
    """Run *trial* with what its build needs of the interposer."""
    env: Mapping[str, str] = interposer.environment(trial.cell.build)
    return await run_trial(trial, TrialContext(env=env, **bench))

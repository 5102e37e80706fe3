"""What the watch of a trial has to know of it, its firmware among it (pure)."""

from __future__ import annotations

from typing import Any

from qstress.firmware import firmware_of
from qstress.firmware.base import ApFault, Firmware
from qstress.model import Trial
from qstress.trial.watch import WatchSettings
from qstress.verdict.limits import Learned, Load, limits, slowness


def watch_settings(trial: Trial, load: Load, learned: Learned, *, most: int = 1) -> WatchSettings:
    """Return what the watch of *trial* has to know.

    :param load: how busy the host is now.
    :param learned: the healthy bring-ups of this cell on this host so far.
    :param most: how many bring-ups of a series are wanted.
    """
    stratum = trial.cell.stratum
    firmware = firmware_of(stratum.shape)
    return WatchSettings(
        smp=stratum.shape.smp,
        limits=limits(stratum.shape, slowness=slowness(load), learned=learned),
        hammers=tuple((spec.start, spec.until) for spec in stratum.hammers),
        load=str(load),
        understood=firmware.milestones_known,
        goes_on=not firmware.accounts_for_aps,
        **_plug(trial, firmware),
        in_series=makes_series(trial),
        most=most,
    )


def _plug(trial: Trial, firmware: Firmware) -> dict[str, Any]:
    """Return when the fault, if any, is ours to make: a hot-plugged vCPU once all others have checked in."""
    fault = ApFault(trial.cell.build.fault)
    if not trial.inject_lost_ap:
        return {}
    if not firmware.by_gdb(fault):
        return {} if firmware.loses_aps_itself else {"plugs_lost_ap": True}
    return {"plugs_lost_ap": fault is not ApFault.NEVER_WOKEN, "plug_checkins": 0}


def makes_series(trial: Trial) -> bool:
    """Whether the guest resets itself after each bring-up, thousands of times a second."""
    shape = trial.cell.stratum.shape
    return firmware_of(shape).in_series(shape)


def trial_facts(trial: Trial) -> dict[str, object]:
    """Return what a journal says of the trial it belongs to, beside its guest's shape."""
    return {
        "trial": trial.number, "seed": trial.seed, "build": trial.cell.build.name,
        "hammer": trial.cell.stratum.hammer_label, "injected": trial.inject_lost_ap,
    }  # fmt: skip

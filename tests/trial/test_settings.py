from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.firmware.base import ApFault
from qstress.firmware.ovmf import SILENCE_S
from qstress.model import Cell, HammerSpec, Milestone, Trial
from qstress.trial.settings import makes_series, trial_facts, watch_settings
from qstress.verdict.limits import Learned, Load, limits, slowness
from tests.firmware.test_linux import LINUX
from tests.samples import MAX, build, stratum

BUSY = Load(cores=2, runnable=8)


def trial(*, lost_ap: bool = False, hammers: tuple[HammerSpec, ...] = (), **shape: object) -> Trial:
    made = stratum(4, hammers=hammers)
    return Trial(7, 0, 0, Cell(build(), replace(made, shape=replace(made.shape, **shape))), 1, lost_ap)  # type: ignore[arg-type]


def test_deadlines_come_from_the_shape_the_load_and_what_was_learned() -> None:
    learned = Learned((0.1,) * 50, (0.3,) * 50)
    settings = watch_settings(trial(), BUSY, learned)
    assert settings.limits == limits(trial().cell.stratum.shape, slowness=slowness(BUSY), learned=learned)
    assert settings.limits.quiet_s > watch_settings(trial(), Load(), learned).limits.quiet_s
    assert settings.load == str(BUSY)


def test_hammers_are_known_by_their_phases() -> None:
    late = HammerSpec("info cpus", "hmp", MAX, start=Milestone.PCI, until=Milestone.FOUND)
    assert watch_settings(trial(hammers=(late,)), BUSY, Learned()).hammers == ((Milestone.PCI, Milestone.FOUND),)


@pytest.mark.parametrize(
    ("firmware", "understood", "goes_on", "plugs"),
    [("seabios", True, True, True), ("smpscan", True, False, False), ("/some/rom", False, True, True)],
)
def test_what_depends_on_the_firmware(firmware: str, understood: bool, goes_on: bool, plugs: bool) -> None:
    settings = watch_settings(trial(firmware=firmware, lost_ap=True), BUSY, Learned())
    assert (settings.understood, settings.goes_on, settings.plugs_lost_ap) == (understood, goes_on, plugs)
    assert not watch_settings(trial(firmware=firmware), BUSY, Learned()).plugs_lost_ap


def test_only_smpscan_that_is_reset_in_place_makes_a_series() -> None:
    kinds = [("smpscan", "reset"), ("smpscan", "process"), ("seabios", "reset")]
    assert [makes_series(trial(firmware=firmware, restart=restart)) for firmware, restart in kinds] == [
        True,
        False,
        False,
    ]
    assert watch_settings(trial(firmware="smpscan"), BUSY, Learned(), most=9).most == 9


def test_a_journal_says_whose_it_is() -> None:
    assert trial_facts(trial(lost_ap=True)) == {
        "trial": 7,
        "seed": 1,
        "build": "stock",
        "hammer": "none",
        "injected": True,
    }


@pytest.mark.parametrize(("fault", "plugs"), [(fault, fault is not ApFault.NEVER_WOKEN) for fault in ApFault])
def test_when_the_gdb_stub_strikes(fault: ApFault, plugs: bool) -> None:
    made = trial(lost_ap=True, firmware="ovmf")
    made = replace(made, cell=replace(made.cell, build=build(fault=fault.value)))
    settings = watch_settings(made, BUSY, Learned())
    assert (settings.plugs_lost_ap, settings.plug_checkins) == (plugs, 0)


@pytest.mark.parametrize(("fault", "plugs"), [(ApFault.NEVER_WOKEN, False), (ApFault.LATER_ROUND, True)])
def test_of_a_kernels_faults_the_gdb_stub_makes_the_one_that_it_cannot_be_told(fault: ApFault, plugs: bool) -> None:
    made = trial(lost_ap=True, linux=LINUX)
    made = replace(made, cell=replace(made.cell, build=build(fault=fault.value)))
    settings = watch_settings(made, BUSY, Learned())
    assert (settings.plugs_lost_ap, settings.plug_checkins) == (plugs, 0 if plugs else None)


def test_a_firmware_that_is_silent_for_long_is_doubted_later() -> None:
    usual, ovmf = (watch_settings(trial(firmware=name), Load(), Learned()).limits for name in ("seabios", "ovmf"))
    assert ovmf.quiet_s - usual.quiet_s == pytest.approx(2 * SILENCE_S)
    assert ovmf.quiet_s > ovmf.ask_s > SILENCE_S
    assert ovmf.boot_s > usual.boot_s
    assert (ovmf.ask_again_s, usual.ask_again_s) == (ovmf.ask_s, float("inf"))

"""What the registered firmware answers, and a toy firmware that is added by its own value and a registration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qstress.config.load import load_config_text
from qstress.config.resolve import resolve
from qstress.errors import ConfigError
from qstress.firmware import BY_NAME, SEABIOS, SMPSCAN, firmware_of, tier_of
from qstress.firmware.base import ApFault, Firmware, LostAp
from qstress.firmware.lines import LineBoot, LinePatterns
from qstress.model import Milestone, Shape, Tier
from qstress.report.repro import boot_repro_sh
from qstress.report.wording import shape_text
from qstress.verdict.limits import limits
from tests.config.test_resolve import NO_KVM
from tests.samples import build, shape, trial

TOY_LINES = LinePatterns("toy", {Milestone.BANNER: r"toy \d+ starts", Milestone.FOUND: r"toy: all (\d+) up"})
TOY = Firmware(
    name="toy",
    arguments=lambda shape, lost_every: ("-bios", "/roms/toy.bin"),
    reader=lambda shape, last: LineBoot(patterns=TOY_LINES),
    lines=TOY_LINES,
    tier=Tier.T3,
)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Firmware:
    """The toy firmware, registered."""
    monkeypatch.setitem(BY_NAME, TOY.name, TOY)
    return TOY


CONFIG = """version: 1
name: toy
builds: {one: {binary: qemu-system-x86_64}}
guest: {firmware: toy, smp: 2%s}
stop: {trials: 5}
"""


def resolved(more: str = "", other: str = "") -> Shape:
    config = load_config_text(CONFIG % more + other, "toy.yaml", environ={})
    return resolve(config, kvm=NO_KVM, cores=2, base=Path("/")).strata[0].shape


def test_every_registered_firmware_is_found_by_its_name() -> None:
    assert set(BY_NAME) == {"seabios", "smpscan", "ovmf", "qboot"}
    for name, kind in BY_NAME.items():
        assert kind.name == name
        assert firmware_of(shape(firmware=name)) is kind
        assert kind.label(shape(firmware=name)) == ("" if kind.usual else name)


def test_only_smpscan_makes_series_and_only_with_reset_in_place() -> None:
    in_series = [
        (kind.name, restart)
        for kind in BY_NAME.values()
        for restart in ("process", "reset")
        if kind.in_series(shape(firmware=kind.name, restart=restart))
    ]
    assert in_series == [("smpscan", "reset")]


def test_an_ap_that_a_firmware_leaves_out_is_not_hot_plugged() -> None:
    assert not SEABIOS.loses_aps_itself
    assert SMPSCAN.loses_aps_itself
    assert not replace(TOY, lost_ap=LostAp(range(2, 4))).loses_aps_itself
    assert not TOY.loses_aps_itself
    assert [kind.name for kind in BY_NAME.values() if kind.needs_gdb] == ["ovmf"]


def test_only_the_debugger_makes_other_faults_than_a_lost_ap() -> None:
    faults = {name: kind.lost_ap.faults for name, kind in BY_NAME.items() if kind.lost_ap is not None}
    assert faults == {"seabios": (ApFault.NEVER_WOKEN,), "smpscan": (ApFault.NEVER_WOKEN,), "ovmf": tuple(ApFault)}


def test_the_tier_is_that_of_the_farthest_thing_from_production() -> None:
    cell = trial().cell

    def of(**more: Any) -> Tier:
        made = replace(cell.stratum, shape=shape(**{"observe": "none", **more}))
        return tier_of(replace(cell, stratum=made))

    assert of() is Tier.T0
    assert tier_of(cell) is Tier.T1
    assert of(placement="spread") is of(restart="reset") is Tier.T1
    assert tier_of(replace(cell, build=build(hold_write_s=0.001))) is Tier.T2
    assert of(firmware="smpscan") is Tier.T3
    assert tier_of(replace(cell, build=build(lost_ap_share=0.5))) is Tier.T4


def test_a_toy_firmware_is_configured_by_its_name(toy: Firmware) -> None:
    made = resolved()
    assert made.firmware == "toy"
    for more, other, refused in (
        (", settle: 5ms", "", "guest.settle: needs firmware: smpscan"),
        ("", "observe: none\n", "observe: none: needs a firmware other than smpscan or ovmf or qboot or toy"),
    ):
        with pytest.raises(ConfigError, match=refused):
            resolved(more, other)
    injected = CONFIG.replace("qemu-system-x86_64}", "qemu-system-x86_64, inject: {lost_ap: 0.5}}") % ""
    with pytest.raises(ConfigError, match="no AP can be lost under firmware toy"):
        resolve(load_config_text(injected, "toy.yaml", environ={}), kvm=NO_KVM, cores=2, base=Path("/"))


def test_a_toy_firmware_is_read_reported_and_reproduced(toy: Firmware) -> None:
    made = shape(2, firmware="toy")
    sample = trial()
    cell = replace(sample.cell, stratum=replace(sample.cell.stratum, shape=made))
    log = firmware_of(made).reader(made, None)
    log.feed(b"toy 1 starts\ntoy: all 2 up\n")
    assert (log.found, log.clean) == (2, True)
    assert shape_text(cell) == "smp 2 pc tcg toy, info registers -a @ max, T3"
    assert limits(made).ask_s == float("inf")
    text = boot_repro_sh(replace(sample, cell=cell), ("qemu",), (), None)
    assert r"FOUND = 'toy: all (\\d+) up'" in text
    assert "SeaBIOS" not in text

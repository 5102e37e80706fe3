from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qstress.errors import RigError
from qstress.model import Accel, Outcome, Trial, Verdict
from qstress.run.control import ControlBoot, control_boot_of
from qstress.trial.context import FinishedTrial
from tests.firmware.test_linux import LINUX
from tests.samples import REGISTERS, build, result, stratum, trial


def planned(accel: Accel = Accel.KVM, **shape: Any) -> Trial:
    """A trial of a held build, with a fault, hammered."""
    sample = trial(inject_lost_ap=True)
    made = replace(sample.cell, build=build(hold_write_s=0.001), stratum=stratum(4, accel, **shape))
    return replace(sample, cell=made)


def test_only_what_a_kvm_may_be_unable_to_run_has_a_control() -> None:
    assert control_boot_of(planned()) is None
    assert control_boot_of(planned(Accel.TCG, linux=LINUX)) is None
    assert control_boot_of(planned(linux=LINUX)) is not None


def test_nothing_disturbs_it() -> None:
    first = planned(linux=LINUX, placement="bsp-alone", restart="reset", process_trials=5)
    control = control_boot_of(first)
    assert control is not None
    assert first.cell.stratum.hammers == (REGISTERS,)
    shape, made = control.cell.stratum.shape, control.cell.build
    assert (control.inject_lost_ap, control.cell.stratum.hammers, made.held) == (False, (), False)
    assert (shape.placement, shape.restart, shape.process_trials, shape.linux) == ("none", "process", 1, LINUX)


def test_one_that_comes_up_is_no_result_and_one_that_does_not_ends_the_run() -> None:
    boot = ControlBoot()
    with pytest.raises(RigError, match="did not begin: it was never run") as begun:
        boot.must_have_come_up()
    assert begun.value.reason == "control"
    assert not boot.take([FinishedTrial(result(trial()))])
    boot.must_have_come_up()
    said = Verdict(Outcome.UNKNOWN, "the guest is not running: internal-error")
    boot.take([FinishedTrial(replace(result(trial()), verdict=said))])
    with pytest.raises(
        RigError, match="cannot run such a guest: .* came to: the guest is not running: internal"
    ) as told:
        boot.must_have_come_up()
    assert told.value.reason == "cannot-run"


def test_one_that_kvm_stops_is_what_this_host_cannot_run() -> None:
    boot, said = ControlBoot(), Verdict(Outcome.RIG, "KVM stopped it with an internal error")
    boot.take([FinishedTrial(replace(result(trial()), verdict=said, rig_reason="cannot-run"))])
    with pytest.raises(RigError, match="cannot run such a guest: .* KVM stopped it") as told:
        boot.must_have_come_up()
    assert told.value.reason == "cannot-run"

from __future__ import annotations

import pytest

from qstress.errors import RigError
from qstress.host.check import build_under_check
from qstress.survey.job import stage_setting
from qstress.survey.observed import GuestKind, Sending
from qstress.survey.requests import Request, parse_step
from qstress.survey.stage import GuestLost, Stage

STATES = pytest.mark.parametrize("state", GuestKind)
pytestmark = [pytest.mark.qemu, pytest.mark.kvm, pytest.mark.timeout(180)]


def sent(stage: Stage, text: str, cpu: int | None = None) -> Sending:
    return stage.send(Request(text, "hmp", parse_step(text)), 1, cpu, lambda request, reply: "")


@STATES
def test_what_a_command_touches_is_seen_in_every_kind_of_guest(state: GuestKind) -> None:
    build, _ = build_under_check("qemu-system-x86_64", "kvm", (), pretend_smm=True)
    with stage_setting(build, sandboxed=True) as setting, Stage(state, setting) as stage:
        assert stage.control() == ()
        assert sent(stage, "info status").silent
        dump = sent(stage, "info registers -a")
        assert dump.read.keys() == dump.written.keys() == {0, 1, 2, 3}
        assert (dump.reset, dump.smm) == ({}, sum(dump.written.values()))
        assert bool(dump.at_cont) is (state in (GuestKind.STOPPED, GuestKind.PAUSED))
        assert sent(stage, "info mem", 2).written.keys() == {2}
        assert stage.control() == ()


def test_a_reset_is_told_from_a_write_back() -> None:
    build, _ = build_under_check("qemu-system-x86_64", "kvm", (), pretend_smm=True)
    with stage_setting(build, sandboxed=True) as setting, Stage(GuestKind.WAITING, setting) as stage:
        assert sent(stage, "system_reset").reset.keys() == {0, 1, 2, 3}


def test_a_qemu_that_ends_is_no_answer_and_the_next_command_gets_a_new_one() -> None:
    build, _ = build_under_check("qemu-system-x86_64", "kvm", (), pretend_smm=True)
    with stage_setting(build, sandboxed=True) as setting, Stage(GuestKind.WAITING, setting) as stage:
        with pytest.raises(GuestLost, match="QEMU ended"):
            sent(stage, "quit")
        assert sent(stage, "info status").silent
        assert stage.started == 2


def test_a_qemu_that_does_not_start_is_a_rig_error() -> None:
    build, _ = build_under_check("qemu-system-x86_64", "kvm", ("-device", "no-such-device"), pretend_smm=True)
    with (
        stage_setting(build, sandboxed=True) as setting,
        Stage(GuestKind.WAITING, setting) as stage,
        pytest.raises(RigError, match="no-such-device"),
    ):
        stage.control()

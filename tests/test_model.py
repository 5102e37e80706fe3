from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from qstress.model import (
    ChurnSpec,
    CommandCount,
    HammerSpec,
    Outcome,
    Rate,
    Smm,
    SmmWriteback,
    Stratum,
    ThreadUsage,
    VcpuState,
)
from tests.samples import REGISTERS, at_reset, build, result, running, shape, trial


def test_a_trial_and_its_result_pickle_and_compare_by_value() -> None:
    for value in (trial(3), result(trial(3), Outcome.HANG)):
        assert pickle.loads(pickle.dumps(value)) == value


def test_unknown_and_rig_never_count_and_ok_is_no_finding() -> None:
    assert {outcome for outcome in Outcome if not outcome.counted} == {Outcome.UNKNOWN, Outcome.RIG}
    assert {outcome for outcome in Outcome if not outcome.finding} == {Outcome.UNKNOWN, Outcome.RIG, Outcome.OK}


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(at_reset(1), eip=0xFFF1),
        replace(at_reset(1), cs_selector=0xF001),
        replace(at_reset(1), cs_base=0xF0000),
        running(1),
    ],
)
def test_the_reset_vector_is_eip_and_cs_together(elsewhere: VcpuState) -> None:
    assert at_reset(1).at_reset_vector
    assert at_reset(1, halted=True).at_reset_vector
    assert not elsewhere.at_reset_vector


def test_a_long_mode_base_is_looked_at_in_its_low_half() -> None:
    assert replace(at_reset(1), cs_base=0xFFFFFFFFFFFF0000).at_reset_vector


def test_the_interposer_is_loaded_only_where_it_has_something_to_do() -> None:
    assert not build().interposed
    assert build(smm=Smm.PRETENDED).interposed
    fixed = build(smm_writeback=SmmWriteback.RESET_ONLY)
    assert fixed.interposed
    assert fixed.fix_imitated


def test_labels_say_what_hammers() -> None:
    status = HammerSpec("query-status", "qmp", Rate(0.002, "500/s"))
    assert Stratum(shape(), (REGISTERS, status)).hammer_label == "info registers -a @ max + query-status @ 500/s"
    assert Stratum(shape(), ()).hammer_label == "none"
    churn = ChurnSpec("1000/s", rate_hz=1000.0)
    assert Stratum(shape(), (REGISTERS,), churn).hammer_label == "info registers -a @ max + churn 1000/s"
    assert Stratum(shape(), (), churn).hammer_label == "churn 1000/s"


@pytest.mark.parametrize(
    ("spec", "varies"),
    [
        (REGISTERS, False),
        (HammerSpec("info registers K", "hmp", Rate(None, "max")), True),
        (HammerSpec("K", "qmp", Rate(None, "max")), False),
        (HammerSpec("stop-cont", "kick", Rate(None, "max")), True),
        (HammerSpec("1x info lapic", "hmp", Rate(None, "max"), mix=(("info lapic", 1),)), True),
    ],
)
def test_what_sends_one_command_over_and_over_can_be_told_in_a_script(spec: HammerSpec, varies: bool) -> None:
    assert spec.varies is varies


def test_sums_and_shares() -> None:
    assert CommandCount("x", returned=4, errors=3, timeouts=2, lost=1).total == 10
    assert ThreadUsage(0, 1, cpu_s=0.25, wall_s=0.5, state="R").share == 0.5
    assert ThreadUsage(0, 1, cpu_s=0.25, wall_s=0.0, state="R").share == 0.0

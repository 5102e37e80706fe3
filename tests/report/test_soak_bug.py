from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qstress.model import Accel, Cell, ChurnSpec, FindingClass, Outcome, Smm, Stratum, TrialResult, Verdict
from qstress.report.bugs import bugs
from qstress.report.soak_bug import how_often, needs_qstress, soak_bug
from qstress.stats.tally import Tally
from tests.report.test_story import FOUND, seen
from tests.samples import REGISTERS, build, result, shape, trial


def text(found: TrialResult = FOUND, *, interposed: bool = False, alone: bool = True, **more: Any) -> str:
    evidence = seen(argv=("/opt/qemu", "-smp", "4"), **more)
    return soak_bug(found, evidence, script="#!/bin/sh\n", host={}, interposed=interposed, alone=alone)


def test_a_hang_says_what_it_is_what_was_expected_and_how_to_see_it() -> None:
    said = text(stacks="#0  main_loop_wait ()")
    assert "4 vCPUs boot seabios while a monitor is sent: info registers -a @ max. Then: lost INIT: CPU#1" in said
    assert "Expected: all vCPUs come up" in said
    assert "How often: seen in trial 7 of a run that had not ended yet" in said
    assert "from Debian, python3, qemu-system-x86.\n" in said
    assert "`hung (lost-init)` is this bug" in said
    assert "- CPU#1 at EIP=0000fff0 in two dumps" in said
    assert "- not a slow host" in said
    assert "main_loop_wait" in said


@pytest.mark.parametrize(
    ("outcome", "finding_class", "end", "expected"),
    [
        (Outcome.CRASH, FindingClass.CRASH, "QEMU died", "QEMU goes on"),
        (Outcome.MONITOR_STALL, FindingClass.MONITOR_STALL, "monitor silent", "the monitor answers"),
        (Outcome.RESTART, FindingClass.REPLAYED_INIT, "restarted", "once for each INIT"),
        (Outcome.HANG, FindingClass.ALL_HALTED, "hung (other)", "all vCPUs come up"),
    ],
)
def test_each_kind_is_called_as_the_script_calls_it(
    outcome: Outcome, finding_class: FindingClass, end: str, expected: str
) -> None:
    said = text(
        TrialResult(trial(1), Verdict(outcome, "it", finding_class), 0.0, 1.0), stderr="warning: x\nlast words\n"
    )
    assert f"`{end}` is this bug" in said
    assert expected in said
    assert "QEMU said:\n\n```\nlast words\n```\n" in said


def test_what_production_does_not_do_is_said() -> None:
    pretended = build(smm=Smm.PRETENDED, env=(("LD_PRELOAD", "/x.so"), ("QSTRESS_LOG_FD", "7")))
    found = replace(FOUND, trial=replace(FOUND.trial, cell=Cell(pretended, FOUND.trial.cell.stratum)))
    said = text(found, interposed=True)
    assert "- SMM was PRETENDED" in said
    assert "- QEMU's environment has LD_PRELOAD=/x.so" in said
    assert "QSTRESS_LOG_FD" not in said
    assert "gcc, libc6-dev" in said


def test_one_that_only_qstress_can_repeat_says_so() -> None:
    said = text(alone=False)
    assert "1. Only qstress reads this firmware's console" in said
    assert "repro.sh</summary>" not in said


def test_whether_a_script_can_repeat_it_depends_on_firmware_and_hammer() -> None:
    assert not needs_qstress(result(trial()))
    smpscan = Cell(build(), Stratum(shape(4, Accel.KVM, firmware="smpscan"), (REGISTERS,)))
    assert needs_qstress(result(replace(trial(), cell=smpscan)))
    churned = Cell(build(), Stratum(shape(), (REGISTERS,), ChurnSpec("1000/s", rate_hz=1000.0)))
    assert needs_qstress(result(replace(trial(), cell=churned)))


def test_a_rate_is_that_of_the_cell_and_leaves_out_what_does_not_count() -> None:
    cell = trial().cell
    tally = Tally([cell])
    lost = Verdict(Outcome.HANG, "lost INIT: CPU#1 never left", FindingClass.LOST_INIT, "s")
    for block in range(10):
        of = replace(trial(block), block=block)
        tally.add_block([replace(result(of), verdict=lost) if block < 3 else result(of)])
    tally.add_finding(lost, 0, None, counted=False)
    (bug,) = bugs(tally.findings)
    said = how_often(bug, tally)
    assert said.startswith("3/10 (6.6-65.3 %) of boots with smp 4 pc tcg")
    assert "; 1 more in blocks that were not finished" in said

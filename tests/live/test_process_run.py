"""Whole trials on real QEMU: healthy boots, the real race, an injected fault, and every way a QEMU can fail us."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.firmware import tier_of
from qstress.model import Accel, Confidence, FindingClass, Milestone, Outcome, Tier, TrialResult
from tests.live.rig import HAMMER, planned, pretending, run, stock
from tools.accuracy.roms import Doing, Saying, rom

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(120)]

ACCELS = [
    pytest.param(Accel.TCG, id="tcg"),
    pytest.param(Accel.KVM, id="kvm", marks=pytest.mark.kvm),
]


def healthy(result: TrialResult) -> None:
    assert result.verdict.outcome is Outcome.OK, result.verdict
    assert result.boot_s is not None
    assert result.detection_s is None


@pytest.mark.parametrize("smp", [1, 2, 4, 16, 64])
@pytest.mark.parametrize("accel", ACCELS)
async def test_a_guest_that_nothing_hammers_comes_up(accel: Accel, smp: int) -> None:
    result, evidence = await run(planned(accel, smp, hammers=()))
    healthy(result)
    assert evidence is None


@pytest.mark.parametrize("smp", [1, 4, 64])
async def test_a_hammered_guest_comes_up_under_tcg(smp: int) -> None:
    result, _ = await run(planned(Accel.TCG, smp))
    healthy(result)
    (commands,) = result.commands
    assert commands.returned > 0
    assert commands.errors == commands.timeouts == 0
    assert sum(result.latencies) == commands.returned


@pytest.mark.kvm
async def test_the_real_race_loses_an_init_and_the_imitated_fix_does_not() -> None:
    for number in range(40):
        result, evidence = await run(planned(Accel.KVM, build=pretending(), number=number, placement="bsp-alone"))
        if result.verdict.finding_class is FindingClass.LOST_INIT:
            break
    verdict = result.verdict
    assert (verdict.outcome, verdict.finding_class) == (Outcome.HANG, FindingClass.LOST_INIT)
    assert verdict.confidence is Confidence.CERTAIN
    assert evidence is not None
    assert evidence.wait_loop is not None
    assert evidence.wait_loop.expected == 4
    assert evidence.wait_loop.found < 4
    assert len(evidence.dumps) >= 2
    assert "EIP=0000fff0" in evidence.dumps[-1][1]
    assert b"Found 4 cpu(s)" not in evidence.console
    assert result.detection_s is not None
    for number in range(10):
        fixed = pretending(fixed=True)
        result, _ = await run(planned(Accel.KVM, build=fixed, number=number, placement="bsp-alone"))
        assert result.verdict.finding_class is not FindingClass.LOST_INIT


@pytest.mark.parametrize("smp", [2, 4, 16])
@pytest.mark.parametrize("accel", ACCELS)
async def test_an_injected_lost_ap_is_found_and_named(accel: Accel, smp: int) -> None:
    result, evidence = await run(planned(accel, smp, hammers=(), lost_ap=True))
    assert result.verdict.finding_class is FindingClass.LOST_INIT, result.verdict
    assert result.verdict.confidence is Confidence.CERTAIN
    assert f"CPU#{smp - 1} " in result.verdict.title
    assert evidence is not None
    assert evidence.wait_loop is not None
    assert (evidence.wait_loop.expected, evidence.wait_loop.found) == (smp, smp - 1)


@pytest.mark.parametrize("smp", [1, 4, 64])
@pytest.mark.parametrize("accel", ACCELS)
async def test_smpscan_comes_up_when_nothing_hammers(accel: Accel, smp: int) -> None:
    result, _ = await run(planned(accel, smp, hammers=(), firmware="smpscan"))
    healthy(result)
    assert tier_of(result.trial.cell) is Tier.T3


@pytest.mark.parametrize("smp", [2, 64])
@pytest.mark.parametrize("accel", ACCELS)
async def test_an_ap_that_smpscan_leaves_out_is_found_and_named(accel: Accel, smp: int) -> None:
    result, evidence = await run(planned(accel, smp, hammers=(), lost_ap=True, firmware="smpscan"))
    assert result.verdict.finding_class is FindingClass.LOST_INIT, result.verdict
    assert result.verdict.confidence is Confidence.CERTAIN
    assert f"CPU#{smp - 1} " in result.verdict.title
    assert evidence is not None
    assert evidence.wait_loop is not None
    assert (evidence.wait_loop.expected, evidence.wait_loop.found) == (smp, smp - 1)


@pytest.mark.kvm
async def test_a_held_build_shows_the_race_in_its_first_trials_with_its_cause() -> None:
    held = replace(pretending(), hold_write_s=0.001)
    for number in range(20):
        result, evidence = await run(planned(Accel.KVM, build=held, number=number, firmware="smpscan"))
        if result.verdict.finding_class is FindingClass.LOST_INIT:
            break
    assert result.verdict.finding_class is FindingClass.LOST_INIT
    assert any("was read at" in reason and "written back at" in reason for reason in result.verdict.because)
    assert result.duty_cycle is not None
    assert 0 < result.duty_cycle <= 1
    assert evidence is not None
    assert tier_of(replace(result.trial.cell, stratum=planned(Accel.KVM).cell.stratum)) is Tier.T2


@pytest.mark.kvm
async def test_smpscan_shows_the_race_and_the_imitated_fix_does_not() -> None:
    found: dict[bool, set[FindingClass | None]] = {False: set(), True: set()}
    for number in range(100):
        for fixed, classes in found.items():
            trial = planned(Accel.KVM, build=pretending(fixed=fixed), number=number, firmware="smpscan")
            classes.add((await run(trial))[0].verdict.finding_class)
        if FindingClass.LOST_INIT in found[False] and number >= 10:
            break
    assert FindingClass.LOST_INIT in found[False]
    assert FindingClass.LOST_INIT not in found[True]


@pytest.mark.parametrize("saying", [Saying.BANNER, Saying.NOTHING])
@pytest.mark.parametrize("doing", [Doing.PORT_RESET, Doing.TRIPLE_FAULT])
@pytest.mark.parametrize("accel", ACCELS)
async def test_a_firmware_that_resets_again_and_again_is_a_reset_loop(
    accel: Accel, doing: Doing, saying: Saying, tmp_path: Path
) -> None:
    """Also one that prints SeaBIOS's banner: its second one is a reset's consequence, no replayed INIT."""
    (tmp_path / "rom").write_bytes(rom(saying, doing))
    result, _ = await run(planned(accel, firmware=str(tmp_path / "rom"), hammers=()))
    assert (result.verdict.outcome, result.verdict.finding_class) == (Outcome.RESTART, FindingClass.RESET_LOOP)
    assert result.verdict.confidence is Confidence.CERTAIN


def script(folder: Path, text: str) -> str:
    path = folder / "qemu-system-x86_64"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("refuses", "invalid accelerator|no-such-thing"),
        ("missing", "not found|No such file"),
        ("not-executable", "Permission denied"),
        ("dies", "my last words"),
        ("is-not-qemu", "did not understand|closed its monitor|Greeting"),
    ],
)
async def test_a_bad_binary_is_a_rig_error_with_its_own_words(tmp_path: Path, what: str, words: str) -> None:
    build = stock()
    if what == "refuses":
        build = replace(build, args=("-no-such-thing",))
    elif what == "missing":
        build = replace(build, binary=str(tmp_path / "nothing"))
    elif what == "not-executable":
        (tmp_path / "plain").write_text("x")
        build = replace(build, binary=str(tmp_path / "plain"))
    elif what == "dies":
        build = replace(build, binary=script(tmp_path, "echo my last words >&2; exit 1"))
    else:
        build = replace(build, binary="/bin/echo")
    result, evidence = await run(planned(Accel.TCG, build=build))
    assert result.verdict.outcome is Outcome.RIG
    assert result.rig_reason
    assert evidence is None
    import re

    assert re.search(words, result.verdict.title), result.verdict.title


async def test_several_hammers_have_a_monitor_each() -> None:
    status = replace(HAMMER, command="query-status", via="qmp")
    result, _ = await run(planned(Accel.TCG, 16, hammers=(HAMMER, status)))
    healthy(result)
    assert [count.returned > 0 for count in result.commands] == [True, True]


async def test_a_hammer_keeps_to_its_phases() -> None:
    late = replace(HAMMER, start=Milestone.CHECKIN)
    never = replace(HAMMER, start=Milestone.BOOT)
    late_s = 0.0
    while not late_s:  # on a busy host all vCPUs may be up before we look
        result, _ = await run(planned(Accel.TCG, 64, hammers=(HAMMER, late, never)))
        healthy(result)
        always_s, late_s, never_s = (count.hammered_s for count in result.commands)
        assert always_s > late_s >= never_s == 0

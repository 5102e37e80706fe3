from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.errors import RigError
from qstress.host.check import CheckAnswer, build_under_check, check_exit_code, replay_answer, run_check, smi_answer
from qstress.interposer.log import Counters
from qstress.model import Accel, Smm, SmmWriteback

ALL, NONE = Counters(40, 40, 40, 6), Counters(40, 0, 0, 6)


@pytest.mark.parametrize(
    ("counters", "smm", "bad", "words"),
    [
        (ALL, Smm.REAL, True, "unguarded: 40 of 40"),
        (ALL, Smm.PRETENDED, True, "(SMM pretended)"),
        (NONE, Smm.REAL, False, "guarded: 0 of 40"),
        (NONE, Smm.PRETENDED, False, "guarded: 0 of 40"),
        (NONE, Smm.NONE, None, "--pretend-smm would ask"),
        (Counters(40, 40, 0, 6), Smm.PRETENDED, False, "guarded"),
        (Counters(0, 0, 0, 6), Smm.REAL, None, "kernel-irqchip=off"),
        (Counters(0, 0, 0, 0), Smm.REAL, None, "saw nothing"),
    ],
)
def test_the_flags_of_one_boot_decide(counters: Counters, smm: Smm, bad: bool | None, words: str) -> None:
    answer = smi_answer(counters, Accel.KVM, smm)
    assert answer.bad is bad
    assert words in answer.line
    assert "fixed" not in answer.line


def test_without_kvm_nothing_can_be_told() -> None:
    assert smi_answer(None, Accel.TCG, Smm.NONE).bad is None
    assert replay_answer(0, 0).bad is None


def test_a_replay_is_bad_and_none_in_n_has_its_limit() -> None:
    assert replay_answer(3, 40) == CheckAnswer(True, "INIT replay: seen 3/40 (1.5-20.4 %)")
    clean = replay_answer(0, 100)
    assert clean.bad is False
    assert "not seen in 100 settled bring-ups: in < 3.0 % (95 %)" in clean.line


@pytest.mark.parametrize(
    ("bads", "code"),
    [((False, False), 0), ((True, False), 1), ((None, True), 1), ((None, False), 5), ((False, None), 5)],
)
def test_the_exit_code(bads: tuple[bool | None, ...], code: int) -> None:
    assert check_exit_code(tuple(CheckAnswer(bad, "") for bad in bads)) == code


def test_a_missing_qemu_is_a_rig_error() -> None:
    with pytest.raises(RigError, match="no-such-qemu"):
        build_under_check("no-such-qemu", "auto", (), pretend_smm=False)


@pytest.mark.qemu
@pytest.mark.kvm
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("arguments", "machine", "pretend", "bad"),
    [
        ((), "pc", True, True),
        ((), "pc,smm=off", True, True),
        (("-cpu", "qemu64,kvm-no-smi-migration=on"), "pc", True, False),
        ((), "pc-i440fx-2.3", True, False),
        ((), "pc,kernel-irqchip=split", True, True),
    ],
)
async def test_a_real_qemu_is_told_by_its_own_writes(
    arguments: tuple[str, ...], machine: str, pretend: bool, bad: bool
) -> None:
    build, accel = build_under_check("qemu-system-x86_64", "kvm", arguments, pretend_smm=pretend)
    if not build.version.startswith("7."):
        pytest.skip(f"QEMU {build.version} has neither the property nor these machine types")
    answers = await run_check(build, accel, machine=machine, bringups=0)
    assert answers[0].bad is bad, answers
    assert answers[1].bad is None


@pytest.mark.qemu
@pytest.mark.kvm
@pytest.mark.timeout(60)
async def test_the_imitated_fix_is_guarded_and_says_so_of_the_writes_that_kvm_got() -> None:
    build, accel = build_under_check("qemu-system-x86_64", "kvm", (), pretend_smm=True)
    answers = await run_check(replace(build, smm_writeback=SmmWriteback.RESET_ONLY), accel, bringups=0)
    assert answers[0].bad is False, answers


@pytest.mark.qemu
@pytest.mark.kvm
@pytest.mark.timeout(120)
async def test_one_call_sees_the_second_race_also_behind_the_fix_of_the_first() -> None:
    build, accel = build_under_check("qemu-system-x86_64", "kvm", (), pretend_smm=True)
    answers = await run_check(replace(build, smm_writeback=SmmWriteback.RESET_ONLY), accel)
    assert [answer.bad for answer in answers] == [False, True], answers


@pytest.mark.qemu
@pytest.mark.kvm
@pytest.mark.timeout(60)
async def test_without_pretending_the_host_decides() -> None:
    build, accel = build_under_check("qemu-system-x86_64", "kvm", (), pretend_smm=False)
    answers = await run_check(build, accel, bringups=0)
    assert answers[0].bad is (True if build.smm is Smm.REAL else None), answers
    assert ("--pretend-smm would ask" in answers[0].line) is (build.smm is Smm.NONE)


@pytest.mark.qemu
@pytest.mark.kvm
@pytest.mark.parametrize(
    ("arguments", "machine"), [((), "pc,kernel-irqchip=off"), (("-machine", "kernel-irqchip=off"), "pc")]
)
async def test_without_kvms_own_apic_it_cannot_tell(arguments: tuple[str, ...], machine: str) -> None:
    build, accel = build_under_check("qemu-system-x86_64", "kvm", arguments, pretend_smm=True)
    answers = await run_check(build, accel, machine=machine)
    assert [answer.bad for answer in answers] == [None, None]
    assert all("kernel-irqchip=off" in answer.line for answer in answers)


@pytest.mark.qemu
async def test_under_tcg_it_cannot_tell() -> None:
    build, accel = build_under_check("qemu-system-x86_64", "tcg", (), pretend_smm=False)
    assert check_exit_code(await run_check(build, accel)) == 5

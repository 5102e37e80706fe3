"""What the collection does not show: which rule goes first, and what keeps an answer from being certain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.verdict.explain.decide import decide
from qstress.verdict.explain.picture import Dump, Foreign, Picture, Words
from qstress.verdict.vcpu import VcpuLook

RUNS = VcpuLook(0, eip=0xFFFFFFFF81000000, eflags=0x246, halted=False, cs_base=0, cr0=0x80050033, long=True, whole=True)
HALTED = replace(RUNS, halted=True, eflags=0x46)
IDLE = replace(HALTED, eflags=0x246)
STOPPED, DEAD = "KVM internal error. Suberror: 1", "qemu: fatal: no"


def over_time(*looks: VcpuLook) -> tuple[Dump, ...]:
    return tuple(Dump((replace(look, key=number),)) for number, look in enumerate(looks))


def told(picture: Picture) -> tuple[str, str]:
    answer = decide(picture)
    return str(answer.verdict), str(answer.confidence)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (Words(kvm=STOPPED, kvm_with_dump=True), ("stopped-by-kvm", "certain")),
        (Words(kvm=STOPPED), ("stopped-by-kvm", "likely")),
        (Words(kvm=STOPPED, kvm_with_dump=True, then_died="Aborted"), ("qemu-died", "likely")),
        (Words(kvm=STOPPED, kvm_with_dump=True, died=DEAD, then_died=DEAD), ("qemu-died", "likely")),
        (Words(kvm=STOPPED, kvm_with_dump=True, died=DEAD), ("stopped-by-kvm", "likely")),  # before it
        (Words(died=DEAD, died_with_dump=True), ("qemu-died", "certain")),
        (Words(died=DEAD), ("qemu-died", "likely")),
        (Words(status="internal-error"), ("stopped-by-kvm", "certain")),
    ],
)
def test_qemus_words_go_before_its_registers(words: Words, answer: tuple[str, str]) -> None:
    assert told(Picture(over_time(RUNS), words)) == answer


def test_a_message_beside_another_cpus_dump_may_be_about_that_one() -> None:
    both = Foreign("a dump of an ARM CPU", other_cpu=True, dump=True)
    assert told(Picture(over_time(RUNS), Words(kvm=STOPPED, kvm_with_dump=True), both)) == ("stopped-by-kvm", "likely")
    assert told(Picture((), Words(kvm=STOPPED), both)) == ("not-a-dump", "certain")
    assert told(Picture((), Words(kvm=STOPPED), Foreign("a kernel's report"))) == ("stopped-by-kvm", "likely")


def test_user_code_goes_on_after_a_failed_emulation() -> None:
    words = Words(kvm=STOPPED, kvm_with_dump=True, emulation=True)
    assert told(Picture(over_time(replace(RUNS, cpl=3)), words)) == ("stopped-by-kvm", "likely")
    assert told(Picture(over_time(replace(RUNS, cpl=0)), words)) == ("stopped-by-kvm", "certain")


@pytest.mark.parametrize(
    ("looks", "answer"),
    [
        ((RUNS,), ("busy", "likely")),
        ((RUNS, RUNS), ("spinning", "likely")),
        ((RUNS, RUNS, RUNS), ("spinning", "certain")),
        ((RUNS, replace(RUNS, whole=False), RUNS), ("spinning", "likely")),
        ((RUNS, IDLE, RUNS), ("busy", "likely")),
        ((RUNS, replace(RUNS, eip=0x1000)), ("busy", "likely")),
        ((RUNS, replace(RUNS, eip=0x1000), replace(RUNS, eip=0x2000)), ("busy", "certain")),
        ((IDLE, IDLE), ("idle", "likely")),  # one vCPU may be one of many
    ],
)
def test_what_time_shows_of_one_vcpu(looks: tuple[VcpuLook, ...], answer: tuple[str, str]) -> None:
    assert told(Picture(over_time(*looks))) == answer


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        (HALTED, HALTED, ("halted", "certain")),
        (IDLE, HALTED, ("idle", "certain")),
        (HALTED, replace(HALTED, whole=False), ("halted", "likely")),
        (HALTED, replace(HALTED, numbered=False), ("halted", "likely")),
        (HALTED, replace(HALTED, eip=None), ("halted", "likely")),
    ],
)
def test_halted_vcpus_in_two_looks(first: VcpuLook, second: VcpuLook, answer: tuple[str, str]) -> None:
    dump = Dump((first, replace(second, index=1)))
    assert told(Picture((dump, dump))) == answer
    assert told(Picture((dump,)))[1] == "likely"
    assert told(Picture((dump, dump), Words(status="paused")))[1] == "likely"


def test_states_that_cannot_be_told() -> None:
    assert told(Picture(over_time(replace(RUNS, halted=None)))) == ("inconclusive", "inconclusive")
    assert told(Picture(over_time(RUNS), logged=True)) == ("inconclusive", "inconclusive")
    assert told(Picture(remnants=True)) == ("inconclusive", "inconclusive")
    assert told(Picture()) == ("not-a-dump", "certain")


def test_it_is_said_when_not_all_was_read() -> None:
    assert decide(Picture(over_time(RUNS), left_out=7)).because[-1] == "7 further states were not read"


AT_RESET = VcpuLook(0, eip=0xFFF0, eflags=2, halted=False, cs_selector=0xF000, cs_base=0xFFFF0000, whole=True)


def test_a_guest_that_was_reset_after_it_had_run_is_not_said_to_have_run_nothing() -> None:
    fresh = decide(Picture(over_time(AT_RESET)))
    assert not any("reset since" in reason for reason in fresh.because)
    spoke = decide(Picture(over_time(AT_RESET), Words(ran="Booting from")))
    assert any("'Booting from'" in reason and "reset since" in reason for reason in spoke.because)
    ran = decide(Picture(over_time(RUNS, AT_RESET)))
    assert any("elsewhere: it was reset since" in reason for reason in ran.because)
    assert told(Picture(over_time(RUNS, AT_RESET), Words(status="paused"))) == ("reset-vector", "likely")
    assert told(Picture(over_time(AT_RESET), Words(status="paused"))) == ("reset-vector", "certain")
    for answer in (fresh, spoke, ran):
        assert (str(answer.verdict), str(answer.confidence)) == ("reset-vector", "likely")
        assert not any("no instruction" in reason for reason in answer.because)


def test_a_log_of_resets_shows_where_each_vcpu_was_before_its_last_one() -> None:
    at_a_reset = replace(AT_RESET, of_reset=True)
    assert told(Picture(over_time(at_a_reset), logged=True)) == ("reset-vector", "likely")
    assert told(Picture(over_time(AT_RESET), logged=True)) == ("inconclusive", "inconclusive")
    assert told(Picture(over_time(replace(at_a_reset, eip=0x7C00)), logged=True)) == ("inconclusive", "inconclusive")


def test_states_without_numbers_are_inconclusive_whatever_they_are() -> None:
    for look in (RUNS, IDLE, HALTED, AT_RESET):
        unknown = (replace(look, numbered=False), replace(look, numbered=False, index=1))
        answer = decide(Picture((Dump(unknown),), unnumbered=2))
        assert (str(answer.verdict), str(answer.confidence)) == ("inconclusive", "inconclusive")
        assert "2 states without vCPU numbers" in answer.because[0]
        assert "info registers -a" in answer.ask_for[0]


def test_a_copy_is_called_one_and_another_look_is_asked_for() -> None:
    answer = decide(Picture(over_time(RUNS), copies=1))
    assert any("copies are one look" in reason for reason in answer.because)
    assert "a copy, one look" in answer.ask_for[0]
    stopped = decide(Picture(over_time(RUNS), Words(kvm=STOPPED, kvm_with_dump=True), copies=1))
    assert (str(stopped.confidence), len(stopped.because)) == ("certain", 1)


def test_looks_at_two_boots_are_certain_of_nothing() -> None:
    looks = over_time(RUNS, RUNS, RUNS)
    assert told(Picture(looks)) == ("spinning", "certain")
    answer = decide(Picture(looks, interrupted=True))
    assert (str(answer.verdict), str(answer.confidence)) == ("spinning", "likely")
    assert answer.ask_for


def test_a_kernels_panic_is_told_whatever_the_answer() -> None:
    words = Words(panic="Kernel panic - not syncing: Fatal exception")
    for picture in (Picture(words=words), Picture(over_time(RUNS), words)):
        assert "a kernel's panic" in decide(picture).because[-1]
    fault = decide(Picture(over_time(RUNS), Words(panic="BUG: soft lockup")))
    assert "a kernel's report of a fault" in fault.because[-1]

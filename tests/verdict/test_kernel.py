from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.firmware.linux_console import LinuxBoot
from qstress.firmware.seabios import BootLog
from qstress.model import Confidence, FindingClass, Outcome, VcpuState, Verdict
from qstress.verdict.examination import Examination
from qstress.verdict.hang import diagnose
from qstress.verdict.judge import LOOP_RESETS, Doubt, assess
from qstress.verdict.kernel import firmware_resets, kernel_stands_still, missing_cpu, told_by_kernel
from qstress.verdict.limits import LIKELY_FACTOR, limits
from tests.firmware.linux_texts import (
    ALIVE,
    FIRMWARE,
    KERNEL,
    LATER_REPORT,
    MISSING,
    MISSING_REPORT,
    PANIC,
    REPORT,
    UP,
    booted,
)
from tests.firmware.test_linux import LINUX
from tests.samples import at_reset, running, seen, shape
from tests.verdict.examinations import HALTED, LOG, LOST_INIT, thread, threads
from tests.verdict.test_judge import CALM

LIMITS = limits(shape(4, linux=LINUX))
STOPPED = MISSING, FIRMWARE + MISSING_REPORT
WAITING = KERNEL, FIRMWARE


def in_kernel(index: int, *, halted: bool = True) -> VcpuState:
    """A vCPU that runs Linux, or idles in it."""
    return VcpuState(index, 0xFFFFFFFF81C07E70, 0x10, 0, halted, False, True)


IDLE = [in_kernel(index) for index in range(3)]
#: CPU#3 stands in SeaBIOS's halt loop, all others are idle.
PARKED = seen(*IDLE, running(3, HALTED, halted=True))
LOOK = Examination(
    PARKED, PARKED, threads(0, 0, 0, 0), False, True, "running", None, quiet=threads(0, 0, 0, 0), kvm=True,
    boot_cpu=(in_kernel(0),),
)  # fmt: skip


def looked(*vcpus: VcpuState, **more: object) -> Examination:
    picture = seen(*vcpus)
    return replace(LOOK, before=picture, after=picture, **more)  # type: ignore[arg-type]


# ---- missing-cpu


def test_a_guest_that_came_up_with_one_cpu_less_is_looked_at_and_then_certain() -> None:
    log = booted(*STOPPED)
    assert assess(CALM, log, LIMITS) is Doubt.NO_PROGRESS
    verdict = diagnose(LOOK, log)
    assert (verdict.outcome, verdict.finding_class, verdict.confidence) == (
        Outcome.HANG, FindingClass.MISSING_CPU, Confidence.CERTAIN,
    )  # fmt: skip
    assert verdict.title == "missing CPU: CPU#3 did not come online: CPU#3 failed to report alive state"
    assert verdict.signature == "missing-cpu/missing=1/said"
    because = "\n".join(verdict.because)
    assert "13.2 s after its kernel (6.12.117+deb13-amd64) began: online CPU#0, CPU#1, CPU#2;" in because
    assert "the kernel said at 10.913 s: CPU3 failed to report alive state, after 10.4 s" in because
    assert "CPU#3 stands where the firmware parked it (EIP=000fd09a, halted), and runs no Linux" in because


def test_behind_qboot_it_stands_at_the_reset_vector() -> None:
    verdict = diagnose(looked(*IDLE, at_reset(3)), booted(*STOPPED))
    assert any("CPU#3 stands at the reset vector" in why for why in verdict.because)
    assert verdict.confidence is Confidence.CERTAIN


def test_one_that_ovmf_parked_is_high_in_memory_and_a_program_is_not_parked() -> None:
    parked = VcpuState(3, 0x0ECCF9E1, 0x38, 0, True, False, False)
    assert diagnose(looked(*IDLE, parked), booted(*STOPPED)).confidence is Confidence.CERTAIN
    program = VcpuState(3, 0x401234, 0x33, 0, False, False, True)
    assert diagnose(looked(*IDLE, program), booted(*STOPPED)).confidence is Confidence.LIKELY


@pytest.mark.parametrize(
    "weaker",
    [
        looked(*IDLE, in_kernel(3)),  # it came after all
        replace(LOOK, usage=(*threads(0, 0, 0), thread(3, 0, "R"))),  # the host gives it no CPU
    ],
)
def test_one_that_a_slow_host_can_have_kept_is_only_likely(weaker: Examination) -> None:
    verdict = diagnose(weaker, booted(*STOPPED))
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.MISSING_CPU, Confidence.LIKELY)


def test_the_kernels_word_alone_is_likely_until_the_guest_has_said_all() -> None:
    verdict = diagnose(LOOK, booted(KERNEL + ALIVE, FIRMWARE))
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.MISSING_CPU, Confidence.LIKELY)
    assert "the guest has 4 vCPUs" in verdict.because


def test_without_dumps_it_is_told_without_a_place() -> None:
    nothing = replace(LOOK, before=seen(), after=seen(), usage=())
    verdict = diagnose(nothing, booted(*STOPPED))
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.MISSING_CPU, Confidence.CERTAIN)
    assert not any("stands" in why for why in verdict.because)


def test_one_that_does_not_come_on_again_is_told_with_its_round() -> None:
    log = booted(UP, FIRMWARE + LATER_REPORT)
    off = replace(in_kernel(2), interrupts=False)
    verdict = diagnose(looked(*IDLE[:2], off, in_kernel(3)), log)
    assert verdict.title.startswith("missing CPU: CPU#2 did not come online in round 3 of taking CPUs off and on: smp")
    assert (verdict.signature, verdict.confidence) == ("missing-cpu/missing=1/later", Confidence.CERTAIN)
    assert "CPU#2 was told to come online, and the kernel refused (errno 5)" in verdict.because
    assert any(why.startswith("CPU#2 stands where the kernel left it when it was taken off") for why in verdict.because)
    for came in (replace(off, halted=False), in_kernel(2)):
        assert diagnose(looked(*IDLE[:2], came, in_kernel(3)), log).confidence is Confidence.LIKELY


def test_a_users_initramfs_leaves_it_to_the_kernel_to_count() -> None:
    log = booted(UP.replace(b"4 CPUs", b"3 CPUs"), FIRMWARE, reports=False)
    verdict = diagnose(LOOK, log)
    assert verdict.title == "missing CPU: of 4 CPUs 3 came did not come online: its kernel says nothing of it"


def test_a_paused_guest_is_no_finding_whatever_it_said() -> None:
    assert diagnose(replace(LOOK, running=False, runstate="paused"), booted(*STOPPED)).outcome is Outcome.UNKNOWN


def test_other_firmware_is_none_of_its_business() -> None:
    assert missing_cpu(LOST_INIT, LOG) is None
    assert kernel_stands_still(LOST_INIT, LOG) is None
    assert told_by_kernel(LOG) is None


# ---- ok, and what is not


def test_a_healthy_guest_is_ok() -> None:
    assert assess(CALM, booted(), LIMITS) == Verdict(Outcome.OK, "Found 4 cpu(s)")


def test_all_online_and_a_complaint_is_neither_ok_nor_a_finding() -> None:
    stall = b"[   21.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\n"
    verdict = assess(CALM, booted(UP + stall), LIMITS)
    assert isinstance(verdict, Verdict)
    assert verdict.outcome is Outcome.UNKNOWN
    assert (
        verdict.title
        == "all CPUs are online, but the kernel says: rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"
    )
    assert assess(CALM, booted(UP + stall, FIRMWARE), LIMITS) is None  # not yet: it may still come to something


@pytest.mark.parametrize("line", [PANIC, b"[  1.0] BUG: unable to handle page fault for address: ffffc90000a4f000\n"])
def test_a_kernel_that_crashed_is_a_panic(line: bytes) -> None:
    verdict = assess(CALM, booted(UP + line, FIRMWARE), LIMITS)
    assert isinstance(verdict, Verdict)
    assert (verdict.outcome, verdict.finding_class) == (Outcome.GUEST_PANIC, FindingClass.GUEST_PANIC)
    assert "ffffc90000a4f000" not in verdict.signature


def test_an_init_that_cannot_report_is_unknown() -> None:
    verdict = assess(CALM, booted(UP + b"qstress-init: sysfs cannot be mounted\n", FIRMWARE), LIMITS)
    assert isinstance(verdict, Verdict)
    assert (verdict.outcome, verdict.title) == (Outcome.UNKNOWN, "the guest cannot report: sysfs cannot be mounted")


def test_a_second_kernel_is_a_restart_told_when_the_next_boot_came() -> None:
    again = replace(CALM, resets=1, goes_on=True)
    assert assess(again, booted(UP + KERNEL, FIRMWARE), LIMITS) is None
    verdict = assess(again, booted(UP + UP, FIRMWARE + REPORT), LIMITS)
    assert isinstance(verdict, Verdict)
    assert (verdict.outcome, verdict.finding_class) == (Outcome.RESTART, FindingClass.REPLAYED_INIT)
    assert "Linux started 2 times" in verdict.because


def test_one_restart_of_a_kernel_is_no_loop_however_often_its_firmware_resets() -> None:
    log, often = booted(UP + UP, FIRMWARE + REPORT), replace(CALM, resets=LOOP_RESETS, goes_on=True)
    for resets, kind in ((LOOP_RESETS, FindingClass.REPLAYED_INIT), (4 * LOOP_RESETS, FindingClass.RESET_LOOP)):
        verdict = assess(replace(often, resets=resets), log, LIMITS)
        assert isinstance(verdict, Verdict)
        assert verdict.finding_class is kind
    assert firmware_resets(LOG) == 1


def test_an_ap_that_enters_the_firmware_under_the_kernel_is_a_replay_once_it_is_seen_what_it_comes_to() -> None:
    log, later = booted(UP, FIRMWARE + b"In resume (status=0)\n"), CALM.now_s + LIKELY_FACTOR * LIMITS.quiet_s
    assert assess(replace(CALM, goes_on=True), log, LIMITS) is None
    verdict = assess(replace(CALM, goes_on=True, now_s=later), log, LIMITS)
    assert isinstance(verdict, Verdict)
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.REPLAYED_INIT, Confidence.LIKELY)


# ---- a kernel that stands still


def test_a_kernel_that_waits_for_a_parked_ap_without_end_has_lost_an_init() -> None:
    for ap in (running(3, HALTED, halted=True), at_reset(3)):
        verdict = diagnose(looked(*IDLE, ap), booted(*WAITING))
        assert (verdict.outcome, verdict.finding_class, verdict.confidence) == (
            Outcome.HANG, FindingClass.LOST_INIT, Confidence.LIKELY,
        )  # fmt: skip
        assert verdict.title == "lost INIT: CPU#3 never left the firmware's code while the guest's kernel waits"
        assert verdict.signature == "lost-init/checkin/kernel/lost=1"


def test_before_it_wakes_anybody_parked_aps_are_no_news() -> None:
    early = booted(KERNEL.partition(b"[    0.526144]")[0], FIRMWARE)
    verdict = diagnose(looked(in_kernel(0), *(running(index, HALTED, halted=True) for index in (1, 2, 3))), early)
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.HANG_OTHER, Confidence.LIKELY)
    assert "before it began to wake its CPUs" in verdict.title


def test_with_all_in_the_kernel_it_is_no_lost_init() -> None:
    verdict = diagnose(looked(*IDLE, in_kernel(3, halted=False)), booted(*WAITING))
    assert verdict.finding_class is FindingClass.HANG_OTHER


def test_a_kernel_that_spoke_meanwhile_or_was_not_dumped_is_not_judged() -> None:
    for more in ({"progressed": True}, {"before": seen(), "after": seen()}):
        verdict = diagnose(replace(LOOK, **more), booted(*WAITING))
        assert (verdict.outcome, verdict.confidence) == (Outcome.UNKNOWN, Confidence.INCONCLUSIVE)


def test_a_hang_in_the_firmware_is_still_seabioss() -> None:
    log = LinuxBoot(4, firmware=BootLog())
    log.feed(FIRMWARE[:80])
    assert diagnose(LOST_INIT, log).title.startswith("lost INIT: CPU#1 never left the reset vector while CPU#0 spins")

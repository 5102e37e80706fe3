from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.milestones import BootLog
from qstress.model import Confidence, FindingClass, Milestone, Outcome, ThreadUsage, WaitLoop
from qstress.verdict.hang import Examination, diagnose
from tests.samples import at_reset, running, seen

LOG = BootLog(Milestone.CHECKIN, banners=1, checkins=2, last_line="handle_smp: apic_id=0x2")
HALTED = 0xFD09A


def usage(*shares: float) -> tuple[ThreadUsage, ...]:
    return tuple(ThreadUsage(i, 1000 + i, share * 0.3, 0.3, "R" if share else "S") for i, share in enumerate(shares))


LOST = seen(running(0), at_reset(1), running(2, HALTED, halted=True), running(3, HALTED, halted=True))
LOST_INIT = Examination(LOST, LOST, usage(0.99, 0, 0, 0), False, True, "running", WaitLoop(4, 3, 0xEE2C1))


def test_the_picture_of_a_lost_init_is_certain_with_both_witnesses_and_the_count() -> None:
    verdict = diagnose(LOST_INIT, LOG)
    assert (verdict.outcome, verdict.finding_class) == (Outcome.HANG, FindingClass.LOST_INIT)
    assert verdict.confidence is Confidence.CERTAIN
    assert "CPU#1" in verdict.title
    assert any("waits for 4 vCPUs and has 3" in reason for reason in verdict.because)


@pytest.mark.parametrize(
    "weaker",
    [
        replace(LOST_INIT, usage=usage(0.99, 0.5, 0, 0)),  # the AP is not asleep
        replace(LOST_INIT, usage=usage(0, 0, 0, 0)),  # nobody spins
        replace(LOST_INIT, usage=()),  # no second witness at all
        replace(LOST_INIT, wait_loop=None),  # not seen in the wait loop
    ],
)
def test_without_a_witness_it_is_only_likely(weaker: Examination) -> None:
    verdict = diagnose(weaker, LOG)
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.LOST_INIT, Confidence.LIKELY)


def test_all_aps_lost_is_a_lost_init_too() -> None:
    picture = seen(running(0), at_reset(1), at_reset(2), at_reset(3))
    verdict = diagnose(replace(LOST_INIT, before=picture, after=picture, wait_loop=WaitLoop(4, 1, 0)), LOG)
    assert verdict.finding_class is FindingClass.LOST_INIT
    assert verdict.signature == "lost-init/checkin/reset-vector=3,running=1"


def test_equal_hangs_of_different_aps_have_one_signature() -> None:
    other = seen(running(0, 0xEE2F0), running(1, HALTED, halted=True), running(2, HALTED, halted=True), at_reset(3))
    assert diagnose(replace(LOST_INIT, before=other, after=other), LOG).signature == diagnose(LOST_INIT, LOG).signature


def test_aps_at_the_reset_vector_early_in_a_boot_are_no_lost_init() -> None:
    early = replace(LOST_INIT, wait_loop=None)
    verdict = diagnose(early, replace(LOG, milestone=Milestone.BANNER, checkins=0))
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.HANG_OTHER, Confidence.LIKELY)


def test_a_boot_cpu_at_the_reset_vector_says_nothing_about_inits() -> None:
    nothing_ran = seen(at_reset(0), at_reset(1))
    verdict = diagnose(replace(LOST_INIT, before=nothing_ran, after=nothing_ran, wait_loop=None), LOG)
    assert verdict.finding_class is FindingClass.HANG_OTHER


def test_a_guest_that_is_not_running_is_unknown() -> None:
    verdict = diagnose(replace(LOST_INIT, running=False, runstate="paused"), LOG)
    assert (verdict.outcome, verdict.finding_class) == (Outcome.UNKNOWN, None)
    assert "paused" in verdict.title


def test_unreadable_dumps_are_unknown() -> None:
    assert diagnose(replace(LOST_INIT, after=seen()), LOG).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "woken", [replace(LOST_INIT, progressed=True), replace(LOST_INIT, after=seen(running(0), running(1, HALTED)))]
)
def test_stuck_and_moved_once_looked_at_is_never_ok_and_never_a_hang(woken: Examination) -> None:
    verdict = diagnose(woken, LOG)
    assert (verdict.outcome, verdict.finding_class) == (Outcome.UNKNOWN, FindingClass.CURED_BY_LOOKING)


def test_aps_that_move_on_their_own_are_just_slow() -> None:
    slow = replace(LOST_INIT, before=seen(running(0), running(1, 0xFD077)), after=seen(running(0), running(1, HALTED)))
    verdict = diagnose(slow, LOG)
    assert (verdict.finding_class, verdict.confidence) == (None, Confidence.INCONCLUSIVE)


def test_a_wait_for_a_vcpu_that_does_not_exist_is_a_bsp_spin() -> None:
    all_up = seen(running(0), running(1, HALTED, halted=True))
    verdict = diagnose(replace(LOST_INIT, before=all_up, after=all_up, wait_loop=WaitLoop(3, 2, 0)), LOG)
    assert (verdict.outcome, verdict.finding_class) == (Outcome.HANG, FindingClass.BSP_SPIN)


def test_anything_else_is_named_as_not_understood() -> None:
    all_up = seen(running(0), running(1, HALTED, halted=True))
    verdict = diagnose(replace(LOST_INIT, before=all_up, after=all_up, wait_loop=None), LOG)
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.HANG_OTHER, Confidence.LIKELY)

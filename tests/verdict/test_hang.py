from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qstress.firmware.seabios import BootLog
from qstress.model import Confidence, FindingClass, Milestone, Outcome, VcpuState, WaitLoop
from qstress.verdict.hang import Examination, diagnose
from tests.samples import at_reset, running, seen
from tests.verdict.examinations import (
    ALL_UP,
    HALTED,
    LATER_ROUND,
    LOG,
    LOST_INIT,
    NO_WAIT,
    SPINS_AT,
    UNWOKEN,
    thread,
    threads,
)

EARLY = replace(LOG, milestone=Milestone.BANNER, checkins=0)


def kind(examination: Examination, log: BootLog = LOG) -> tuple[FindingClass | None, Confidence]:
    verdict = diagnose(examination, log)
    return verdict.finding_class, verdict.confidence


def both(picture: object, base: Examination = LOST_INIT, **more: object) -> Examination:
    return replace(base, before=picture, after=picture, **more)  # type: ignore[arg-type]


# ---- lost-init


def test_the_picture_of_a_lost_init_is_certain_with_both_witnesses_and_the_count() -> None:
    verdict = diagnose(LOST_INIT, LOG)
    assert (verdict.outcome, verdict.finding_class) == (Outcome.HANG, FindingClass.LOST_INIT)
    assert verdict.confidence is Confidence.CERTAIN
    assert "CPU#1 never left the reset vector while CPU#0 spins" in verdict.title
    assert any(
        "waits for 4 vCPUs and has 3; its APIC sent a SIPI last (ICR 000c4610)" in why for why in verdict.because
    )
    assert any("CPU#1 0 % (kvm_vcpu_block)" in why for why in verdict.because)


@pytest.mark.parametrize(
    "weaker",
    [
        replace(LOST_INIT, usage=threads(0.99, 0.5, 0, 0)),  # the AP is not asleep
        replace(LOST_INIT, quiet=threads(0.99, 0.5, 0, 0)),  # it was not before the dumps
        replace(LOST_INIT, usage=threads(0, 0, 0, 0)),  # nobody spins
        replace(LOST_INIT, usage=(), quiet=()),  # no second witness at all
        replace(LOST_INIT, wait_loop=None, waited=None),  # not seen in the wait loop
    ],
)
def test_without_a_witness_it_is_only_likely(weaker: Examination) -> None:
    assert kind(weaker) == (FindingClass.LOST_INIT, Confidence.LIKELY)


def test_all_aps_lost_is_a_lost_init_too() -> None:
    picture = seen(running(0), at_reset(1), at_reset(2), at_reset(3))
    verdict = diagnose(both(picture, wait_loop=WaitLoop(4, 1, 0)), LOG)
    assert verdict.finding_class is FindingClass.LOST_INIT
    assert verdict.signature == "lost-init/checkin/reset-vector=3,running=1"


def test_equal_hangs_of_different_aps_have_one_signature() -> None:
    other = seen(running(0, 0xEE2F0), running(1, HALTED, halted=True), running(2, HALTED, halted=True), at_reset(3))
    assert diagnose(both(other), LOG).signature == diagnose(LOST_INIT, LOG).signature


def test_many_lost_aps_are_named_shortly() -> None:
    picture = seen(running(0), *(at_reset(i) for i in range(1, 64)))
    title = diagnose(both(picture, wait_loop=WaitLoop(64, 1, 0)), LOG).title
    assert "CPU#8, … (63 in all)" in title
    assert "CPU#9" not in title


def test_aps_at_the_reset_vector_are_no_lost_init_before_anything_was_to_wake_them() -> None:
    not_yet = replace(LOST_INIT, wait_loop=None, waited=None, sipi_sent="")
    assert kind(not_yet, EARLY)[0] is not FindingClass.LOST_INIT
    assert kind(replace(LOST_INIT, sipi_sent=""), EARLY)[0] is FindingClass.LOST_INIT  # the count says it
    assert kind(replace(not_yet, sipi_sent="000c4610"), EARLY)[0] is FindingClass.LOST_INIT  # the APIC says it
    assert kind(not_yet, LOG)[0] is FindingClass.LOST_INIT  # another AP has come


def test_a_boot_cpu_that_is_halted_waits_for_nobody() -> None:
    halted = both(seen(running(0, halted=True), *LOST_INIT.after.vcpus[1:]), usage=threads(0, 0, 0, 0), quiet=())
    assert kind(replace(halted, wait_loop=None))[0] is FindingClass.ALL_HALTED


def test_a_boot_cpu_at_the_reset_vector_says_nothing_about_inits() -> None:
    nothing_ran = seen(at_reset(0), at_reset(1))
    assert kind(both(nothing_ran, wait_loop=None)) == (FindingClass.HANG_OTHER, Confidence.LIKELY)


def test_an_ap_that_the_host_does_not_let_run_is_not_lost() -> None:
    starved = replace(LOST_INIT, usage=(thread(0, 0.5), thread(1, 0.0, "R")))
    verdict = diagnose(starved, LOG)
    assert (verdict.outcome, verdict.confidence) == (Outcome.UNKNOWN, Confidence.INCONCLUSIVE)
    assert "host" in verdict.title
    done = replace(LOST_INIT, usage=(*threads(0.99, 0), thread(2, 0.0, "R")))
    assert kind(done)[0] is FindingClass.LOST_INIT  # CPU#2 has nothing more to do, and a stray kick means nothing


def test_a_parked_ap_that_does_not_take_its_next_wake_up_is_lost_in_a_later_round() -> None:
    verdict = diagnose(LATER_ROUND, LOG)
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.LOST_INIT, Confidence.CERTAIN)
    assert "later round" in verdict.title
    assert "by its numbering CPU#2" in verdict.because[0]
    assert any("does not tell why" in reason for reason in verdict.because)  # SMM leaves the same picture
    assert verdict.signature == "lost-init/checkin/halted=3,running=1/later-round"
    assert verdict.signature != diagnose(LOST_INIT, LOG).signature
    unnamed = diagnose(replace(LATER_ROUND, wait_loop=replace(UNWOKEN, unwoken=())), LOG)
    assert "1 of CPU#1, CPU#2, CPU#3" in unnamed.because[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"usage": (*threads(0.99, 0), thread(2, 0.0, "R"), thread(3, 0.0))},
        {"usage": threads(0.99, 0, 0.2, 0)},
        {"usage": threads(0, 0, 0, 0)},
        {"wait_loop": replace(UNWOKEN, unwoken=()), "usage": threads(0.99, 0.2, 0, 0)},
        {"progressed": True},
    ],
    ids=["wants to run", "ran", "the boot CPU did not run", "anyone may be meant", "another has come"],
)
def test_one_that_may_still_wake_is_not_lost(changes: dict[str, Any]) -> None:
    verdict = diagnose(replace(LATER_ROUND, **changes), LOG)
    assert (verdict.outcome, verdict.confidence) == (Outcome.UNKNOWN, Confidence.INCONCLUSIVE)


def test_a_later_round_that_all_have_taken_is_no_lost_init() -> None:
    over = replace(LATER_ROUND, wait_loop=WaitLoop(4, 4, 0x7ECA669, later=True))
    assert kind(over)[0] is not FindingClass.LOST_INIT


# ---- nothing to say


def test_a_guest_that_is_not_running_is_unknown() -> None:
    verdict = diagnose(replace(LOST_INIT, running=False, runstate="paused"), LOG)
    assert (verdict.outcome, verdict.finding_class, verdict.confidence) == (Outcome.UNKNOWN, None, Confidence.CERTAIN)
    assert "paused" in verdict.title


def test_one_that_kvm_gave_up_is_the_hosts_doing() -> None:
    verdict = diagnose(replace(LOST_INIT, running=False, runstate="internal-error"), LOG)
    assert (verdict.outcome, verdict.confidence) == (Outcome.RIG, Confidence.CERTAIN)
    assert "this host cannot run such a guest" in verdict.title


@pytest.mark.parametrize("side", ["before", "after"])
def test_without_two_dumps_there_is_no_picture(side: str) -> None:
    assert kind(replace(LOST_INIT, **{side: seen()})) == (None, Confidence.INCONCLUSIVE)  # type: ignore[arg-type]


def test_aps_that_move_on_their_own_are_just_slow() -> None:
    slow = replace(LOST_INIT, before=seen(running(0), running(1, 0xFD077)), after=seen(running(0), running(1, HALTED)))
    assert kind(slow) == (None, Confidence.INCONCLUSIVE)


@pytest.mark.parametrize("picture", [LOST_INIT, NO_WAIT])
def test_under_unknown_firmware_it_says_what_it_sees_and_claims_no_more(picture: Examination) -> None:
    silent = BootLog()
    verdict = diagnose(replace(picture, known_firmware=False), silent)
    assert (verdict.outcome, verdict.confidence) == (Outcome.UNKNOWN, Confidence.INCONCLUSIVE)
    assert f"{len(picture.after.vcpus)} vCPUs: " in verdict.title
    assert diagnose(picture, silent).outcome is Outcome.HANG  # known firmware would have spoken
    speaks = replace(silent, milestone=Milestone.CHECKIN)  # a SeaBIOS of the user's own
    assert diagnose(replace(picture, known_firmware=False), speaks).outcome is Outcome.HANG


# ---- cured-by-looking

WOKEN = seen(running(0), running(1, HALTED, halted=True), *LOST_INIT.after.vcpus[2:])


COUNTED = WaitLoop(4, 4, SPINS_AT)


@pytest.mark.parametrize(
    "woken",
    [
        replace(LOST_INIT, after=WOKEN, progressed=True, wait_loop=COUNTED),
        replace(LOST_INIT, after=WOKEN),  # seen elsewhere, and not counted yet
        replace(LOST_INIT, progressed=True, wait_loop=COUNTED),  # counted after the second dump
    ],
)
def test_asleep_after_its_sipi_and_moved_once_looked_at_is_a_finding(woken: Examination) -> None:
    verdict = diagnose(woken, LOG)
    assert (verdict.outcome, verdict.finding_class) == (Outcome.HANG, FindingClass.CURED_BY_LOOKING)
    assert verdict.confidence is Confidence.CERTAIN
    assert "CPU#1" in verdict.title
    assert verdict.signature.endswith("halted=2,reset-vector=1,running=1")  # as it was before


MOVED = replace(LOST_INIT, after=WOKEN)


@pytest.mark.parametrize(
    "slow",
    [
        replace(MOVED, waited=None),  # the boot CPU had yet to wake its APs
        replace(MOVED, waited=COUNTED),  # nobody was missing
        replace(MOVED, quiet=(thread(0, 0.9), thread(1, 0, "R"))),  # the AP had been woken
        replace(MOVED, quiet=()),  # nobody watched
        replace(MOVED, kvm=False),  # a dump kicks nobody under TCG
        replace(LOST_INIT, progressed=True),  # the console spoke, of whatever
        replace(LOST_INIT, progressed=True, waited=WaitLoop(4, 2, 0), wait_loop=WaitLoop(4, 3, 0)),  # another one came
        replace(MOVED, before=seen(), after=seen(), progressed=True),  # it went on before any dump
        replace(LOST_INIT, before=WOKEN, after=seen(running(0), running(1, 0xFD09B), *LOST_INIT.after.vcpus[2:])),
    ],
)
def test_what_a_slow_host_does_as_well_is_not_cured_by_looking(slow: Examination) -> None:
    assert kind(slow) == (None, Confidence.INCONCLUSIVE)


# ---- ap-lost-later

SIPI_TAKEN = VcpuState(1, 0, 0x1000, 0x10000, False, False, False)


def test_an_ap_that_took_its_sipi_and_sleeps_before_it_reported_was_lost_later() -> None:
    picture = seen(running(0), SIPI_TAKEN, *LOST_INIT.after.vcpus[2:])
    verdict = diagnose(both(picture), LOG)
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.AP_LOST_LATER, Confidence.CERTAIN)
    assert "CPU#1" in verdict.title
    running_on = both(picture, usage=threads(0.5, 0.5, 0, 0))  # it waits for a lock, perhaps
    assert kind(running_on) == (FindingClass.AP_LOST_LATER, Confidence.LIKELY)


# ---- bsp-spin


def test_a_wait_for_a_vcpu_that_does_not_exist_is_a_bsp_spin() -> None:
    phantom = both(ALL_UP, wait_loop=WaitLoop(3, 2, 0), waited=WaitLoop(3, 2, 0))
    assert kind(phantom) == (FindingClass.BSP_SPIN, Confidence.CERTAIN)
    one_up = seen(running(0), SIPI_TAKEN)
    assert kind(both(one_up, wait_loop=WaitLoop(3, 2, 0)))[0] is FindingClass.BSP_SPIN  # the count has all there are


def test_a_boot_cpu_that_the_host_does_not_let_run_may_have_all_it_waits_for() -> None:
    starved = both(ALL_UP, wait_loop=WaitLoop(3, 2, 0), usage=threads(0, 0))
    complete = both(ALL_UP, wait_loop=WaitLoop(2, 2, 0))
    for waits in (starved, complete):
        assert kind(waits) == (None, Confidence.INCONCLUSIVE)
    too_many = both(ALL_UP, wait_loop=WaitLoop(2, 3, 0))  # SeaBIOS waits until they are equal
    assert kind(too_many) == (FindingClass.BSP_SPIN, Confidence.CERTAIN)


# ---- all-halted, livelock, and the rest

DEAD = seen(running(0, 0xEF000, halted=True), running(1, HALTED, halted=True), at_reset(2))


def test_every_vcpu_halted_with_interrupts_off_is_dead_for_certain() -> None:
    assert kind(both(DEAD, NO_WAIT, usage=threads(0, 0, 0), quiet=threads(0, 0, 0)), EARLY) == (
        FindingClass.ALL_HALTED, Confidence.CERTAIN,
    )  # fmt: skip


def test_with_interrupts_on_or_threads_unseen_it_is_only_likely() -> None:
    wakeable = seen(replace(DEAD.vcpus[0], interrupts=True), *DEAD.vcpus[1:])
    asleep = both(wakeable, NO_WAIT, usage=threads(0, 0, 0), quiet=threads(0, 0, 0))
    assert kind(asleep, EARLY) == (FindingClass.ALL_HALTED, Confidence.LIKELY)
    assert kind(both(DEAD, NO_WAIT, usage=(), quiet=()), EARLY) == (FindingClass.ALL_HALTED, Confidence.LIKELY)


def test_one_that_runs_is_enough_for_not_all_halted() -> None:
    boot_cpu_runs = seen(running(0), *DEAD.vcpus[1:])
    assert kind(both(boot_cpu_runs, NO_WAIT), EARLY)[0] is FindingClass.HANG_OTHER
    an_ap_runs = seen(DEAD.vcpus[0], running(1, HALTED), DEAD.vcpus[2])
    assert kind(both(an_ap_runs, NO_WAIT, usage=threads(0, 0.9, 0), quiet=()), EARLY)[0] is FindingClass.HANG_OTHER


def test_the_same_few_addresses_in_every_look_are_a_livelock() -> None:
    in_a_loop = replace(NO_WAIT, boot_cpu=tuple(running(0, 0xEE2E0 + 4 * i) for i in range(8)))
    assert kind(in_a_loop) == (FindingClass.LIVELOCK, Confidence.LIKELY)
    assert kind(replace(in_a_loop, usage=threads(0, 0))) == (FindingClass.HANG_OTHER, Confidence.LIKELY)
    assert kind(NO_WAIT) == (FindingClass.HANG_OTHER, Confidence.LIKELY)  # here and there
    assert kind(replace(in_a_loop, boot_cpu=in_a_loop.boot_cpu[:2]))[0] is FindingClass.HANG_OTHER  # too few looks


def test_code_tells_loops_apart_and_addresses_do_not() -> None:
    in_a_loop = replace(NO_WAIT, boot_cpu=(running(0),) * 8)
    signature = diagnose(in_a_loop, LOG).signature
    assert "code=" in signature
    assert diagnose(replace(in_a_loop, code=b"\xeb\xfe" * 64), LOG).signature != signature
    elsewhere = seen(running(0, SPINS_AT + 16), *ALL_UP.vcpus[1:])
    assert diagnose(both(elsewhere, in_a_loop, boot_cpu=(elsewhere.vcpus[0],) * 8), LOG).signature == signature
    for picture in (LOST_INIT, NO_WAIT):  # known code, and code seen here and there
        assert "code=" not in diagnose(picture, LOG).signature

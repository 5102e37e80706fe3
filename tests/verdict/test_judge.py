from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.firmware.seabios import BootLog
from qstress.firmware.smpscan_console import RoundEnd, ScanRound, SmpscanBoot
from qstress.model import Accel, Confidence, FindingClass, Milestone, Outcome, Verdict
from qstress.verdict.judge import LOOP_RESETS, Doubt, Situation, assess, next_look_s, stalled
from qstress.verdict.limits import Learned, limits
from tests.samples import shape
from tests.verdict.examinations import thread

LIMITS = limits(shape(4, Accel.KVM))
CALM = Situation(
    now_s=100.0, started_s=99.9, expected=4, last_output_s=100.0, returncode=None, stderr="", resets=0,
    panicked=False, silent_since_s=None,
)  # fmt: skip
UP = BootLog(Milestone.FOUND, banners=1, checkins=3, found=4)
BOOTING = BootLog(Milestone.PCI, banners=1)


def outcome(situation: Situation, log: BootLog | SmpscanBoot) -> tuple[Outcome, FindingClass | None]:
    verdict = assess(situation, log, LIMITS)
    assert isinstance(verdict, Verdict)
    return verdict.outcome, verdict.finding_class


def test_a_guest_that_prints_is_left_alone() -> None:
    assert assess(CALM, BOOTING, LIMITS) is None


# ---- ok and slow


def test_ok_needs_found_with_all_vcpus_and_exactly_one_banner() -> None:
    assert outcome(CALM, UP) == (Outcome.OK, None)
    assert outcome(CALM, replace(UP, found=3)) == (Outcome.UNKNOWN, None)
    assert outcome(CALM, replace(UP, banners=0)) == (Outcome.UNKNOWN, None)


def test_slow_is_ok_with_its_reason() -> None:
    usual = limits(shape(4, Accel.KVM), learned=Learned((0.1,) * 50, (0.3,) * 50))
    late = replace(CALM, started_s=98.0, load="16 threads on 2 CPUs")
    verdict = assess(late, UP, usual)
    assert isinstance(verdict, Verdict)
    assert verdict.outcome is Outcome.OK
    assert verdict.title == "slow: Found 4 cpu(s) after 2.0 s, healthy boots here take up to 0.6 s"
    assert verdict.because == ("16 threads on 2 CPUs",)
    for in_time, deadlines in ((replace(late, started_s=99.5), usual), (late, LIMITS)):
        assert assess(in_time, UP, deadlines) == Verdict(Outcome.OK, "Found 4 cpu(s)")


# ---- restarts


@pytest.mark.parametrize(
    ("situation", "log"),
    [
        (CALM, replace(UP, banners=2)),
        (CALM, replace(UP, resumed=True)),
        (replace(CALM, resets=1), UP),
        (replace(CALM, resets=1), BOOTING),
    ],
)
def test_a_restart_inside_a_bringup_is_never_ok(situation: Situation, log: BootLog) -> None:
    assert outcome(situation, log) == (Outcome.RESTART, FindingClass.REPLAYED_INIT)


def test_signs_without_a_reset_are_certain_at_once() -> None:
    watched = replace(CALM, goes_on=True)
    for log in (replace(BOOTING, resumed=True), SmpscanBoot(4, ScanRound(1, replayed=(2,)), 1)):
        verdict = assess(watched, log, LIMITS)
        assert isinstance(verdict, Verdict)
        assert (verdict.finding_class, verdict.confidence) == (FindingClass.REPLAYED_INIT, Confidence.CERTAIN)


@pytest.mark.parametrize("log", [BOOTING, replace(BOOTING, banners=2), replace(BOOTING, resumed=True)])
def test_after_a_reset_the_next_boot_shows_what_it_was(log: BootLog) -> None:
    watched = replace(CALM, resets=1, goes_on=True)
    assert assess(watched, log, LIMITS) is None
    assert assess(replace(watched, last_output_s=100.0 - LIMITS.quiet_s), log, LIMITS) is None
    still = replace(watched, last_output_s=100.0 - 6 * LIMITS.quiet_s)
    for settled in (still, replace(watched, started_s=0.0)):
        verdict = assess(settled, log, LIMITS)
        assert isinstance(verdict, Verdict)
        assert (verdict.finding_class, verdict.confidence) == (FindingClass.REPLAYED_INIT, Confidence.LIKELY)
    came_up = replace(log, milestone=Milestone.FOUND, found=4)
    assert outcome(watched, came_up) == (Outcome.RESTART, FindingClass.REPLAYED_INIT)


def test_after_a_reset_nobody_waits_for_a_moment_that_has_passed() -> None:
    watched = replace(CALM, resets=1, goes_on=True)
    while (verdict := assess(watched, BOOTING, LIMITS)) is None:
        look_s = next_look_s(watched, LIMITS)
        assert look_s > watched.now_s
        watched = replace(watched, now_s=look_s)
    assert isinstance(verdict, Verdict)
    assert watched.now_s == pytest.approx(100.0 + 6 * LIMITS.quiet_s)


def test_a_bringup_that_began_twice_was_reset_and_that_is_no_proof_of_a_replay() -> None:
    cut = SmpscanBoot(4, ScanRound(2), 2)
    assert assess(replace(CALM, goes_on=True), cut, LIMITS) is None
    verdict = assess(CALM, cut, LIMITS)
    assert isinstance(verdict, Verdict)
    assert (verdict.outcome, verdict.confidence) == (Outcome.RESTART, Confidence.LIKELY)


def test_resets_again_and_again_are_a_loop_and_a_few_are_not() -> None:
    looping = replace(CALM, resets=LOOP_RESETS, goes_on=True)
    assert outcome(looping, replace(BOOTING, banners=4)) == (Outcome.RESTART, FindingClass.RESET_LOOP)
    assert outcome(looping, SmpscanBoot(4, ScanRound(7, end=RoundEnd.MISSING, lost=1), 7)) == (
        Outcome.RESTART, FindingClass.RESET_LOOP,
    )  # fmt: skip
    assert assess(replace(looping, resets=LOOP_RESETS - 1), replace(BOOTING, banners=4), LIMITS) is None


def test_unknown_firmware_may_reset_itself_but_not_for_ever() -> None:
    silent = BootLog()
    other = replace(CALM, resets=2, known_firmware=False)
    assert assess(other, silent, LIMITS) is None
    assert assess(replace(other, last_output_s=0.0), silent, LIMITS) is Doubt.NO_PROGRESS
    assert outcome(replace(other, resets=LOOP_RESETS), silent) == (Outcome.RESTART, FindingClass.RESET_LOOP)
    assert outcome(other, BOOTING)[0] is Outcome.RESTART  # it speaks as SeaBIOS does


def test_the_worst_wins() -> None:
    dead = replace(CALM, returncode=-6, stderr="qemu: Assertion `x' failed.", resets=1, panicked=True)
    assert outcome(dead, UP) == (Outcome.CRASH, FindingClass.CRASH)
    assert outcome(replace(dead, returncode=None), UP) == (Outcome.GUEST_PANIC, FindingClass.GUEST_PANIC)


# ---- doubts


def test_silence_of_the_console_is_a_doubt_at_its_limit_and_not_before() -> None:
    log = BootLog(Milestone.CHECKIN, banners=1)
    quiet = replace(CALM, last_output_s=100.0 - LIMITS.quiet_s)
    assert assess(quiet, log, LIMITS) is Doubt.NO_PROGRESS
    assert assess(replace(quiet, last_output_s=quiet.last_output_s + 0.01), log, LIMITS) is None


def test_firmware_that_says_it_waits_in_vain_is_doubted_at_once_and_after_a_look_more_slowly() -> None:
    stuck = SmpscanBoot(4, ScanRound(1, end=RoundEnd.MISSING, lost=1), 1)
    assert assess(CALM, stuck, LIMITS) is Doubt.NO_PROGRESS
    looked = replace(CALM, now_s=100.04, looked_s=100.04)
    assert assess(looked, stuck, LIMITS) is None
    assert assess(replace(looked, now_s=next_look_s(looked, LIMITS)), stuck, LIMITS) is Doubt.NO_PROGRESS


def test_a_boot_cpu_that_was_seen_waiting_is_doubted_at_once_and_after_a_look_more_slowly() -> None:
    waits = replace(CALM, waits=True)
    assert assess(waits, BOOTING, LIMITS) is Doubt.NO_PROGRESS
    assert assess(replace(waits, now_s=100.04, looked_s=100.04), BOOTING, LIMITS) is None
    assert assess(waits, UP, LIMITS) == Verdict(Outcome.OK, "Found 4 cpu(s)")


def test_a_guest_that_was_looked_at_in_vain_is_looked_at_ever_less_often() -> None:
    silent = replace(CALM, now_s=0.0, started_s=0.0, last_output_s=0.0)
    deadlines = replace(LIMITS, ask_s=0.6, quiet_s=1.0, boot_s=1000.0)
    looks, now_s = [], 0.0
    while now_s < 60.0:
        now_s = next_look_s(silent, deadlines)
        silent = replace(silent, now_s=now_s)
        if assess(silent, BOOTING, deadlines) is Doubt.NO_PROGRESS:
            looks.append(now_s)
            silent = replace(silent, looked_s=now_s)
    assert looks[0] == 1.0
    assert len(looks) == 12  # 1.5 ** 11 > 60
    heard = replace(silent, last_output_s=now_s + 1.0)
    assert next_look_s(heard, deadlines) == now_s + 1.6  # it spoke after the last look: begin anew


def test_silence_of_the_monitor_is_a_doubt_of_its_own() -> None:
    silent = replace(CALM, now_s=99.0 + LIMITS.reply_s, last_output_s=99.0 + LIMITS.reply_s, silent_since_s=99.0)
    assert assess(silent, BootLog(), LIMITS) is Doubt.SILENT_MONITOR
    assert assess(replace(silent, silent_since_s=99.1), BootLog(), LIMITS) is None


def test_a_bringup_that_never_ends_is_unknown_and_says_what_was_seen_last() -> None:
    endless = replace(CALM, started_s=100.0 - LIMITS.boot_s, seen="the host gives CPU#1 no CPU time")
    verdict = assess(endless, BootLog(Milestone.BANNER, banners=1), LIMITS)
    assert isinstance(verdict, Verdict)
    assert (verdict.outcome, verdict.confidence) == (Outcome.UNKNOWN, Confidence.INCONCLUSIVE)
    assert verdict.title == "given up after 32 s at banner: the host gives CPU#1 no CPU time"


def test_the_next_look_is_at_the_first_deadline() -> None:
    assert next_look_s(CALM, LIMITS) == CALM.last_output_s + LIMITS.ask_s
    asked = replace(CALM, now_s=CALM.last_output_s + LIMITS.ask_s)
    assert next_look_s(asked, LIMITS) == CALM.last_output_s + LIMITS.quiet_s
    waiting = replace(CALM, silent_since_s=100.0 - LIMITS.reply_s + 0.1)
    assert next_look_s(waiting, LIMITS) == pytest.approx(100.1)
    for situation in (asked, waiting):
        look_s = next_look_s(situation, LIMITS)
        assert assess(replace(situation, now_s=look_s), BootLog(), LIMITS) is not None


# ---- a silent monitor


@pytest.mark.parametrize(
    ("state", "oob", "kind"), [("T", False, "stopped"), ("S", True, "main-loop"), ("S", False, "monitors")]
)
def test_three_kinds_of_stall_are_told_apart(state: str, oob: bool, kind: str) -> None:
    busy = (thread(0, 0.0, "S"), thread(1, 0.9, "R"))
    verdict = stalled(state, oob_answers=oob, waited_s=9.0, log=BootLog(), threads=busy)
    assert (verdict.outcome, verdict.finding_class) == (Outcome.MONITOR_STALL, FindingClass.MONITOR_STALL)
    assert f"/{kind}/" in verdict.signature
    assert verdict.because[-1] == "its threads: 1 in unknown, 1 running"


@pytest.mark.parametrize("oob", [True, False])
def test_a_qemu_that_the_host_starves_is_no_finding(oob: bool) -> None:
    starved = (thread(0, 0.0, "S"), thread(1, 0.001, "R"))
    verdict = stalled("S", oob_answers=oob, waited_s=9.0, log=BootLog(), threads=starved)
    assert verdict.outcome is Outcome.RIG
    assert "1 of its 2 threads" in verdict.title
    assert stalled("T", oob_answers=oob, waited_s=9.0, log=BootLog(), threads=starved).outcome is Outcome.MONITOR_STALL

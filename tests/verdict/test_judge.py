from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.milestones import BootLog
from qstress.model import Accel, Confidence, FindingClass, Milestone, Outcome, Verdict
from qstress.verdict.judge import Doubt, Situation, assess, next_look_s, stalled
from qstress.verdict.limits import limits
from tests.samples import shape

LIMITS = limits(shape(4, Accel.KVM))
CALM = Situation(
    now_s=100.0, started_s=99.9, expected=4, last_output_s=100.0, returncode=None, stderr="", resets=0,
    panicked=False, silent_since_s=None,
)  # fmt: skip
UP = BootLog(Milestone.FOUND, banners=1, checkins=3, found=4)


def outcome(situation: Situation, log: BootLog) -> tuple[Outcome, FindingClass | None]:
    verdict = assess(situation, log, LIMITS)
    assert isinstance(verdict, Verdict)
    return verdict.outcome, verdict.finding_class


def test_a_guest_that_prints_is_left_alone() -> None:
    assert assess(CALM, BootLog(Milestone.PCI, banners=1), LIMITS) is None


def test_ok_needs_found_with_all_vcpus_and_exactly_one_banner() -> None:
    assert outcome(CALM, UP) == (Outcome.OK, None)
    assert outcome(CALM, replace(UP, found=3)) == (Outcome.UNKNOWN, None)
    assert outcome(CALM, replace(UP, banners=0)) == (Outcome.UNKNOWN, None)


@pytest.mark.parametrize(
    ("situation", "log"),
    [
        (CALM, replace(UP, banners=2)),
        (CALM, replace(UP, resumed=True)),
        (replace(CALM, resets=1), UP),
        (replace(CALM, resets=1), BootLog(Milestone.PCI, banners=1)),
    ],
)
def test_a_restart_inside_a_bringup_is_never_ok(situation: Situation, log: BootLog) -> None:
    assert outcome(situation, log) == (Outcome.RESTART, FindingClass.REPLAYED_INIT)


def test_the_worst_wins() -> None:
    dead = replace(CALM, returncode=-6, stderr="qemu: Assertion `x' failed.", resets=1, panicked=True)
    assert outcome(dead, UP) == (Outcome.CRASH, FindingClass.CRASH)
    assert outcome(replace(dead, returncode=None), UP) == (Outcome.GUEST_PANIC, FindingClass.GUEST_PANIC)


def test_silence_of_the_console_is_a_doubt_at_its_limit_and_not_before() -> None:
    log = BootLog(Milestone.CHECKIN, banners=1)
    quiet = replace(CALM, last_output_s=100.0 - LIMITS.quiet_s)
    assert assess(quiet, log, LIMITS) is Doubt.NO_PROGRESS
    assert assess(replace(quiet, last_output_s=quiet.last_output_s + 0.01), log, LIMITS) is None


def test_silence_of_the_monitor_is_a_doubt_of_its_own() -> None:
    silent = replace(CALM, now_s=99.0 + LIMITS.reply_s, last_output_s=99.0 + LIMITS.reply_s, silent_since_s=99.0)
    assert assess(silent, BootLog(), LIMITS) is Doubt.SILENT_MONITOR
    assert assess(replace(silent, silent_since_s=99.1), BootLog(), LIMITS) is None


def test_a_bringup_that_never_ends_but_moves_is_unknown() -> None:
    verdict = assess(replace(CALM, started_s=100.0 - LIMITS.boot_s), BootLog(Milestone.BANNER, banners=1), LIMITS)
    assert isinstance(verdict, Verdict)
    assert (verdict.outcome, verdict.confidence) == (Outcome.UNKNOWN, Confidence.INCONCLUSIVE)


def test_the_next_look_is_at_the_first_deadline() -> None:
    assert next_look_s(CALM, LIMITS) == CALM.last_output_s + LIMITS.quiet_s
    waiting = replace(CALM, silent_since_s=100.0 - LIMITS.reply_s + 0.1)
    assert next_look_s(waiting, LIMITS) == pytest.approx(100.1)
    for situation in (CALM, waiting):
        look_s = next_look_s(situation, LIMITS)
        assert assess(replace(situation, now_s=look_s), BootLog(), LIMITS) is not None


@pytest.mark.parametrize(
    ("state", "oob", "kind"), [("T", False, "stopped"), ("S", True, "in-band"), ("S", False, "main-loop")]
)
def test_three_kinds_of_stall_are_told_apart(state: str, oob: bool, kind: str) -> None:
    verdict = stalled(state, oob_answers=oob, waited_s=9.0, log=BootLog())
    assert verdict.outcome is Outcome.MONITOR_STALL
    assert f"/{kind}/" in verdict.signature

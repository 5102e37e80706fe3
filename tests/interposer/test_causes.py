"""Window logs made by hand; real ones are in tests/live/test_windows.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.interposer.causes import add_causes, duty_cycle_until_init
from qstress.interposer.windows import Log, RecordKind
from qstress.model import Confidence, FindingClass, Outcome, Verdict
from tests.interposer.test_windows import RESET_VECTOR, RUNNABLE, log, look

LOST = Verdict(Outcome.HANG, "lost INIT: CPU#1", FindingClass.LOST_INIT, "lost-init/x", Confidence.CERTAIN, ("seen",))
SPIN = Verdict(Outcome.HANG, "CPU#0 waits", FindingClass.BSP_SPIN, "bsp-spin/x", Confidence.CERTAIN)
#: AP 1 is between read and write-back when AP 2 is woken, and waits on; AP 2 was read before and came up.
A_LOST_INIT = log(*look(2, 10, 20), *look(1, 100, 200), (150, 2, RecordKind.WOKEN, 0), *look(1, 300, 310))
#: AP 1's read consumes its INIT, and its write-back puts it at the reset vector.
A_REPLAY = log(*look(1, 100, 200, latched=1, mp=RUNNABLE, where=RESET_VECTOR))


def test_a_lost_init_gets_its_cause() -> None:
    verdict = add_causes(LOST, A_LOST_INIT, smp=4, zero_ns=0)
    assert verdict.because[0] == "seen"
    (line,) = verdict.because[1:]
    assert "AP 1 was read at 0.000100 s and written back at 0.000200 s" in line
    assert (verdict.finding_class, verdict.title) == (LOST.finding_class, LOST.title)


def test_a_spin_whose_log_shows_a_replay_is_a_replay() -> None:
    verdict = add_causes(SPIN, A_REPLAY, smp=4, zero_ns=0)
    assert (verdict.outcome, verdict.finding_class) == (Outcome.HANG, FindingClass.REPLAYED_INIT)
    assert verdict.signature == "replayed-init/x"
    assert "CPU#1" in verdict.title
    assert add_causes(SPIN, Log(), smp=4, zero_ns=0) == SPIN


@pytest.mark.parametrize("kind", [FindingClass.BSP_SPIN, FindingClass.RESET_LOOP])
def test_what_a_replay_can_leave_behind_is_named_by_its_cause(kind: FindingClass) -> None:
    outcome = Outcome.RESTART if kind is FindingClass.RESET_LOOP else Outcome.HANG
    verdict = add_causes(Verdict(outcome, "x", kind, f"{kind}/pci"), A_REPLAY, smp=4, zero_ns=0)
    assert (verdict.outcome, verdict.finding_class) == (outcome, FindingClass.REPLAYED_INIT)
    assert verdict.signature == "replayed-init/pci"


def test_a_lost_init_beside_a_replay_stays_one() -> None:
    assert add_causes(LOST, A_REPLAY, smp=4, zero_ns=0).finding_class is FindingClass.LOST_INIT


def test_what_a_bring_up_after_the_replay_shows_is_not_its_cause() -> None:
    """Seen in 49 of 477 replays in place: the guest reset itself twice more, and the same AP then lost its INIT."""
    reset = [(1000, vcpu, RecordKind.WRITE, 0x0909) for vcpu in range(3)]
    replay = look(1, 100, 200, latched=1, mp=RUNNABLE, where=RESET_VECTOR)
    lost = [*look(2, 1010, 1020), *look(1, 1100, 1200), (1150, 2, RecordKind.WOKEN, 0), *look(1, 1300, 1310)]
    went_on = log(*replay, *reset, *lost)
    judged = replace(SPIN, finding_class=FindingClass.REPLAYED_INIT)
    (line,) = add_causes(judged, went_on, smp=4, zero_ns=0).because
    assert line.startswith("AP 1 was read at 0.000100 s with latched_init=1")
    (line,) = add_causes(LOST, went_on, smp=4, zero_ns=0).because[1:]
    assert line.startswith("AP 1 was read at 0.001100 s and written back")


def test_a_race_that_a_whole_log_does_not_show_is_only_likely() -> None:
    nothing = log(*look(1, 100, 200, flags=0))
    verdict = add_causes(LOST, nothing, smp=4, zero_ns=0)
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.LOST_INIT, Confidence.LIKELY)
    assert "shows neither" in verdict.because[-1]
    for unsure in (replace(nothing, torn=1), replace(nothing, overwritten=1), Log()):
        assert add_causes(LOST, unsure, smp=4, zero_ns=0) == LOST
    assert add_causes(LOST, A_LOST_INIT, smp=4, zero_ns=0).confidence is Confidence.CERTAIN
    stall = Verdict(Outcome.MONITOR_STALL, "x", FindingClass.MONITOR_STALL)
    assert add_causes(stall, nothing, smp=4, zero_ns=0) == stall


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.UNKNOWN, Outcome.RIG])
def test_what_is_no_finding_stays_as_it_is(outcome: Outcome) -> None:
    verdict = Verdict(outcome, "x")
    assert add_causes(verdict, A_REPLAY, smp=4, zero_ns=0) is verdict


def test_the_duty_cycle_ends_at_the_first_sign_of_the_init() -> None:
    exposed = duty_cycle_until_init(A_LOST_INIT, zero_ns=0, end_ns=10**9)
    assert exposed == pytest.approx((10 + 50) / 150)
    quiet = log(*look(1, 100, 200))
    assert duty_cycle_until_init(quiet, zero_ns=0, end_ns=1_000_000) == pytest.approx(0.1)
    assert duty_cycle_until_init(Log(), zero_ns=0, end_ns=10) is None
    assert duty_cycle_until_init(quiet, zero_ns=5, end_ns=5) is None

"""What a watch makes of what it is told, scenario by scenario; ``playbook`` tells and says what must come of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.firmware.dumps_only import DumpsOnlyBoot
from qstress.firmware.smpscan_console import SmpscanProgress, SmpscanSeries
from qstress.interposer.windows import RecordKind
from qstress.model import Confidence, FindingClass, Milestone, Observation, Outcome, WaitLoop
from qstress.trial import watch as watch_module
from qstress.trial.events import (
    AbandonCommands,
    AskBootCpu,
    BootCpuSeen,
    CountHealthy,
    Decide,
    Dumped,
    Enough,
    GuestPanicked,
    GuestReset,
    HammersRested,
    HoldAps,
    LookAtStall,
    LookCloser,
    Looked,
    LookFailed,
    Output,
    PlugLostAp,
    PlugTried,
    QemuExited,
    ReleaseAps,
    RigFailed,
    StallSeen,
    Started,
    StartHammer,
    StopHammer,
    TellChurn,
    Tick,
    WakeAt,
    WatchEvent,
    WindowLogRead,
)
from qstress.trial.states import WatchState
from qstress.trial.watch import SERIES_OVER, Watch, WatchSettings
from tests.interposer.test_windows import INIT_RECEIVED, RESET_VECTOR, RUNNABLE, log, look
from tests.samples import at_reset, running, seen
from tests.trial.playbook import BANNER, CHECKIN, FOUND, LIMITS, PCI, SETTINGS, Playbook, started
from tests.verdict.examinations import HALTED, LOST, LOST_INIT, NO_WAIT, SPINS_AT, thread, threads

WAITS, DONE = WaitLoop(4, 3, SPINS_AT), WaitLoop(4, 4, SPINS_AT)
ALONE = replace(SETTINGS, hammers=())
ABOUT = b"smpscan 1 cpus=4 ids=4 khz=2600000 rounds=0\n"
SERIES = replace(ALONE, goes_on=False, in_series=True, most=10, limits=replace(LIMITS, ask_s=float("inf")))


def booted(*lines: Output, settings: WatchSettings = ALONE) -> Playbook:
    """A guest that has printed *lines*."""
    playbook = started(settings)
    for line in lines:
        playbook << line
    playbook << Tick()
    if settings.hammers:
        playbook >> StartHammer(0)
    return playbook


def booted_to(milestone: Milestone, settings: WatchSettings = ALONE) -> Playbook:
    """A guest that has come to *milestone* in so many lines, and whose churn was told."""
    playbook = started(settings)
    for line in (BANNER, PCI, CHECKIN)[: milestone.value]:
        playbook << line
    playbook << Tick()
    for reached in list(Milestone)[1 : milestone.value + 1]:
        playbook >> TellChurn(reached)
    if settings.hammers:
        playbook >> StartHammer(0)
    return playbook


def doubted(settings: WatchSettings = ALONE) -> Playbook:
    """A guest that fell silent after its first check-in, and at which somebody looks closer now."""
    playbook = booted_to(Milestone.CHECKIN, settings)
    playbook.after(0.5) << Tick() >> AskBootCpu()
    playbook << BootCpuSeen(WAITS) << Tick()
    if settings.hammers:
        playbook >> StopHammer(0)
    playbook >> ReleaseAps() >> LookCloser()
    return playbook


# ---- from the start on


def test_aps_may_be_held_and_the_first_tick_comes_at_once() -> None:
    playbook = Playbook() << Started(99.0)
    playbook >> HoldAps() >> WakeAt(100.0)
    assert playbook.watch.zero_ns == 99 * 10**9


def test_a_hammer_begins_with_the_first_tick_and_the_next_look_is_when_silence_says_something() -> None:
    playbook = started() << Tick() >> StartHammer(0)
    assert playbook.wakes_in() == 0.5


def test_news_asks_for_a_tick_and_half_a_line_does_not() -> None:
    playbook = started() << Tick() >> StartHammer(0)
    playbook << Output(b"SeaBIOS (ver")
    with pytest.raises(AssertionError, match="does not want to be woken"):
        playbook.wakes_in()
    playbook << Output(b"sion 1)\n") >> WakeAt(100.0)


def test_a_hammer_keeps_to_its_phases() -> None:
    playbook = started(
        replace(SETTINGS, hammers=((Milestone.PCI, Milestone.CHECKIN), (Milestone.CHECKIN, Milestone.FOUND)))
    )
    playbook << Tick()
    playbook << BANNER << Tick() >> TellChurn(Milestone.BANNER)
    playbook << PCI << Tick() >> TellChurn(Milestone.PCI) >> StartHammer(0)
    playbook << CHECKIN << Tick() >> TellChurn(Milestone.CHECKIN) >> StopHammer(0) >> StartHammer(1)
    playbook << FOUND << Tick() >> StopHammer(1) >> ReleaseAps() >> Decide
    playbook.is_at_rest()


def test_the_churn_is_told_of_each_milestone_once_although_one_read_held_several() -> None:
    playbook = started(ALONE) << Output(BANNER.data + PCI.data + CHECKIN.data) << Tick()
    playbook >> TellChurn(Milestone.BANNER) >> TellChurn(Milestone.PCI) >> TellChurn(Milestone.CHECKIN)
    playbook << CHECKIN << Tick()
    playbook.is_at_rest()


def test_all_vcpus_up_is_ok_and_nothing_is_hammered_or_held_any_more() -> None:
    playbook = booted_to(Milestone.CHECKIN, SETTINGS).after(0.2) << FOUND << Tick()
    playbook >> StopHammer(0) >> ReleaseAps()
    verdict = playbook.verdict
    assert (verdict.outcome, verdict.title) == (Outcome.OK, "Found 4 cpu(s)")
    assert playbook.watch.times.reached_s[Milestone.FOUND] == playbook.watch.times.decided_s == 100.2


def test_too_few_vcpus_are_not_understood() -> None:
    playbook = booted_to(Milestone.CHECKIN) << Output(b"Found 3 cpu(s) max supported 4 cpu(s)\n") << Tick()
    assert playbook.verdict.outcome is Outcome.UNKNOWN


def test_a_boot_slower_than_this_host_is_used_to_is_ok_and_says_so_with_the_load() -> None:
    playbook = booted_to(Milestone.CHECKIN, replace(ALONE, limits=replace(LIMITS, slow_s=0.1))).after(0.4) << FOUND
    verdict = (playbook << Tick()).verdict
    assert (verdict.outcome, verdict.because) == (Outcome.OK, ("2 threads on 2 CPUs",))
    assert verdict.title.startswith("slow: ")


def test_one_that_moves_for_ever_is_given_up() -> None:
    playbook = booted_to(Milestone.PCI, replace(ALONE, limits=replace(LIMITS, ask_s=float("inf"))))
    for _ in range(40):
        playbook.after(0.75) << Output(b"x\n") << Tick()
        if not playbook.goes_on:
            break
    assert playbook.verdict.title == "given up after 30 s at pci"


# ---- what QEMU and its guest do by themselves


def test_a_qemu_that_was_killed_is_a_crash_with_its_last_words() -> None:
    playbook = booted_to(Milestone.PCI) << QemuExited(-9, "words") >> WakeAt(100.0)
    verdict = (playbook << Tick()).verdict
    assert (verdict.outcome, verdict.finding_class) == (Outcome.CRASH, FindingClass.CRASH)
    assert "SIGKILL" in verdict.title


@pytest.mark.parametrize(
    "answer", [LookFailed(), Looked(LOST_INIT)], ids=["no-answer", "an-answer"]
)  # fmt: skip
def test_a_qemu_that_ends_during_a_closer_look_is_a_crash_and_no_hang(answer: WatchEvent) -> None:
    playbook = doubted() << HammersRested() << QemuExited(-11)
    playbook << answer >> HoldAps() >> WakeAt
    assert (playbook << Tick()).verdict.outcome is Outcome.CRASH


def test_a_qemu_that_ends_while_its_boot_cpu_is_asked_is_a_crash() -> None:
    playbook = booted_to(Milestone.PCI).after(0.5) << Tick() >> AskBootCpu()
    playbook << QemuExited(1) << BootCpuSeen(None) >> WakeAt
    assert (playbook << Tick()).verdict.outcome is Outcome.CRASH


def test_a_qemu_that_has_ended_is_not_asked_anything() -> None:
    playbook = booted_to(Milestone.PCI).after(0.5) << QemuExited(0) << Tick()
    assert playbook.verdict.outcome is Outcome.CRASH


def test_a_guest_panic_is_told() -> None:
    playbook = booted_to(Milestone.PCI) << GuestPanicked() >> WakeAt
    assert (playbook << Tick()).verdict.outcome is Outcome.GUEST_PANIC


def test_a_cpu_that_says_in_resume_without_a_reset_replayed_its_init_for_certain() -> None:
    verdict = (booted_to(Milestone.PCI) << Output(b"In resume (status=0)\n") << Tick()).verdict
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.REPLAYED_INIT, Confidence.CERTAIN)


def test_after_a_reset_one_sees_what_it_comes_to() -> None:
    playbook = booted_to(Milestone.PCI) << GuestReset(1) >> WakeAt
    playbook << Tick()
    assert playbook.goes_on
    verdict = (playbook.after(0.1) << BANNER << CHECKIN << FOUND << Tick()).verdict
    assert (verdict.outcome, verdict.finding_class) == (Outcome.RESTART, FindingClass.REPLAYED_INIT)


def test_a_guest_that_was_reset_and_stands_still_is_a_restart_once_it_has_settled() -> None:
    playbook = booted_to(Milestone.PCI) << GuestReset(1) << Tick()
    playbook.after(0.5) << Tick() >> AskBootCpu()
    playbook << BootCpuSeen(None) << Tick()
    assert playbook.goes_on
    assert (playbook.after(5.5) << Tick()).verdict.outcome is Outcome.RESTART


def test_a_guest_that_resets_again_and_again_is_a_reset_loop() -> None:
    playbook = booted_to(Milestone.BANNER)
    for count in range(1, 6):
        playbook.after(0.1) << GuestReset(count) << BANNER << Tick()
        assert playbook.goes_on
    assert (playbook << GuestReset(6) << Tick()).verdict.finding_class is FindingClass.RESET_LOOP


# ---- asking the boot CPU


def test_a_silent_boot_cpu_is_asked_once_a_silence_long_before_that_is_doubtful() -> None:
    playbook = booted_to(Milestone.PCI)
    assert playbook.wakes_in() == 0.5
    playbook.after(0.5) << Tick() >> AskBootCpu()
    playbook << BootCpuSeen(None) >> WakeAt
    playbook << Tick()
    assert playbook.wakes_in() == 0.5
    playbook.after(0.1) << Output(b"x\n")
    playbook.after(0.5) << Tick() >> AskBootCpu()


def test_before_its_pci_lines_it_is_not_asked() -> None:
    playbook = booted_to(Milestone.BANNER).after(0.9) << Tick()
    playbook.is_at_rest()


def test_one_that_waits_is_looked_at_at_once() -> None:
    playbook = booted_to(Milestone.CHECKIN).after(0.5) << Tick() >> AskBootCpu()
    playbook << BootCpuSeen(WAITS) << Tick() >> ReleaseAps() >> LookCloser()


@pytest.mark.parametrize("loop", [None, DONE])
def test_one_that_does_not_wait_is_left_alone_until_its_silence_is_doubtful(loop: WaitLoop | None) -> None:
    playbook = booted_to(Milestone.CHECKIN).after(0.5) << Tick() >> AskBootCpu()
    playbook << BootCpuSeen(loop) << Tick()
    playbook.after(0.4) << Tick()
    playbook.after(0.1) << Tick() >> ReleaseAps() >> LookCloser()


def test_what_it_said_counts_no_longer_once_the_guest_has_spoken() -> None:
    playbook = booted_to(Milestone.CHECKIN).after(0.5) << Tick() >> AskBootCpu()
    playbook.after(0.01) << CHECKIN << BootCpuSeen(WAITS) << Tick()
    playbook.is_at_rest()


# ---- the closer look


def test_hammering_stops_and_aps_are_released_before_anybody_looks() -> None:
    playbook = booted_to(Milestone.BANNER, SETTINGS).after(1.0) << Tick()
    playbook >> StopHammer(0) >> ReleaseAps() >> LookCloser()


def test_a_lost_init_is_believed_at_once() -> None:
    verdict = (doubted() << HammersRested() << Looked(LOST_INIT)).verdict
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.LOST_INIT, Confidence.CERTAIN)


def test_a_guest_that_still_moves_is_left_alone_and_looked_at_ever_less_often() -> None:
    playbook = doubted(SETTINGS) << HammersRested()
    playbook.after(0.1) << Looked(replace(LOST_INIT, progressed=True)) >> HoldAps() >> WakeAt
    playbook << Tick()  # and no hammer begins
    assert playbook.wakes_in() == pytest.approx(0.3)  # half of the silence so far
    playbook.after(0.3) << Tick() >> ReleaseAps() >> LookCloser()


def test_hammers_go_on_once_the_guest_speaks_after_a_look_that_was_not_believed() -> None:
    playbook = doubted(SETTINGS) << HammersRested() << Looked(replace(LOST_INIT, progressed=True)) >> HoldAps()
    playbook.after(0.1) << CHECKIN << Tick() >> StartHammer(0)


def test_what_is_only_likely_needs_a_longer_silence() -> None:
    likely = Looked(replace(LOST_INIT, quiet=threads(0.99, 0.5, 0, 0), usage=threads(0.99, 0.5, 0, 0)))
    playbook = doubted() << HammersRested() << likely >> HoldAps()
    assert playbook.watch.looks.said.startswith("lost INIT")
    playbook.after(6.0) << Tick() >> ReleaseAps() >> LookCloser()
    assert (playbook << HammersRested() << likely).verdict.confidence is Confidence.LIKELY


def test_a_guest_that_somebody_paused_is_not_called_hung() -> None:
    nothing = Observation(0.0, ())
    paused = replace(LOST_INIT, before=nothing, after=nothing, running=False, runstate="paused")
    verdict = (doubted() << HammersRested() << Looked(paused)).verdict
    assert (verdict.outcome, verdict.title) == (Outcome.UNKNOWN, "the guest is not running: paused")


def test_when_it_is_given_up_the_last_look_is_told() -> None:
    playbook = doubted() << HammersRested() << Looked(replace(LOST_INIT, progressed=True)) >> HoldAps()
    assert (playbook.after(30) << Tick()).verdict.title == "given up after 30 s at checkin: still moving"


# ---- faults of ours that `make accuracy` found in November


def test_what_came_up_before_it_could_be_looked_at_is_not_judged_by_where_it_stands() -> None:
    """ApFault 1: a smpscan that came up between the doubt and the look was called all-halted."""
    halted = seen(running(0, 0xF1100, halted=True), *(running(i, 0xF1200, halted=True) for i in (1, 2, 3)))
    stands = replace(NO_WAIT, before=halted, after=halted, usage=threads(0, 0, 0, 0), quiet=threads(0, 0, 0, 0))
    playbook = started(replace(ALONE, goes_on=False), SmpscanProgress()) << Output(ABOUT + b"(") << Tick()
    playbook >> TellChurn(Milestone.BANNER) >> TellChurn(Milestone.PCI)
    playbook.after(1.0) << Tick() >> AskBootCpu()
    playbook << BootCpuSeen(None) << Tick() >> ReleaseAps() >> LookCloser()
    playbook.after(0.1) << Output(b")")
    playbook.after(0.1) << HammersRested()
    playbook << Looked(stands) >> HoldAps() >> WakeAt
    assert (playbook << Tick()).verdict.outcome is Outcome.OK
    assert (doubted() << HammersRested() << Looked(stands)).verdict.finding_class is FindingClass.ALL_HALTED


def test_what_comes_up_because_it_is_looked_at_is_cured_by_looking_and_not_ok() -> None:
    """ApFault 2: the cure of fault 1 hid it; what comes after the hammers rest is the look's to judge."""
    cured = replace(LOST_INIT, after=seen(*(running(i, HALTED, halted=True) for i in range(4))), wait_loop=DONE)
    playbook = doubted() << HammersRested()
    playbook.after(0.05) << FOUND
    verdict = (playbook.after(0.05) << Looked(cured)).verdict
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.CURED_BY_LOOKING, Confidence.CERTAIN)


def series_replayed(*records: tuple[int, int, RecordKind, int]) -> Playbook:
    """A series whose second bring-up, from 100.2 s on, replayed the INIT of AP 1, and what was recorded of it (us)."""
    playbook = Playbook(SERIES, SmpscanSeries(), at_s=100.0)
    playbook << Started(100.0) >> HoldAps()
    playbook << Output(ABOUT + b"()(") << Tick() >> CountHealthy(1, 1) >> TellChurn >> TellChurn
    playbook.after(0.2) << Output(b"\x81)(") << Tick() >> ReleaseAps() >> Decide
    return playbook << WindowLogRead(log(*records))


def test_a_replay_in_place_is_explained_by_its_own_bring_up() -> None:
    """ApFault 3: it was given the window of a bring-up after it, in which the same AP then lost its INIT."""
    us = 100_100_000
    replay = look(1, us, us + 100, latched=1, mp=RUNNABLE, where=RESET_VECTOR)
    resets = [(us + 900, vcpu, RecordKind.WRITE, 0x0909) for vcpu in range(3)]
    lost = [*look(2, us + 910, us + 920), *look(1, us + 1000, us + 1100), (us + 1050, 2, RecordKind.WOKEN, 0)]
    verdict = series_replayed((us - 50, 0, RecordKind.WRITE, 0x0909), *replay, *resets, *lost).verdict
    assert verdict.finding_class is FindingClass.REPLAYED_INIT
    (line,) = [reason for reason in verdict.because if reason.startswith("AP ")]
    assert "with latched_init=1" in line


def test_the_window_log_tells_when_a_bring_up_of_a_series_began() -> None:
    us = 100_100_000
    playbook = series_replayed((us - 50, 0, RecordKind.WRITE, 0x0909), *look(1, us, us + 100, latched=1, mp=RUNNABLE))
    assert playbook.watch.zero_ns == (us - 50) * 1000
    assert playbook.verdict.because[-1].startswith("the window log is whole")


def test_an_init_that_was_read_before_its_sipi_came_is_no_replay() -> None:
    """ApFault 4: an AP in INIT_RECEIVED is written back as it was, and starts where its SIPI says."""
    us = 100_000_100
    for mp, kind in ((INIT_RECEIVED, FindingClass.BSP_SPIN), (RUNNABLE, FindingClass.REPLAYED_INIT)):
        up = seen(running(0), *(running(i, HALTED, halted=True) for i in (1, 2, 3)))
        playbook = doubted() << HammersRested() << Looked(replace(LOST_INIT, before=up, after=up))
        assert playbook.verdict.finding_class is FindingClass.BSP_SPIN
        recorded = log(*look(1, us, us + 100, latched=1, mp=mp, where=RESET_VECTOR))
        assert (playbook << WindowLogRead(recorded)).verdict.finding_class is kind


def stalled(settings: WatchSettings = SETTINGS) -> Playbook:
    """A guest whose hammer's command has been unanswered for eight seconds, and at which somebody looks now."""
    playbook = booted_to(Milestone.BANNER, settings).after(0.9) << Output(b"x\n")
    playbook.after(7.1 + 0.9)
    playbook << Output(b"x\n") << Tick(silent_since_s=100.5) >> StopHammer(0) >> ReleaseAps() >> LookAtStall()
    return playbook


def test_a_blocked_main_loop_is_told_by_its_real_sign() -> None:
    """ApFault 5: while somebody keeps the big lock, only out-of-band commands are answered; it was called a vCPU that
    does not answer."""
    waiting = tuple(thread(i, 0.0, "S", "futex_wait_queue") for i in range(3))
    playbook = stalled().after(2.2) << StallSeen("S", True, waiting, 100.5)
    verdict = (playbook >> AbandonCommands()).verdict
    assert (verdict.outcome, verdict.signature) == (Outcome.MONITOR_STALL, "monitor-stall/main-loop/banner")
    assert "vCPU" not in verdict.title
    assert verdict.because[-1] == "its threads: 3 in futex_wait_queue"


def test_a_cpu_that_was_plugged_in_and_that_nobody_wakes_is_not_called_lost() -> None:
    """ApFault 6: an AP at the reset vector is no news without a sign that somebody was to wake it."""
    plugged = seen(running(0, HALTED), running(1, HALTED, halted=True), at_reset(2))
    idle = replace(NO_WAIT, before=plugged, after=plugged, usage=threads(0.99, 0, 0), quiet=threads(0.99, 0, 0))
    playbook = booted_to(Milestone.PCI).after(0.5) << Tick() >> AskBootCpu()
    playbook << BootCpuSeen(None)
    playbook.after(0.5) << Tick() >> ReleaseAps() >> LookCloser()
    playbook << HammersRested() << Looked(idle) >> HoldAps()
    assert not playbook.watch.looks.said.startswith("lost INIT")


# ---- a monitor that is silent


def test_a_stopped_qemu_is_a_monitor_stall_for_certain() -> None:
    playbook = stalled() << StallSeen("T", False, (), 100.5) >> AbandonCommands()
    verdict = playbook.verdict
    assert (verdict.title, verdict.confidence) == (
        "monitor silent: the process is stopped (state T)",
        Confidence.CERTAIN,
    )


def test_a_qemu_that_the_host_starves_is_the_hosts_fault() -> None:
    starved = (thread(0, 0.0, "R"), thread(1, 0.0, "S"))
    playbook = stalled() << StallSeen("R", False, starved, 100.5) >> AbandonCommands()
    assert playbook.verdict.outcome is Outcome.RIG
    assert playbook.watch.rig_reason == "starved"


def test_when_not_even_out_of_band_commands_are_answered_that_is_said() -> None:
    assert "not even" in (stalled() << StallSeen("S", False, (), 100.5)).verdict.title


def test_a_lazy_monitor_that_answered_meanwhile_is_left_alone() -> None:
    playbook = stalled().after(2.0) << Output(b"x\n") << StallSeen("S", True, (), 105.0) >> HoldAps() >> WakeAt
    playbook << Tick(silent_since_s=105.0) >> StartHammer(0)
    assert playbook.goes_on


def test_a_qemu_that_ends_meanwhile_is_a_crash_and_no_stall() -> None:
    playbook = stalled() << QemuExited(-6) << StallSeen("", False, (), None) >> HoldAps()
    assert (playbook << Tick()).verdict.outcome is Outcome.CRASH


def test_a_command_that_was_sent_just_now_raises_no_doubt() -> None:
    playbook = booted_to(Milestone.BANNER, SETTINGS).after(0.9) << Tick(silent_since_s=100.8)
    assert playbook.wakes_in() == pytest.approx(0.1)


def test_a_look_without_an_answer_looks_at_the_stall() -> None:
    playbook = doubted() << LookFailed() >> ReleaseAps() >> LookAtStall()
    verdict = (playbook.after(2.2) << StallSeen("S", False, (), None)).verdict
    assert verdict.because[0] == "a command was unanswered for 2.2 s while QEMU was alive"


# ---- the injected fault

PLUGS = replace(ALONE, plugs_lost_ap=True)


def test_the_lost_ap_is_plugged_in_once_all_others_have_checked_in() -> None:
    playbook = booted_to(Milestone.CHECKIN, PLUGS)
    playbook << CHECKIN << Tick() >> PlugLostAp()
    playbook << PlugTried(True) >> WakeAt
    playbook << Tick()
    playbook.after(0.9) << Tick()  # the boot CPU is not asked: the new one needs a moment
    playbook.after(0.1) << Tick() >> ReleaseAps() >> LookCloser()


def test_what_it_waits_for_may_come_while_it_is_tried() -> None:
    """The last check-in ends a try; the next one must not wait for the silence after it."""
    playbook = booted_to(Milestone.CHECKIN, PLUGS) << CHECKIN << Tick() >> PlugLostAp()
    for told in ((CHECKIN, PlugTried(False)), (PlugTried(False), CHECKIN)):
        for event in told:
            playbook << event
        playbook << Tick()
        assert playbook.wakes_in() == 0.0
        playbook << Tick() >> PlugLostAp()
    playbook << PlugTried(False) << Tick()
    assert playbook.wakes_in() > 0.0


def test_too_early_it_is_tried_again_and_the_guest_is_judged_in_between() -> None:
    playbook = booted_to(Milestone.CHECKIN, PLUGS) << CHECKIN << Tick() >> PlugLostAp()
    playbook << PlugTried(False) << Tick()
    playbook << Tick() >> PlugLostAp()
    playbook << QemuExited(-9) << PlugTried(False) << Tick()
    assert playbook.verdict.outcome is Outcome.CRASH


def test_a_machine_that_refuses_it_is_a_rig_failure() -> None:
    playbook = booted_to(Milestone.CHECKIN, PLUGS) << CHECKIN << Tick() >> PlugLostAp()
    playbook << RigFailed("no place", "inject") >> ReleaseAps() >> Decide
    assert (playbook.watch.verdict and playbook.watch.verdict.outcome, playbook.watch.rig_reason) == (
        Outcome.RIG, "inject",
    )  # fmt: skip


def test_a_firmware_with_several_rounds_in_one_silence_is_asked_again_and_again() -> None:
    settings = replace(ALONE, limits=replace(LIMITS, quiet_s=9.0, ask_s=0.5, ask_again_s=0.5))
    playbook = booted_to(Milestone.PCI, settings)
    for silence_s in (0.5, 1.0):
        playbook.after(0.5) << Tick() >> AskBootCpu()
        playbook << BootCpuSeen(None) << Tick()
        assert playbook.wakes_in() == 0.5, silence_s
    playbook.after(0.2) << CHECKIN << Tick() >> TellChurn
    playbook.after(0.4) << Tick()
    playbook.after(0.1) << Tick() >> AskBootCpu()
    playbook << BootCpuSeen(WaitLoop(4, 3, 0, later=True)) << Tick() >> ReleaseAps() >> LookCloser()


#: QEMU's gdb stub strikes once the firmware has come so far; no AP is plugged in.
STRUCK = replace(ALONE, plugs_lost_ap=True, plug_checkins=0)


def test_after_the_gdb_stub_has_struck_the_boot_cpu_is_asked_and_not_before() -> None:
    playbook = booted_to(Milestone.BANNER, STRUCK) << PCI << Tick() >> PlugLostAp()
    playbook << PlugTried(False) << Tick() >> TellChurn
    playbook.after(0.6) << Tick() >> PlugLostAp()
    playbook << PlugTried(False) << Tick()  # it waits for the AP that was left out, as it should
    playbook << Tick() >> PlugLostAp()
    playbook << PlugTried(True) << Tick() >> AskBootCpu()


# ---- a series


def series(**more: object) -> Playbook:
    """A series that is under way."""
    playbook = started(replace(SERIES, **more), SmpscanSeries()) << Output(ABOUT + b"(") << Tick()  # type: ignore[arg-type]
    return playbook >> TellChurn(Milestone.BANNER) >> TellChurn(Milestone.PCI)


def test_bring_ups_that_ended_well_are_counted_a_handful_at_a_time() -> None:
    playbook = series() << Output(b")()()(") << Tick() >> CountHealthy(3, 3)
    playbook.after(0.5) << Output(b")(") << Tick() >> CountHealthy(1, 1)
    assert playbook.watch.times.began_s == 100.5


def test_no_more_are_counted_than_are_wanted_and_then_it_is_over() -> None:
    playbook = series(most=3) << Output(b")()()()()(") << Tick() >> CountHealthy(3, 5)
    assert playbook.verdict is SERIES_OVER


def test_it_is_over_when_nobody_wants_more() -> None:
    assert (series() << Enough()).verdict is SERIES_OVER


def test_aps_that_it_reports_as_missing_are_looked_at_at_once() -> None:
    playbook = series() << Output(b")(missing 1: 1\n") << Tick() >> CountHealthy(1, 1)
    playbook >> ReleaseAps() >> LookCloser()
    assert (playbook << HammersRested() << Looked(LOST_INIT)).verdict.finding_class is FindingClass.LOST_INIT


def test_that_it_says_itself_that_aps_are_missing_is_no_progress() -> None:
    playbook = series().after(1.0) << Output(b")(")
    playbook.after(1.0) << Output(b"missing 1: 1\n")
    assert (playbook.watch.times.heard_s, playbook.watch.times.progressed_s) == (102.0, 101.0)


def test_one_that_was_late_with_all_in_is_counted() -> None:
    playbook = series() << Output(b")(missing 1: 1\n+(") << Tick() >> CountHealthy(1, 1) >> CountHealthy(1, 1)
    playbook.is_at_rest()


def test_healthy_ones_before_a_replay_are_counted_first() -> None:
    playbook = series() << Output(b")()(\x81)(") << Tick() >> CountHealthy(2, 2)
    verdict = playbook.verdict
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.REPLAYED_INIT, Confidence.CERTAIN)


def test_one_that_somebody_cut_short_is_a_restart() -> None:
    assert (series() << Output(b"((") << Tick()).verdict.outcome is Outcome.RESTART


# ---- without a console

POLLED = replace(SETTINGS, limits=replace(LIMITS, ask_s=float("inf")))
UP = Dumped(seen(running(0), *(running(i, HALTED, halted=True) for i in (1, 2, 3))))


def test_dumps_show_how_far_a_boot_has_come_and_one_alone_is_not_enough() -> None:
    playbook = started(POLLED, DumpsOnlyBoot(4)) << Tick() >> StartHammer(0)
    playbook << Dumped(LOST) >> WakeAt
    playbook << Tick() >> TellChurn(Milestone.BANNER) >> TellChurn(Milestone.PCI) >> TellChurn(Milestone.CHECKIN)
    playbook << UP >> WakeAt
    playbook << Tick()
    assert playbook.goes_on
    assert (playbook << UP << Tick()).verdict.outcome is Outcome.OK


def test_a_dump_that_shows_nothing_new_does_not_end_the_silence() -> None:
    playbook = started(POLLED, DumpsOnlyBoot(4)) << Tick() >> StartHammer(0)
    playbook << Dumped(LOST) << Tick() >> TellChurn >> TellChurn >> TellChurn
    playbook.after(0.9) << Dumped(LOST)
    playbook.after(0.1) << Tick() >> StopHammer(0) >> ReleaseAps() >> LookCloser()


# ---- the window log, and the end


def test_a_lost_init_gets_its_cause_from_the_window_log() -> None:
    playbook = doubted() << HammersRested() << Looked(LOST_INIT)
    before = playbook.verdict
    us = 100_000_000
    lost = log(*look(2, us + 10, us + 20), *look(1, us + 100, us + 200), (us + 150, 2, RecordKind.WOKEN, 0),
               *look(1, us + 300, us + 310))  # fmt: skip
    after = (playbook << WindowLogRead(lost)).verdict
    assert after.because[: len(before.because)] == before.because
    assert "INIT was sent between" in after.because[-1]
    assert (after.title, after.confidence) == (before.title, Confidence.CERTAIN)


def test_a_judge_that_crashes_says_unknown_and_never_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError

    playbook = booted_to(Milestone.PCI)
    monkeypatch.setattr(watch_module, "assess", crash)
    verdict = (playbook << FOUND << Tick()).verdict
    assert (verdict.outcome, verdict.title) == (Outcome.UNKNOWN, "the judge failed: ZeroDivisionError()")


@pytest.mark.parametrize("event", [Tick(), Looked(NO_WAIT), BootCpuSeen(None), WindowLogRead(log())])
def test_what_it_does_not_wait_for_cannot_come(event: WatchEvent) -> None:
    with pytest.raises(ValueError, match="cannot come while ready"):
        Playbook() << event


def test_after_the_verdict_nothing_that_happens_changes_anything() -> None:
    playbook = doubted() << HammersRested() << Looked(LOST_INIT)
    verdict, progressed_s = playbook.verdict, playbook.watch.times.progressed_s
    playbook.after(1) << FOUND << QemuExited(0) << GuestReset(3)
    playbook.is_at_rest()
    assert (playbook.watch.verdict, playbook.watch.times.progressed_s) == (verdict, progressed_s)
    assert playbook.watch.qemu.exited is None
    assert playbook.watch.log.found == 4  # what was printed is read all the same


HAPPENING = st.sampled_from(
    [
        BANNER,
        PCI,
        CHECKIN,
        FOUND,
        Output(b"In resume\n"),
        GuestReset(1),
        GuestPanicked(),
        QemuExited(-6),
        Tick(),
        Tick(1.0),
    ]
)
ANSWERS: dict[WatchState, list[WatchEvent]] = {
    WatchState.PLUGGING: [PlugTried(True), PlugTried(False), RigFailed("x", "inject")],
    WatchState.ASKING: [BootCpuSeen(None), BootCpuSeen(WAITS)],
    WatchState.LOOKING: [Looked(LOST_INIT), Looked(replace(LOST_INIT, progressed=True)), LookFailed()],
    WatchState.STALLED: [StallSeen("S", True, (), None), StallSeen("T", False, (), 1.0)],
}


@given(st.lists(st.tuples(HAPPENING, st.floats(0, 20), st.integers(0, 2)), max_size=40), st.booleans())
def test_whatever_comes_in_whatever_order_no_hammer_runs_while_somebody_looks(
    told: list[tuple[WatchEvent, float, int]], plugs: bool
) -> None:
    playbook, hammering, held = started(replace(SETTINGS, plugs_lost_ap=plugs)), False, True
    watch: Watch = playbook.watch
    now_s = 100.0
    for event, seconds, which in told:
        now_s += seconds
        answers = ANSWERS.get(watch.state)
        if isinstance(event, Tick) and answers is not None:
            event = answers[which % len(answers)]
        if watch.state is WatchState.DECIDED:
            break
        for action in watch.step(event, now_s):
            hammering = isinstance(action, StartHammer) or (hammering and not isinstance(action, StopHammer))
            held = isinstance(action, HoldAps) or (held and not isinstance(action, ReleaseAps))
            if isinstance(action, LookCloser | LookAtStall | Decide):
                assert not hammering
                assert not held
    assert (watch.verdict is not None) is (watch.state is WatchState.DECIDED)

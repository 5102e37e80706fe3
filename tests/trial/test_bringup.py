"""The driver on a guest that the test plays; real ones are in tests/live/test_bringup.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import anyio
import pytest

from qstress.errors import GuestError, RigError
from qstress.guest.live import Guest
from qstress.guest.qmp import CommandRefused, MonitorClosed, MonitorSilent
from qstress.interposer.windows import Log
from qstress.model import FindingClass, Milestone, Outcome, Trial
from qstress.observe import usage
from qstress.trial import bringup as module
from qstress.trial import inject
from qstress.trial.bringup import Bringup, Start, begin
from qstress.trial.events import CountHealthy
from qstress.trial.examine import ClosedLook, StallLook
from qstress.trial.settings import watch_settings
from qstress.trial.states import WatchState
from qstress.trial.watch import SERIES_OVER, WatchSettings
from qstress.verdict.limits import Learned, Limits, Load
from tests.samples import trial
from tests.trial.fakes import Stage, shaped, staged
from tests.trial.playbook import BANNER, CHECKIN, FOUND, PCI
from tests.trial.test_boot_cpu import LOOP, Monitor, registers
from tests.trial.test_watch import ABOUT
from tests.verdict.examinations import LOST_INIT

#: Nothing is doubtful by time alone.
PATIENT = Limits(quiet_s=1e6, settle_s=0.01, gap_s=0.01, watch_s=0.1, reply_s=30.0, boot_s=1e6)
UP = (BANNER.data, PCI.data, CHECKIN.data, FOUND.data)
UNHAMMERED = replace(trial(), cell=replace(trial().cell, stratum=replace(trial().cell.stratum, hammers=())))


async def begun(
    stage: Stage, of: Trial = UNHAMMERED, *, limits: Limits = PATIENT, start: Start = Start.CONT, most: int = 1
) -> Bringup:
    settings: WatchSettings = replace(watch_settings(of, Load(), Learned(), most=most), limits=limits)
    return await begin(stage.made, of, settings, start, entered_s=anyio.current_time(), lane=0)


async def test_a_guest_that_comes_up_is_ok_and_is_not_listened_to_any_more() -> None:
    async with staged(hammers=1) as stage:
        bringup = await begun(stage, trial())
        assert stage.monitor.asked == ["cont"]
        stage.prints(*UP)
        assert await bringup.advance() is None
        assert bringup.verdict.outcome is Outcome.OK
        assert stage.churn.told == []  # it was up before anybody could be told
        assert stage.log.held == [True, False]
        heard_s, journal = bringup.watch.times.heard_s, bringup.journal.written(bringup.verdict)
        stage.prints(b"more\n")
        assert bringup.journal.written(bringup.verdict) == journal
        assert stage.guest.console.log.last_line == "more"
        assert bringup.watch.times.heard_s == heard_s


async def test_hammers_run_in_their_phase_and_the_churn_hears_of_milestones() -> None:
    late = replace(trial().cell.stratum.hammers[0], start=Milestone.PCI)
    of = replace(trial(), cell=replace(trial().cell, stratum=replace(trial().cell.stratum, hammers=(late,))))
    async with staged(hammers=1) as stage:
        bringup = await begun(stage, of)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bringup.advance)
            stage.prints(BANNER.data, PCI.data)
            await stage.wires[0].wait_for(1)
            assert bringup.hammers[0].active
            stage.prints(CHECKIN.data, FOUND.data)
        assert not bringup.hammers[0].active
        assert stage.churn.told == [Milestone.BANNER, Milestone.PCI]
        assert len(stage.wires[0].sent) == 1


async def test_a_qemu_that_ends_is_a_crash_with_what_it_said() -> None:
    async with staged() as stage:
        bringup = await begun(stage)
        stage.ends(-6, "assertion failed")
        await bringup.advance()
        assert bringup.verdict.finding_class is FindingClass.CRASH
        assert "assertion failed" in " ".join((bringup.verdict.title, *bringup.verdict.because))


async def test_resets_and_panics_are_told_once() -> None:
    async with staged() as stage:
        bringup = await begun(stage)
        stage.guest.resets = 6
        stage.made.bell.ring()
        await bringup.advance()
        assert bringup.verdict.finding_class is FindingClass.RESET_LOOP
        assert bringup.watch.qemu.resets == 6
    async with staged() as stage:
        bringup = await begun(stage)
        stage.guest.panicked = True
        stage.made.bell.ring()
        await bringup.advance()
        assert bringup.verdict.outcome is Outcome.GUEST_PANIC


async def test_a_reset_in_place_begins_with_a_stopped_guest_and_a_new_console() -> None:
    async with staged() as stage:
        stage.prints(*UP)
        stage.guest.resets = 3
        bringup = await begun(stage, start=Start.RESET)
        assert stage.monitor.asked == ["stop", "system_reset", "cont"]
        assert (stage.guest.console.text, stage.guest.resets) == (b"", 0)
        stage.prints(b"In resume (status=0)\n", *UP)  # SeaBIOS resets itself once more
        await bringup.advance()
        assert bringup.verdict.outcome is Outcome.OK


async def test_a_monitor_that_falls_silent_at_the_reset_does_not_make_it_ok() -> None:
    """The last boot's console said that all vCPUs were up."""
    async with staged() as stage:
        stage.prints(*UP)
        stage.monitor.answers["stop"] = MonitorSilent("stop: no reply")
        bringup = await begun(stage, start=Start.RESET)
        stage.ends(-9)
        await bringup.advance()
        assert bringup.verdict.outcome is Outcome.CRASH


async def test_a_guest_that_runs_already_is_told_nothing() -> None:
    async with staged() as stage:
        await begun(stage, start=Start.RUNNING)
        assert stage.monitor.asked == []


@pytest.mark.parametrize("error", [MonitorSilent("cont: no reply"), MonitorClosed("cont: gone")])
async def test_one_that_stalls_or_ends_when_it_is_told_to_run_is_seen_by_the_watch(error: GuestError) -> None:
    async with staged() as stage:
        stage.monitor.answers["cont"] = error
        bringup = await begun(stage)
        stage.ends(1)
        await bringup.advance()
        assert bringup.verdict.outcome is Outcome.CRASH


async def test_a_qemu_that_refuses_to_run_its_guest_is_a_rig_failure() -> None:
    async with staged() as stage:
        stage.monitor.answers["cont"] = CommandRefused("cont: no")
        with pytest.raises(RigError, match="did not start its guest: cont: no") as raised:
            await begun(stage)
        assert raised.value.reason == "qemu-start"


async def test_threads_that_cannot_be_placed_are_a_rig_failure() -> None:
    async with staged(shaped(UNHAMMERED, placement="spread").cell.stratum.shape) as stage:
        stage.monitor.answers["query-cpus-fast"] = MonitorSilent("no reply")
        with pytest.raises(RigError, match="cannot learn the guest's threads") as raised:
            await begun(stage, shaped(UNHAMMERED, placement="spread"))
        assert raised.value.reason == "placement"


# ---- answers


def looking(monkeypatch: pytest.MonkeyPatch, answer: Callable[[Guest], ClosedLook]) -> None:
    """Have closer looks see what *answer* says."""

    async def seen(guest: Guest, limits: Limits, *, heard_s: float, clock_zero_s: float) -> ClosedLook:
        return answer(guest)

    monkeypatch.setattr(module, "examine", seen)


async def test_a_silent_boot_cpu_is_asked_once_and_may_give_no_answer() -> None:
    async with staged() as stage:
        stage.monitor.answers["info"] = MonitorSilent("no reply")
        bringup = await begun(stage, limits=replace(PATIENT, ask_s=0.001))
        stage.prints(BANNER.data, PCI.data)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bringup.advance)
            while len(stage.monitor.asked) < 2 or bringup.watch.state is WatchState.ASKING:
                await anyio.lowlevel.checkpoint()
            stage.prints(CHECKIN.data, FOUND.data)
        assert stage.monitor.asked == ["cont", "info registers"]
        assert not bringup.watch.looks.waits
        assert bringup.verdict.outcome is Outcome.OK


async def test_one_that_waits_is_told_with_its_count(monkeypatch: pytest.MonkeyPatch) -> None:
    looking(monkeypatch, lambda guest: ClosedLook(LOST_INIT, ()))
    async with staged() as stage:
        scripted = Monitor(LOOP, found=3)
        stage.monitor.answers |= {"info": registers(LOOP), "xp": scripted.answer}
        bringup = await begun(stage, limits=replace(PATIENT, ask_s=0.001))
        stage.prints(BANNER.data, PCI.data)
        await bringup.advance()  # by time alone nothing would be doubtful
        assert bringup.watch.looks.waits
        assert bringup.verdict.finding_class is FindingClass.LOST_INIT


IMPATIENT = replace(PATIENT, quiet_s=0.001)


async def test_a_closer_look_comes_once_the_hammers_rest_and_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    look, held = ClosedLook(LOST_INIT, ()), list[bool]()
    async with staged(hammers=1) as stage:
        bringup = await begun(stage, trial(), limits=IMPATIENT)

        def seen(guest: Guest) -> ClosedLook:
            assert not bringup.hammers[0].active
            assert bringup.hammers[0].waiting_since_s is None
            held.extend(stage.log.held)
            return look

        looking(monkeypatch, seen)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bringup.advance)
            await stage.wires[0].wait_for(1)
            while bringup.hammers[0].active:
                await anyio.lowlevel.checkpoint()
            bringup.hammers[0].replied(b'{"return": ""}')
        assert held == [True, False]
        assert bringup.watch.looks.rested_s >= bringup.watch.looks.doubted_s > 0.0
        assert bringup.look is look
        assert bringup.verdict.finding_class is FindingClass.LOST_INIT


async def test_a_monitor_that_gives_a_look_no_answer_is_looked_at_as_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(guest: Guest) -> ClosedLook:
        raise MonitorSilent("no reply")

    looking(monkeypatch, silent)

    async def stall(guest: Guest, *, timeout_s: float) -> StallLook:
        return StallLook(False, "S", ())

    monkeypatch.setattr(module, "examine_stall", stall)
    async with staged() as stage:
        bringup = await begun(stage, limits=IMPATIENT)
        await bringup.advance()
        assert bringup.verdict.signature == "monitor-stall/monitors/start"
        assert bringup.look is None


async def test_a_stopped_process_is_not_asked_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(guest: Guest) -> ClosedLook:
        raise AssertionError

    looking(monkeypatch, never)

    async def stall(guest: Guest, *, timeout_s: float) -> StallLook:
        return StallLook(False, "T", ())

    monkeypatch.setattr(module, "examine_stall", stall)
    monkeypatch.setattr(usage, "process_state", lambda pid: "T")
    async with staged() as stage:
        bringup = await begun(stage, limits=IMPATIENT)
        await bringup.advance()
        assert bringup.verdict.signature.startswith("monitor-stall/stopped")


@pytest.mark.parametrize("answers", [True, False])
async def test_a_qemu_that_ends_during_a_look_is_a_crash(monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    async with staged() as stage:

        def ending(guest: Guest) -> ClosedLook:
            stage.process.end_with(-11)
            if answers:
                return ClosedLook(LOST_INIT, ())
            raise MonitorClosed("gone")

        looking(monkeypatch, ending)
        bringup = await begun(stage, limits=IMPATIENT)
        await bringup.advance()
        assert bringup.verdict.outcome is Outcome.CRASH


async def test_commands_in_flight_of_a_stalled_monitor_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stall(guest: Guest, *, timeout_s: float) -> StallLook:
        return StallLook(True, "S", ())

    monkeypatch.setattr(module, "examine_stall", stall)
    async with staged(hammers=1) as stage:
        bringup = await begun(stage, trial(), limits=replace(PATIENT, reply_s=0.001))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bringup.advance)
            await stage.wires[0].wait_for(1)
            stage.made.bell.ring()
        assert bringup.verdict.signature == "monitor-stall/main-loop/start"
        assert bringup.hammers[0].count().timeouts == 1


# ---- the injected fault


async def test_the_lost_ap_is_prepared_before_the_guest_runs_and_plugged_in_when_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    due, asked = iter([False, True]), anyio.Event()

    async def is_due(guest: Guest, *, quiet_s: float) -> bool:
        asked.set()
        return next(due)

    async def refused(guest: Guest, *, timeout_s: float) -> None:
        raise RigError("no place for it", reason="inject")

    monkeypatch.setattr(inject, "is_due", is_due)
    monkeypatch.setattr(inject, "add_the_lost_one", refused)
    of = replace(shaped(UNHAMMERED, smp=3), inject_lost_ap=True)
    async with staged(of.cell.stratum.shape) as stage:
        bringup = await begun(stage, of)
        assert stage.monitor.asked == ["o /b 0x70 0x5f", "o /b 0x71 2", "cont"]
        stage.prints(BANNER.data, PCI.data, CHECKIN.data)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bringup.advance)
            await asked.wait()
            stage.prints(CHECKIN.data)
        assert (bringup.verdict.outcome, bringup.verdict.title) == (Outcome.RIG, "no place for it")
        assert bringup.watch.rig_reason == "inject"


# ---- a series, and what else reaches the watch

SERIES = shaped(UNHAMMERED, firmware="smpscan", restart="reset")


async def test_healthy_bring_ups_of_a_series_are_told_outside_of_it() -> None:
    async with staged(SERIES.cell.stratum.shape) as stage:
        bringup = await begun(stage, SERIES, most=5)
        stage.prints(ABOUT + b"()()(")
        assert await bringup.advance() == CountHealthy(2, 2)
        bringup.turn_to(replace(SERIES, number=2), 7.0)
        assert (bringup.trial.number, bringup.entered_s) == (2, 7.0)
        stage.prints(b")()()()(")
        assert await bringup.advance() == CountHealthy(3, 4)
        assert await bringup.advance() is None
        assert bringup.verdict is SERIES_OVER


async def test_a_series_ends_when_nobody_wants_more_and_a_verdict_stays() -> None:
    async with staged(SERIES.cell.stratum.shape) as stage:
        bringup = await begun(stage, SERIES, most=5)
        bringup.enough()
        await bringup.advance()
        assert bringup.verdict is SERIES_OVER
    async with staged(SERIES.cell.stratum.shape) as stage:
        bringup = await begun(stage, SERIES, most=5)
        stage.prints(ABOUT + b"()((")
        assert await bringup.advance() == CountHealthy(1, 1)
        bringup.enough()  # the next one has its verdict already
        await bringup.advance()
        assert bringup.verdict.outcome is Outcome.RESTART


async def test_a_doubt_is_followed_up_when_nobody_wants_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Healthy bring-ups are taken while the next one is about to be looked at."""
    looking(monkeypatch, lambda guest: ClosedLook(LOST_INIT, ()))
    async with staged(SERIES.cell.stratum.shape) as stage:
        bringup = await begun(stage, SERIES, most=5)
        stage.prints(ABOUT + b"()(missing 1: 1\n")
        assert await bringup.advance() == CountHealthy(1, 1)
        bringup.enough()
        await bringup.advance()
        assert bringup.verdict.finding_class is FindingClass.LOST_INIT


async def test_a_hammer_that_is_stopped_as_soon_as_it_is_started_does_not_begin_later() -> None:
    hammered = shaped(trial(), firmware="smpscan", restart="reset")
    async with staged(hammered.cell.stratum.shape, hammers=1) as stage:
        bringup = await begun(stage, hammered, most=5)
        stage.prints(ABOUT + b"()(")
        assert await bringup.advance() == CountHealthy(1, 1)
        bringup.enough()
        await bringup.advance()
        await anyio.wait_all_tasks_blocked()
        assert not bringup.hammers[0].active


async def test_without_a_console_the_hammers_dumps_are_what_is_watched() -> None:
    of = shaped(trial(), observe="none", smp=1)
    async with staged(of.cell.stratum.shape, hammers=1) as stage:
        stage.guest.paused = False
        bringup = await begun(stage, of)
        assert stage.monitor.asked == []
        assert bringup.watch.times.began_s == bringup.entered_s
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bringup.advance)
            await stage.wires[0].wait_for(1)
            for _ in range(2):
                bringup.hammers[0].replied(json.dumps({"return": registers(LOOP)}).encode())
        assert bringup.verdict.outcome is Outcome.OK


async def test_only_a_finding_hears_what_the_interposer_recorded() -> None:
    async with staged() as stage:
        bringup = await begun(stage)
        stage.prints(*UP)
        await bringup.advance()
        before = len(bringup.journal.written(bringup.verdict).splitlines())
        bringup.hear(Log())
        bringup.hear(None)
        assert len(bringup.journal.written(bringup.verdict).splitlines()) == before
    async with staged() as stage:
        bringup = await begun(stage)
        stage.ends(-9)
        await bringup.advance()
        bringup.hear(Log())
        assert b"WindowLogRead" in bringup.journal.written(bringup.verdict)

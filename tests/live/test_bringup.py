"""Bring-ups of real guests that somebody meddles with: killed, stopped, paused, reset, cancelled."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from qstress.firmware.streams import BootProgress
from qstress.guest.live import Guest
from qstress.guest.qmp import MonitorClosed
from qstress.model import Accel, Confidence, FindingClass, Milestone, Outcome, Verdict
from qstress.trial import watch
from qstress.trial.bringup import Bringup
from qstress.trial.examine import ClosedLook
from qstress.trial.watch import WatchSettings
from qstress.verdict.hang import diagnose
from qstress.verdict.judge import Doubt, Situation, assess
from qstress.verdict.limits import Limits
from tests.live.rig import bring_up, planned

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(120)]

ACCELS = [
    pytest.param(Accel.TCG, id="tcg"),
    pytest.param(Accel.KVM, id="kvm", marks=pytest.mark.kvm),
]


async def has_booted_a_little(guest: Guest) -> None:
    while guest.console.log.milestone < Milestone.BANNER:
        await anyio.sleep(0.001)


@pytest.mark.parametrize("accel", ACCELS)
async def test_a_qemu_killed_mid_boot_is_a_crash(accel: Accel) -> None:
    async def kill(guest: Guest) -> None:
        await has_booted_a_little(guest)
        guest.process.send_signal(signal.SIGKILL)

    brought = await bring_up(planned(accel, 64), running=kill)
    assert brought.verdict.outcome is Outcome.CRASH, brought.verdict
    assert "SIGKILL" in brought.verdict.title


@pytest.mark.parametrize("accel", ACCELS)
async def test_a_qemu_stopped_mid_hammer_is_a_monitor_stall_and_is_ended(accel: Accel) -> None:
    async def stop(guest: Guest) -> None:
        await has_booted_a_little(guest)
        guest.process.send_signal(signal.SIGSTOP)

    brought = await bring_up(planned(accel, 64), running=stop)
    assert brought.verdict.outcome is Outcome.MONITOR_STALL, brought.verdict
    assert "stopped" in brought.verdict.title
    assert brought.under_way.made.guest.process.returncode == -signal.SIGKILL


async def test_a_qemu_stopped_during_a_closer_look_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stopped(guest: Guest, limits: Limits, *, heard_s: float, clock_zero_s: float) -> ClosedLook:
        guest.process.send_signal(signal.SIGSTOP)
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr("qstress.trial.bringup.examine", stopped)
    brought = await bring_up(planned(Accel.TCG, 2, lost_ap=True))
    assert brought.verdict.signature.startswith("monitor-stall/stopped"), brought.verdict


async def test_a_guest_that_came_up_before_it_was_looked_at_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """smpscan halts once all are in; on a busy host the hammer's last reply may take longer than the late AP."""
    looked: list[Verdict] = []

    async def once_it_is_up(self: Bringup) -> ClosedLook | None:
        log = self.made.guest.console.log
        while log.found is None:
            await anyio.sleep(0.001)
        look = await examined(self)
        assert look is not None
        looked.append(diagnose(look.examination, log))
        return look

    def doubtful(situation: Situation, log: BootProgress, limits: Limits) -> Verdict | Doubt | None:
        return assess(situation, log, limits) if looked else Doubt.NO_PROGRESS

    examined = Bringup._examined
    monkeypatch.setattr(Bringup, "_examined", once_it_is_up)
    monkeypatch.setattr(watch, "assess", doubtful)
    brought = await bring_up(planned(Accel.TCG, 4, firmware="smpscan", hammers=()))
    assert [seen.finding_class for seen in looked] == [FindingClass.ALL_HALTED]
    assert brought.verdict.outcome is Outcome.OK, brought.verdict


async def test_a_guest_that_is_up_before_its_cont_is_answered_was_hammered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answered_late(self: Guest, *, timeout_s: float) -> None:
        await cont(self, timeout_s=timeout_s)
        while self.console.log.found is None:
            await anyio.sleep(0.001)

    cont = Guest.cont
    monkeypatch.setattr(Guest, "cont", answered_late)
    brought = await bring_up(planned(Accel.TCG, 4, firmware="smpscan"))
    assert brought.verdict.outcome is Outcome.OK, brought.verdict
    assert brought.result.commands[0].returned > 0


@pytest.mark.parametrize("accel", ACCELS)
async def test_a_boot_cpu_that_waits_for_ever_is_asked_long_before_its_silence_says_so(accel: Accel) -> None:
    # one more than there are (docs/background/qemu.md, "Injecting a lost AP", I1)
    async def miscount(guest: Guest) -> None:
        for line in ("o /b 0x70 0x5f", f"o /b 0x71 {guest.shape.smp}"):
            await guest.control.hmp(line, timeout_s=10)

    def as_on_a_very_busy_host(settings: WatchSettings) -> WatchSettings:
        return replace(settings, limits=replace(settings.limits, quiet_s=1e6))

    brought = await bring_up(planned(accel, 2, hammers=()), paused=miscount, change=as_on_a_very_busy_host)
    verdict = brought.verdict
    assert (verdict.finding_class, verdict.confidence) == (FindingClass.BSP_SPIN, Confidence.CERTAIN)


async def test_a_paused_guest_is_not_called_hung() -> None:
    """A guest that somebody else pauses stands still, and that is all that can be said of it."""

    async def pause(guest: Guest) -> None:
        await has_booted_a_little(guest)
        await guest.control.execute("stop", timeout_s=10)

    brought = await bring_up(planned(Accel.TCG, 64, hammers=()), running=pause)
    assert brought.verdict.outcome is Outcome.UNKNOWN, brought.verdict
    assert "paused" in brought.verdict.title


async def test_a_reset_that_nobody_asked_for_is_a_restart() -> None:
    async def reset(guest: Guest) -> None:
        await has_booted_a_little(guest)
        with suppress(MonitorClosed):  # the verdict may end the guest before the reply is there
            await guest.control.execute("system_reset", timeout_s=10)

    verdict = (await bring_up(planned(Accel.TCG, 64, hammers=()), running=reset)).verdict
    assert (verdict.outcome, verdict.finding_class) == (Outcome.RESTART, FindingClass.REPLAYED_INIT)


async def test_nothing_is_left_of_a_cancelled_trial() -> None:
    before = set(os.listdir("/proc/self/fd"))
    pids: list[int] = []

    async with anyio.create_task_group() as tasks:

        async def cancel(guest: Guest) -> None:
            pids.append(guest.process.pid)
            tasks.cancel_scope.cancel()

        async def run() -> None:
            await bring_up(planned(Accel.TCG, 64), running=cancel)

        tasks.start_soon(run)
    assert not Path(f"/proc/{pids[0]}").exists()
    assert set(os.listdir("/proc/self/fd")) == before

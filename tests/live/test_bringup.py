"""Bring-ups of real guests that somebody meddles with: killed, stopped, paused, reset, cancelled."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from qstress.guest.live import Guest
from qstress.guest.qmp import MonitorClosed
from qstress.model import Accel, Confidence, FindingClass, Milestone, Outcome, Verdict
from qstress.trial.bringup import Bringup
from qstress.trial.context import TrialContext
from qstress.trial.examine import ClosedLook
from qstress.verdict.hang import diagnose
from qstress.verdict.judge import Doubt, Situation
from qstress.verdict.limits import Limits
from tests.live.rig import planned

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(120)]

ACCELS = [
    pytest.param(Accel.TCG, id="tcg"),
    pytest.param(Accel.KVM, id="kvm", marks=pytest.mark.kvm),
]


async def _with_guest(bringup: Bringup, act: str) -> None:
    """Run *bringup* and do *act* to its QEMU once it has booted a little."""

    async def meddle() -> None:
        while bringup.guest is None or bringup.guest.console.log.milestone < Milestone.BANNER:
            await anyio.sleep(0.001)
        process = bringup.guest.process
        process.send_signal(signal.SIGSTOP if act == "stop" else signal.SIGKILL)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(meddle)
        await bringup.run()


@pytest.mark.parametrize("accel", ACCELS)
async def test_a_qemu_killed_mid_boot_is_a_crash(accel: Accel) -> None:
    bringup = Bringup(planned(accel, 64), TrialContext())
    await _with_guest(bringup, "kill")
    assert bringup.verdict.outcome is Outcome.CRASH, bringup.verdict
    assert "SIGKILL" in bringup.verdict.title


@pytest.mark.parametrize("accel", ACCELS)
async def test_a_qemu_stopped_mid_hammer_is_a_monitor_stall_and_is_ended(accel: Accel) -> None:
    bringup = Bringup(planned(accel, 64), TrialContext())
    await _with_guest(bringup, "stop")
    assert bringup.verdict.outcome is Outcome.MONITOR_STALL, bringup.verdict
    assert "stopped" in bringup.verdict.title
    guest: Guest | None = bringup.guest
    assert guest is not None
    assert guest.process.returncode == -signal.SIGKILL


async def test_a_qemu_stopped_during_a_closer_look_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stopped(guest: Guest, limits: Limits, *, clock_zero_s: float) -> ClosedLook:
        guest.process.send_signal(signal.SIGSTOP)
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr("qstress.trial.bringup.examine", stopped)
    bringup = Bringup(planned(Accel.TCG, 2, lost_ap=True), TrialContext())
    await bringup.run()
    assert bringup.verdict.signature.startswith("monitor-stall/stopped"), bringup.verdict


async def test_a_guest_that_came_up_before_it_was_looked_at_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """smpscan halts once all are in; on a busy host the hammer's last reply may take longer than the late AP."""
    looked: list[Verdict] = []

    async def once_it_is_up(self: Bringup, guest: Guest) -> ClosedLook | None:
        while guest.console.log.found is None:
            await anyio.sleep(0.001)
        look = await examined(self, guest)
        assert look is not None
        looked.append(diagnose(look.examination, guest.console.log))
        return look

    def doubtful(self: Bringup, situation: Situation, guest: Guest) -> Verdict | Doubt | None:
        return judge(self, situation, guest) if looked else Doubt.NO_PROGRESS

    examined, judge = Bringup._examined, Bringup._judge
    monkeypatch.setattr(Bringup, "_examined", once_it_is_up)
    monkeypatch.setattr(Bringup, "_judge", doubtful)
    bringup = Bringup(planned(Accel.TCG, 4, firmware="smpscan", hammers=()), TrialContext())
    await bringup.run()
    assert [seen.finding_class for seen in looked] == [FindingClass.ALL_HALTED]
    assert bringup.verdict.outcome is Outcome.OK, bringup.verdict


@pytest.mark.parametrize("accel", ACCELS)
async def test_a_boot_cpu_that_waits_in_vain_is_asked_long_before_its_silence_says_so(
    accel: Accel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def miscount(self: Bringup, guest: Guest) -> None:  # one more than there are (facts: qemu.md section 5, I1)
        for line in ("o /b 0x70 0x5f", f"o /b 0x71 {guest.shape.smp}"):
            await guest.control.hmp(line, timeout_s=10)

    monkeypatch.setattr(Bringup, "_prepare", miscount)
    bringup = Bringup(planned(accel, 2, hammers=()), TrialContext())
    bringup.limits = replace(bringup.limits, quiet_s=1e6)  # as on a very busy host
    await bringup.run()
    assert (bringup.verdict.finding_class, bringup.verdict.confidence) == (FindingClass.BSP_SPIN, Confidence.CERTAIN)


async def test_a_paused_guest_is_not_called_hung() -> None:
    """A guest that somebody else pauses stands still, and that is all that can be said of it."""
    bringup = Bringup(planned(Accel.TCG, 64, hammers=()), TrialContext())

    async def pause() -> None:
        while bringup.guest is None or bringup.guest.console.log.milestone < Milestone.BANNER:
            await anyio.sleep(0.001)
        await bringup.guest.control.execute("stop", timeout_s=10)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pause)
        await bringup.run()
    assert bringup.verdict.outcome is Outcome.UNKNOWN, bringup.verdict
    assert "paused" in bringup.verdict.title


async def test_a_reset_that_nobody_asked_for_is_a_restart() -> None:
    bringup = Bringup(planned(Accel.TCG, 64, hammers=()), TrialContext())

    async def reset() -> None:
        while bringup.guest is None or bringup.guest.console.log.milestone < Milestone.BANNER:
            await anyio.sleep(0.001)
        with suppress(MonitorClosed):  # the verdict may end the guest before the reply is there
            await bringup.guest.control.execute("system_reset", timeout_s=10)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reset)
        await bringup.run()
    assert (bringup.verdict.outcome, bringup.verdict.finding_class) == (Outcome.RESTART, FindingClass.REPLAYED_INIT)


async def test_nothing_is_left_of_a_cancelled_trial() -> None:
    before = set(os.listdir("/proc/self/fd"))
    bringup = Bringup(planned(Accel.TCG, 64), TrialContext())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bringup.run)
        while bringup.guest is None:
            await anyio.sleep(0.001)
        pid = bringup.guest.process.pid
        tasks.cancel_scope.cancel()
    assert not Path(f"/proc/{pid}").exists()
    assert set(os.listdir("/proc/self/fd")) == before

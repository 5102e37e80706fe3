"""The bell keeps a ring for the next who waits; a machine says which trials are alive and ends the last one."""

from __future__ import annotations

import time
from dataclasses import replace

import anyio
import pytest

from qstress.hostlog.findings import LiveTrials
from qstress.model import Accel
from qstress.trial.context import TrialContext
from qstress.trial.instrumented import Bell, instrumented_guest
from tests.live.rig import planned


async def test_a_ring_between_two_waits_is_not_lost() -> None:
    bell = Bell()
    bell.ring()
    with anyio.fail_after(10):
        await bell.wait_until(time.monotonic() + 3600)


async def test_a_ring_is_heard_once() -> None:
    bell, passed_s = Bell(), time.monotonic()
    bell.ring()
    await bell.wait_until(passed_s)
    await bell.wait_until(passed_s)  # returns at its deadline, which has passed
    waited = False
    with anyio.move_on_after(0.01):
        await bell.wait_until(time.monotonic() + 3600)
        waited = True
    assert not waited


@pytest.mark.qemu
@pytest.mark.timeout(60)
async def test_it_is_known_whose_guest_is_alive_and_until_when() -> None:
    live_trials, trial = LiveTrials(), planned(Accel.TCG, number=7)
    async with instrumented_guest(trial, TrialContext(live_trials=live_trials)) as made:
        before_s, process = time.monotonic(), made.guest.process
        made.turn_to(trial)
        assert live_trials.at(before_s) == {}
        assert live_trials.at(time.monotonic()) == {7: process.pid}
        made.turn_to(replace(trial, number=8))
        assert set(live_trials.at(time.monotonic())) == {7, 8}  # a report may come late
        assert not process.exited.is_set()
    assert process.exited.is_set()
    assert live_trials.at(time.monotonic() + 3600) == {}

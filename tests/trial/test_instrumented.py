"""The bell keeps a ring for the next who waits; a guest tells whose trials it runs."""

from __future__ import annotations

import time
from dataclasses import replace

import anyio
import pytest

from qstress.model import Accel, Trial
from qstress.trial.context import Coordinator, TrialContext
from qstress.trial.instrumented import Bell, instrumented_guest
from tests.live.rig import planned


class Told(Coordinator):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def began(self, trial: Trial, pid: int) -> None:
        self.heard.append(("began", trial.number, pid))

    def ended(self, trial: Trial) -> None:
        self.heard.append(("ended", trial.number))


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
async def test_the_coordinator_is_told_whose_guest_it_is_and_until_when() -> None:
    told, trial = Told(), planned(Accel.TCG, number=7)
    async with instrumented_guest(trial, TrialContext(), told) as made:
        process = made.guest.process
        assert told.heard == []
        made.turn_to(trial)
        made.turn_to(replace(trial, number=8))
        assert told.heard == [("began", 7, process.pid), ("ended", 7), ("began", 8, process.pid)]
        assert not process.exited.is_set()
    assert process.exited.is_set()
    assert told.heard[3:] == [("ended", 8)]

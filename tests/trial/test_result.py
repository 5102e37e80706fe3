"""A finished bring-up as values; those of living guests are in tests/live/test_result.py."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import cast

import anyio
import pytest

from qstress.errors import RigError
from qstress.interposer.windows import Log, LogRecord, RecordKind
from qstress.model import LATENCY_BUCKETS_S, CommandCount, Outcome
from qstress.trial.bringup import Bringup
from qstress.trial.examine import ClosedLook
from qstress.trial.journal import rejudged
from qstress.trial.replies import HammerCounts
from qstress.trial.result import bringup_duty_cycle, evidence_of, result_of, rig_result, states_over_time
from tests.interposer.test_windows import look
from tests.samples import at_reset, running, seen, trial
from tests.trial.fakes import Stage, staged
from tests.trial.test_boot_cpu import LOOP, registers
from tests.trial.test_bringup import UNHAMMERED, UP, begun
from tests.verdict.examinations import LOST_INIT


async def up(stage: Stage) -> Bringup:
    bringup = await begun(stage)
    stage.prints(*UP)
    await bringup.advance()
    return bringup


async def crashed(stage: Stage) -> Bringup:
    """A bring-up whose hammer got one reply before QEMU ended."""
    bringup = await begun(stage, trial())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bringup.advance)
        await stage.wires[0].wait_for(1)
        bringup.hammers[0].replied(json.dumps({"return": registers(LOOP)}).encode())
        stage.guest.events.append({"event": "STOP"})
        stage.prints(UP[0])
        stage.ends(-9, "last words")
    return bringup


async def test_a_healthy_bring_up_has_the_time_to_all_vcpus_up() -> None:
    async with staged() as stage:
        bringup = await up(stage)
        result = result_of(bringup, HammerCounts(bringup.hammers), run_began_s=bringup.entered_s - 2.0, duty_cycle=0.5)
    times = bringup.watch.times
    assert (result.verdict, result.started_s, result.duty_cycle) == (bringup.verdict, 2.0, 0.5)
    assert result.boot_s == times.heard_s - times.began_s
    assert result.boot_s <= result.duration_s
    assert (result.detection_s, result.commands, result.rig_reason) == (None, (), "")


async def test_a_finding_has_the_time_from_the_last_progress_to_the_verdict() -> None:
    async with staged(hammers=1) as stage:
        bringup = await crashed(stage)
        result = result_of(bringup, HammerCounts(bringup.hammers), run_began_s=0.0)
    times = bringup.watch.times
    assert times.decided_s is not None
    assert result.detection_s == times.decided_s - times.progressed_s >= 0.0
    assert result.boot_s is None
    assert [count.returned for count in result.commands] == [1]
    assert sum(result.latencies) == 1


def test_a_trial_that_did_not_begin_has_no_more_than_its_reason() -> None:
    result = rig_result(trial(3), RigError("no QEMU", reason="spawn"), entered_s=5.0, run_began_s=4.0)
    assert (result.verdict.outcome, result.verdict.title, result.rig_reason) == (Outcome.RIG, "no QEMU", "spawn")
    assert (result.started_s, result.boot_s) == (1.0, None)
    assert result.commands == (CommandCount("info registers -a"),)
    assert result.latencies == (0,) * (len(LATENCY_BUCKETS_S) + 1)


async def test_evidence_holds_everything_that_was_seen_with_times_from_the_start_on() -> None:
    async with staged(hammers=1) as stage:
        bringup = await crashed(stage)
        bringup.replies.dumps.appendleft(seen(at_reset(0), at_s=1.0))  # of an earlier bring-up of a series
        bringup.look = ClosedLook(LOST_INIT, ((9.0, "a dump"),), (("info lapic", "ICR"),))
        evidence = evidence_of(bringup, {"B": "2", "A": "1"}, None, 0.25, "stacks")
    (at_s, text), looked = evidence.dumps
    assert 0.0 <= at_s < 60.0
    assert text == registers(LOOP)
    assert looked == (9.0, "a dump")
    assert evidence.console == UP[0]
    (command, *_) = evidence.commands
    assert command["command"] == "info registers -a"
    assert 0.0 <= float(str(command["sent_s"])) <= float(str(command["replied_s"])) < 60.0
    assert (evidence.argv, evidence.env) == (("qemu-system-x86_64",), (("A", "1"), ("B", "2")))
    assert (evidence.stderr, evidence.events) == ("last words", ({"event": "STOP"},))
    assert (evidence.threads, evidence.wait_loop) == (LOST_INIT.usage, LOST_INIT.wait_loop)
    assert {"limits", "milestones_s", "host", "duty_cycle", "states", "looks_s", "lanes", "end_s"} <= set(
        evidence.notes
    )
    assert evidence.notes["duty_cycle"] == 0.25
    (state,) = cast(list[tuple[float, dict[str, int]]], evidence.notes["states"])
    assert state[1] == {"running": 1}
    assert rejudged(evidence.journal).today == bringup.verdict


async def test_the_duty_cycle_counts_from_the_bring_up_or_its_last_reset_on() -> None:
    async with staged() as stage:
        bringup = await up(stage)
    zero = bringup.watch.zero_ns
    bringup.watch.times.decided_s = (zero + 10**9) / 1e9

    def at(*records: tuple[int, int, RecordKind, int]) -> Log:
        return Log(tuple(LogRecord(zero + us * 1000, vcpu, kind, value) for us, vcpu, kind, value in records))

    window = look(1, 500_000, 600_000)
    assert bringup_duty_cycle(bringup, at(*window)) == pytest.approx(0.1)
    reset = (250_000, 0, RecordKind.WRITE, 0x0909)
    assert bringup_duty_cycle(bringup, at(reset, *window)) == pytest.approx(0.1 / 0.75)
    assert bringup_duty_cycle(bringup, Log()) is None


def test_only_changes_of_the_vcpus_states_are_told() -> None:
    early, late = seen(running(0), at_reset(1), at_s=1.0), seen(running(0), running(1, halted=True), at_s=3.0)
    told = states_over_time([early, replace(early, at_s=2.0), late])
    assert told == [(1.0, {"reset-vector": 1, "running": 1}), (3.0, {"halted": 1, "running": 1})]


async def test_a_bring_up_without_a_verdict_says_that_it_came_to_none() -> None:
    async with staged() as stage:
        bringup = await begun(stage, UNHAMMERED)
        assert bringup.verdict.outcome is Outcome.UNKNOWN

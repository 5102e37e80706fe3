"""Lanes and stop rules with a runner that needs no QEMU and a recorder that remembers the order of calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest

from qstress.errors import RigError
from qstress.model import Evidence, Outcome, Trial, TrialResult
from qstress.plan.schedule import Plan
from qstress.run.campaign import HOPELESS_AFTER, Campaign, Deliver, Reason, StopRule
from tests.samples import build, result, stratum

PLAN = Plan((build("a"), build("b")), (stratum(2), stratum(4)), seed=3)


class Memory:
    """A recorder that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def record(self, result: TrialResult, evidence: Evidence | None) -> str | None:
        self.calls.append(("record", result.trial.number))
        return "evidence/x" if result.verdict.outcome.finding else None

    def finish_block(self, block: int) -> None:
        self.calls.append(("block", block))

    def blocks(self) -> list[int]:
        return [number for what, number in self.calls if what == "block"]


def campaign(
    run: Callable[[Trial, int], Awaitable[Outcome]],
    *,
    lanes: int = 1,
    blocks: int | None = 10,
    duration_s: float | None = None,
    decided: Callable[[], bool] = lambda: False,
    first_block: int = 0,
    plan: Plan = PLAN,
) -> tuple[Campaign, Memory, list[int]]:
    memory, counted = Memory(), list[int]()

    async def runner(trials: Sequence[Trial], lane: int, deliver: Deliver) -> None:
        for trial in trials:
            if not deliver([(result(trial, await run(trial, lane)), None)]):
                return

    def on_block(results: Sequence[TrialResult]) -> None:
        counted.extend(each.trial.block for each in results)

    made = Campaign(
        plan, runner, memory, StopRule(blocks, duration_s, decided), lanes, lambda result, place: None, on_block,
        first_block=first_block,
    )  # fmt: skip
    return made, memory, counted


async def fine(trial: Trial, lane: int) -> Outcome:
    await anyio.lowlevel.checkpoint()
    return Outcome.OK


async def test_it_ends_at_its_trials_and_every_block_counts_once_in_order() -> None:
    made, memory, counted = campaign(fine)
    assert await made.run() is Reason.TRIALS
    assert memory.blocks() == list(range(10))
    assert counted == [block for block in range(10) for _ in "ab"]


async def test_every_result_is_recorded_before_the_next_trial_starts() -> None:
    memory: Memory | None = None

    async def careful(trial: Trial, lane: int) -> Outcome:
        assert memory is not None
        assert [number for what, number in memory.calls if what == "record"] == list(range(trial.number))
        return Outcome.HANG

    made, memory, _ = campaign(careful)
    await made.run()
    assert len(memory.calls) == 30


async def test_blocks_enter_in_planned_order_whatever_order_lanes_finish_in() -> None:
    gate = anyio.Event()

    async def first_is_slow(trial: Trial, lane: int) -> Outcome:
        if trial.block == 0:
            await gate.wait()
        elif trial.block == 5:
            gate.set()
        return Outcome.OK

    made, memory, counted = campaign(first_is_slow, lanes=2)
    await made.run()
    assert memory.blocks() == list(range(10))
    assert counted == sorted(counted)
    first_record = memory.calls.index(("record", 0))
    assert ("record", 8) in memory.calls[:first_record]


async def test_it_stops_when_decided_at_a_blocks_end() -> None:
    made, memory, counted = campaign(fine, decided=lambda: len(counted) >= 6)
    assert await made.run() is Reason.DECIDED
    assert memory.blocks() == [0, 1, 2]


async def test_it_stops_when_its_time_is_up_but_finishes_the_block() -> None:
    async def late(trial: Trial, lane: int) -> Outcome:
        made.elapsed_s = 100.0
        return Outcome.OK

    made, memory, _ = campaign(late, duration_s=50.0)
    assert await made.run() is Reason.DURATION
    assert memory.blocks() == [0]


async def test_an_interrupt_finishes_the_trial_and_leaves_the_block_open() -> None:
    async def interrupted(trial: Trial, lane: int) -> Outcome:
        if trial.number == 4:
            made.drain(Reason.INTERRUPTED)
        return Outcome.OK

    made, memory, _ = campaign(interrupted)
    assert await made.run() is Reason.INTERRUPTED
    assert memory.calls[-1] == ("record", 4)
    assert memory.blocks() == [0, 1]


async def test_a_process_run_that_is_cut_short_leaves_its_block_open() -> None:
    plan = Plan((build("a"), build("b")), (stratum(2, restart="reset", process_trials=3),), seed=3)

    async def third_interrupts(trial: Trial, lane: int) -> Outcome:
        if trial.number == 9:
            made.drain(Reason.INTERRUPTED)
        return Outcome.OK

    made, memory, counted = campaign(third_interrupts, plan=plan)
    assert await made.run() is Reason.INTERRUPTED
    assert memory.calls[-1] == ("record", 9)
    assert (memory.blocks(), counted) == ([0], [0] * 6)


async def test_a_resumed_run_goes_on_at_its_block() -> None:
    made, memory, _ = campaign(fine, first_block=7)
    await made.run()
    assert memory.blocks() == [7, 8, 9]


async def test_a_host_on_which_nothing_works_is_given_up_with_its_reason() -> None:
    async def broken(trial: Trial, lane: int) -> Outcome:
        return Outcome.RIG

    made, memory, _ = campaign(broken)
    with pytest.raises(RigError, match=f"{HOPELESS_AFTER} trials in a row"):
        await made.run()
    assert made.reason is Reason.ERROR
    assert len([what for what, _ in memory.calls if what == "record"]) == HOPELESS_AFTER


async def test_rig_trouble_now_and_then_is_borne() -> None:
    async def shaky(trial: Trial, lane: int) -> Outcome:
        return Outcome.OK if trial.number % 4 == 0 else Outcome.RIG

    made, _, _ = campaign(shaky)
    assert await made.run() is Reason.TRIALS


async def test_a_recorder_that_cannot_write_ends_the_run() -> None:
    made, memory, _ = campaign(fine)

    def full(block: int) -> None:
        raise RigError("disk full", reason="disk-full")

    memory.finish_block = full  # type: ignore[method-assign]
    with pytest.raises(RigError, match="disk full"):
        await made.run()


async def test_a_process_run_is_cut_a_while_after_the_duration_and_its_block_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qstress.run.campaign.CUT_AFTER_S", 0.0)
    cleaned: list[int] = []

    async def slow(trial: Trial, lane: int) -> Outcome:
        if trial.number >= 3:
            try:
                await anyio.sleep_forever()
            finally:
                cleaned.append(trial.number)
        await anyio.lowlevel.checkpoint()
        return Outcome.OK

    made, memory, counted = campaign(slow, blocks=None, duration_s=0.2)
    assert await made.run() is Reason.DURATION
    assert counted == [0, 0]  # of block 1 only the first trial came to its end
    assert memory.calls == [("record", 0), ("record", 1), ("block", 0), ("record", 2)]
    assert cleaned == [3]
    assert made.running == 0


async def test_a_run_that_goes_on_is_over_at_once_where_it_has_decided() -> None:
    made, memory, _ = campaign(fine, decided=lambda: True, first_block=4)
    assert await made.run() is Reason.DECIDED
    assert memory.calls == []

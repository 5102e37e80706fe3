"""The hammer's books, against a wire whose replies the test gives."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import anyio

from qstress.guest.wire import Wire
from qstress.hammer.drive import Hammer, scratch_path
from qstress.model import LATENCY_BUCKETS_S, HammerSpec, Rate
from tests.samples import MAX, REGISTERS

REPLY, ERROR = b'{"return": "x"}\r', b'{"error": {"class": "GenericError"}}\r'
FAST = HammerSpec("info registers -a", "hmp", Rate(0.001, "every 1ms"))
STOP_CONT = HammerSpec("stop-cont", "kick", MAX)


class ScriptedWire(Wire):
    """Remembers what was sent and wakes who waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self._more = anyio.Event()

    def send(self, line: bytes) -> None:
        self.sent.append(line)
        self._more.set()

    async def wait_for(self, count: int) -> None:
        while len(self.sent) < count:
            self._more = anyio.Event()
            await self._more.wait()


async def hammering(
    spec: HammerSpec, body: Callable[[Hammer, ScriptedWire], Awaitable[None]]
) -> tuple[Hammer, list[bytes]]:
    seen: list[bytes] = []
    hammer, wire = Hammer(spec, 1, lambda reply, at_s: seen.append(reply)), ScriptedWire()
    hammer.attach(wire)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hammer.run)
        await wire.wait_for(1)
        await body(hammer, wire)
        tasks.cancel_scope.cancel()
    return hammer, seen


async def test_max_sends_the_next_command_from_within_the_reply() -> None:
    async def body(hammer: Hammer, wire: ScriptedWire) -> None:
        for count in range(1, 50):
            assert len(wire.sent) == count
            hammer.replied(ERROR if count % 10 == 0 else REPLY)

    hammer, seen = await hammering(REGISTERS, body)
    count = hammer.count()
    assert (count.returned, count.errors, count.timeouts, count.lost, count.due) == (45, 4, 0, 0, 50)
    assert len(seen) == 49
    assert sum(hammer.latencies) == 49


async def test_a_paced_hammer_has_one_command_out_and_catches_up_late_ones() -> None:
    async def body(hammer: Hammer, wire: ScriptedWire) -> None:
        while hammer.count().due < 10:
            await anyio.sleep(0.001)
        assert len(wire.sent) == 1
        due = hammer.count().due
        for _ in range(due - 1):
            hammer.replied(REPLY)
        assert len(wire.sent) == due

    hammer, _ = await hammering(FAST, body)
    late = [sent for sent in hammer.log if sent.replied_s is not None]
    assert late[0].due_s <= late[0].sent_s
    assert late[5].sent_s > late[5].due_s  # sent late, and its latency counts from when it was due
    assert [sent.due_s for sent in late] == sorted(sent.due_s for sent in late)


async def test_latency_counts_from_when_a_command_was_due() -> None:
    async def body(hammer: Hammer, wire: ScriptedWire) -> None:
        while hammer.count().due < 30:
            await anyio.sleep(0.001)
        hammer.replied(REPLY)
        hammer.replied(REPLY)

    hammer, _ = await hammering(FAST, body)
    below_5ms = sum(hammer.latencies[: LATENCY_BUCKETS_S.index(0.005) + 1])
    assert below_5ms == 0  # 30 ms of silence cannot look like two quick replies
    assert sum(hammer.latencies) == 2


async def test_stopping_sends_nothing_more_and_waits_for_what_is_out() -> None:
    async def body(hammer: Hammer, wire: ScriptedWire) -> None:
        assert not await hammer.quiesce(0.01)
        assert hammer.waiting_since_s is not None
        hammer.replied(REPLY)
        assert await hammer.quiesce(0.01)
        assert len(wire.sent) == 1
        assert not hammer.active

    hammer, seen = await hammering(REGISTERS, body)
    assert len(seen) == 1
    assert hammer.count().hammered_s > 0


async def test_it_can_hammer_again_after_a_pause() -> None:
    async def body(hammer: Hammer, wire: ScriptedWire) -> None:
        hammer.replied(REPLY)
        hammer.stop()
        hammer.replied(REPLY)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hammer.run)
            await wire.wait_for(3)
            hammer.stop()

    hammer, _ = await hammering(REGISTERS, body)
    assert hammer.count().due == 3


async def test_what_is_never_answered_is_booked_as_such() -> None:
    async def given_up(hammer: Hammer, wire: ScriptedWire) -> None:
        hammer.abandon()
        hammer.replied(REPLY)  # too late: nobody waits for it

    hammer, seen = await hammering(REGISTERS, given_up)
    assert (hammer.count().timeouts, hammer.count().returned, seen) == (1, 0, [])

    async def lost(hammer: Hammer, wire: ScriptedWire) -> None:
        hammer.connection_lost()
        assert hammer.waiting_since_s is None

    hammer, _ = await hammering(REGISTERS, lost)
    assert hammer.count().lost == 1
    assert hammer.log[-1].replied_s is None


async def test_who_is_stopped_in_the_middle_of_a_turn_sends_the_rest_of_it() -> None:
    async def unanswered(hammer: Hammer, wire: ScriptedWire) -> None:
        hammer.stop()
        assert not await hammer.quiesce(0.01)
        hammer.replied(REPLY)  # to "stop"
        assert [json.loads(line)["execute"] for line in wire.sent] == ["stop", "cont"]
        assert not await hammer.quiesce(0.01)
        hammer.replied(REPLY)
        assert await hammer.quiesce(0.01)

    hammer, _ = await hammering(STOP_CONT, unanswered)
    assert (hammer.count().returned, hammer.count().due) == (2, 2)

    async def answered(hammer: Hammer, wire: ScriptedWire) -> None:
        hammer.replied(REPLY)  # to "stop"; "cont" is not due yet
        hammer.stop()
        assert [json.loads(line)["execute"] for line in wire.sent] == ["stop", "cont"]
        hammer.replied(REPLY)
        assert await hammer.quiesce(0.01)

    hammer, _ = await hammering(replace(STOP_CONT, rate=Rate(0.5, "2/s")), answered)
    assert hammer.count().due == 2


async def test_a_lost_monitor_gets_no_rest_of_a_turn() -> None:
    async def body(hammer: Hammer, wire: ScriptedWire) -> None:
        wire.closed = True
        hammer.connection_lost()
        assert len(wire.sent) == 1

    hammer, _ = await hammering(STOP_CONT, body)
    assert hammer.count().lost == 1


def test_the_scratch_file_has_no_name_on_disk() -> None:
    path = Path(scratch_path())
    path.write_bytes(b"x")
    assert scratch_path() == str(path)
    assert os.readlink(path).startswith("/memfd:")

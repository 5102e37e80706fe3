from __future__ import annotations

import json

from qstress.hammer.drive import Hammer
from qstress.model import LATENCY_BUCKETS_S, Observation
from qstress.trial.replies import KEPT_REPLIES, HammerCounts, Replies
from tests.samples import REGISTERS
from tests.trial.test_boot_cpu import registers


def reply(eip: int) -> bytes:
    return json.dumps({"return": registers(eip)}).encode()


def test_only_the_last_dumps_are_kept_with_their_times() -> None:
    told: list[Observation] = []
    replies = Replies(told.append)
    for number in range(KEPT_REPLIES + 2):
        replies.add(reply(number), float(number))
    replies.add(b'{"return": ""}', 99.0)
    assert [at_s for at_s, _ in replies.raw] == [float(number) for number in range(2, KEPT_REPLIES + 2)]
    assert [dump.at_s for dump in replies.dumps] == [float(number) for number in range(KEPT_REPLIES + 2)]
    assert told == list(replies.dumps)
    assert told[3].vcpus[0].eip == 3


def test_one_that_cannot_be_read_is_kept_as_it_came_and_passed_over() -> None:
    replies = Replies()
    replies.add(b"CPU#", 1.0)
    assert (list(replies.raw), list(replies.dumps)) == ([(1.0, b"CPU#")], [])


async def test_counts_are_told_piece_by_piece() -> None:
    hammer = Hammer(REGISTERS, 1, lambda reply, at_s: None)
    counts = HammerCounts([hammer])
    for _ in range(2):
        hammer._in_flight = (0.0, 0.0)
        hammer.replied(b'{"return": ""}')
    (first,) = counts.commands()
    assert (first.command, first.returned, sum(counts.latencies())) == (REGISTERS.command, 2, 2)
    hammer._in_flight = (0.0, 0.0)
    hammer.replied(b'{"error": {}}')
    (second,) = counts.commands()
    assert (second.returned, second.errors, sum(counts.latencies())) == (0, 1, 1)


def test_without_hammers_there_is_nothing_to_count() -> None:
    assert HammerCounts(()).commands() == ()
    assert HammerCounts(()).latencies() == (0,) * (len(LATENCY_BUCKETS_S) + 1)

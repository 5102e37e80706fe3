"""What the hammers of a bring-up brought: their last replies, and their counts piece by piece."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from qstress.hammer.drive import Hammer
from qstress.model import LATENCY_BUCKETS_S, CommandCount, Observation
from qstress.registers import parse

#: How many of the last replies are kept whole, and how many parsed.
KEPT_REPLIES, KEPT_DUMPS = 8, 512


class Replies:
    """The last replies that were register dumps; *on_dump* is told each of them. All times are monotonic seconds."""

    def __init__(self, on_dump: Callable[[Observation], None] | None = None) -> None:
        self.raw: deque[tuple[float, bytes]] = deque(maxlen=KEPT_REPLIES)
        self.dumps: deque[Observation] = deque(maxlen=KEPT_DUMPS)
        self._on_dump = on_dump

    def add(self, reply: bytes, at_s: float) -> None:
        """Take in a *reply* that came at *at_s*; one that is no dump, or cannot be read, is passed over."""
        if b"CPU#" not in reply:
            return
        self.raw.append((at_s, reply))
        with suppress(Exception):  # a reply that cannot be read is the fuzzer's business, not this trial's
            dump = parse(reply, at_s)
            if dump.vcpus:
                self.dumps.append(dump)
                if self._on_dump is not None:
                    self._on_dump(dump)


class HammerCounts:
    """What became of the commands of some hammers: each call tells what came since the last one."""

    def __init__(self, hammers: Sequence[Hammer]) -> None:
        self._hammers = hammers
        self._told = tuple(CommandCount(hammer.spec.command) for hammer in hammers)
        self._answered = (0,) * (len(LATENCY_BUCKETS_S) + 1)

    def commands(self) -> tuple[CommandCount, ...]:
        """Return what became of each hammer's commands."""
        before, self._told = self._told, tuple(hammer.count() for hammer in self._hammers)
        return tuple(map(_less, self._told, before))

    def latencies(self) -> tuple[int, ...]:
        """Return the replies of all hammers per bucket of ``LATENCY_BUCKETS_S``, one more for the rest."""
        columns = zip(*(hammer.latencies for hammer in self._hammers), strict=True)
        before, self._answered = self._answered, tuple(map(sum, columns)) or (0,) * len(self._answered)
        return tuple(now - then for now, then in zip(self._answered, before, strict=True))


def _less(now: CommandCount, then: CommandCount) -> CommandCount:
    return CommandCount(
        now.command, now.returned - then.returned, now.errors - then.errors, now.timeouts - then.timeouts,
        now.lost - then.lost, now.hammered_s - then.hammered_s, now.due - then.due,
    )  # fmt: skip

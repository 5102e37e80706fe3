"""One hammer at work: sends on time, hands every reply on, and keeps the books.

``max`` sends the next command from inside the reply's callback. A paced hammer sleeps until a command is due; when the
last reply is still out then, the command is sent right after it and its latency counts from when it was due.
A monitor that stays silent is an observation (:attr:`Hammer.waiting_since_s`), never an exception. A hammer that is
stopped in the middle of a turn (:mod:`qstress.hammer.script`) sends the rest of it at once.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import anyio

from qstress.guest.wire import Wire
from qstress.hammer.pace import due_times
from qstress.hammer.script import Script
from qstress.model import LATENCY_BUCKETS_S, CommandCount, HammerSpec

#: How many commands' times are kept for the evidence.
KEPT_COMMANDS = 4096


class Sent(NamedTuple):
    """One command's times on the monotonic clock: due, sent, answered (None: lost), and the size of its reply."""

    due_s: float
    sent_s: float
    replied_s: float | None
    reply_bytes: int


@cache
def scratch_path() -> str:
    """Return the path of a file that all guests of this process may overwrite: memory, gone when the process is."""
    return f"/proc/{os.getpid()}/fd/{os.memfd_create('qstress-scratch', os.MFD_CLOEXEC)}"


class Hammer:
    """A hammer on one monitor of a guest with *smp* vCPUs. *on_reply* gets ``(reply, at_s)`` for each return, in
    monotonic seconds."""

    def __init__(self, spec: HammerSpec, seed: int, on_reply: Callable[[bytes, float], None], *, smp: int = 1) -> None:
        self.spec = spec
        self.log: deque[Sent] = deque(maxlen=KEPT_COMMANDS)
        self.latencies = [0] * (len(LATENCY_BUCKETS_S) + 1)
        self._seed = seed
        self._on_reply = on_reply
        self._script = Script(spec, seed, smp=smp, scratch=scratch_path() if spec.via == "kick" else "")
        self._wire: Wire | None = None
        self.active = False
        self._started_s = 0.0
        self._hammered_s = 0.0
        self._due = self._returned = self._errors = self._timeouts = self._lost = 0
        self._backlog: deque[float] = deque()
        self._in_flight: tuple[float, float] | None = None
        self._answer = b""
        self._idle = anyio.Event()
        self._scope = anyio.CancelScope()

    def attach(self, wire: Wire) -> None:
        """Give the hammer its connected monitor, on which nothing is in flight."""
        self._wire = wire
        wire.listen(self.replied, self.connection_lost)

    @property
    def waiting_since_s(self) -> float | None:
        """When the command that is still unanswered was sent (monotonic), or None."""
        return None if self._in_flight is None else self._in_flight[1]

    def count(self) -> CommandCount:
        """Return what became of the commands so far."""
        running_s = time.monotonic() - self._started_s if self.active else 0.0
        return CommandCount(
            self.spec.command, self._returned, self._errors, self._timeouts, self._lost,
            self._hammered_s + running_s, self._due,
        )  # fmt: skip

    async def run(self) -> None:
        """Hammer until cancelled or until :meth:`stop`; may be called again after that."""
        if self.active:
            return
        self.active = True
        self._started_s = time.monotonic()
        self._scope = anyio.CancelScope()
        with self._scope:
            try:
                if self.spec.rate.interval_s is None:
                    self._pull()
                    await anyio.sleep_forever()
                for offset_s in due_times(self.spec.rate, self._seed):
                    await anyio.sleep_until(self._started_s + offset_s)  # AnyIO's clock is the monotonic one
                    self._due += 1
                    self._backlog.append(self._started_s + offset_s)
                    self._pull()
            finally:
                self.stop()

    def stop(self) -> None:
        """Send nothing more but the rest of a turn; what is in flight may still be answered."""
        if self.active:
            self.active = False
            self._hammered_s += time.monotonic() - self._started_s
            self._backlog.clear()
            self._scope.cancel()
            self._finish_turn()

    async def quiesce(self, timeout_s: float) -> bool:
        """Stop, wait for the command in flight, and return whether it was answered within *timeout_s*."""
        self.stop()
        if self._in_flight is None:
            return True
        self._idle = anyio.Event()
        with anyio.move_on_after(timeout_s):
            await self._idle.wait()
        return self._in_flight is None

    def abandon(self) -> None:
        """Book the command in flight as unanswered: nobody will wait for it any more."""
        self._timeouts += self._give_up()

    def release(self) -> None:
        """The trial is over: stop, and do not count the command in flight, which nobody waits for."""
        self.stop()
        self._in_flight = None

    def connection_lost(self) -> None:
        """Book the command in flight as lost: its monitor is gone."""
        self._lost += self._give_up()
        self.stop()
        self._idle.set()

    def replied(self, reply: bytes) -> None:
        """Take in one reply line from the wire."""
        now_s = time.monotonic()
        if self._in_flight is None:
            return  # the answer to a command that was given up
        due_s, sent_s = self._in_flight
        self._in_flight, self._answer = None, reply
        self.latencies[bisect_left(LATENCY_BUCKETS_S, now_s - due_s)] += 1
        self.log.append(Sent(due_s, sent_s, now_s, len(reply)))
        if reply.startswith(b'{"return"'):
            self._returned += 1
        else:
            self._errors += 1
        if self.active:
            self._pull()  # first the next command, then our own work: QEMU need not wait for us
        else:
            self._finish_turn()
            if self._in_flight is None:
                self._idle.set()
        self._on_reply(reply, now_s)

    def _give_up(self) -> bool:
        """Forget the command in flight and log it without a reply; return whether there is one."""
        if self._in_flight is None:
            return False
        self.log.append(Sent(*self._in_flight, None, 0))
        self._in_flight = None
        return True

    def _finish_turn(self) -> None:
        if not self._script.at_rest:
            self._send()

    def _pull(self) -> None:
        if self.spec.rate.interval_s is None or self._backlog:
            self._send()

    def _send(self) -> None:
        """Send the next command unless one is out: the one that is due longest, else one that is due now."""
        if self._in_flight is not None or self._wire is None or self._wire.closed:
            return
        now_s = time.monotonic()
        self._due += not self._backlog  # what is in the backlog was counted when it came due
        self._in_flight = (self._backlog.popleft() if self._backlog else now_s, now_s)
        self._wire.send(self._script.next(self._answer))

"""Executes exchanges on a live QEMU and says what came of each op, and what else happened meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby, takewhile

from qstress.fuzz.confined_process import ENDING_S
from qstress.fuzz.exchange import ExchangeOutcome, GuestExit, Stall
from qstress.fuzz.fuzzed_guest import FuzzedGuest
from qstress.fuzz.ops import Await, Close, MeasureFootprint, Op, Open, Result, Send, To, WaitEvent, WaitExit
from qstress.fuzz.protocol import ident_of
from qstress.observe import usage

#: A second monitor that is asked whether it is still served answers within this long, or is taken not to.
PROBE_S = 2.0
#: A thread that never rests always waits for a core on a busy host: no more than this many limits are excused by it.
MOST_EXCUSED = 3


class Executor:
    """Executes ops on *guest*.

    A monitor that is silent for *reply_s* is stalled; what QEMU waits for a core does not count.
    """

    def __init__(self, guest: FuzzedGuest, *, reply_s: float) -> None:
        self._guest = guest
        self._reply_s = reply_s
        self._strays: list[bytes] = []
        self._broken: Stall | None = None
        self._hung_up = self._lingers = False
        self._began_s = time.monotonic()

    def execute(self, ops: Sequence[Op]) -> ExchangeOutcome:
        """Execute *ops* in order; QMP commands that follow each other go out together and are awaited together.

        After a stall, or when QEMU hung up, the rest is not executed: its results are None.
        """
        at_s = time.monotonic() - self._began_s
        self._strays = []
        results: list[Result] = []
        while len(results) < len(ops) and self._broken is None and not self._hung_up:
            op = ops[len(results)]
            if isinstance(op, WaitEvent) and _refused(results):
                results.append(None)  # nothing was begun, so nothing will be told
            elif _is_qmp(op):
                rest = ops[len(results) :]
                results += self._qmp([op for op in takewhile(_is_qmp, rest) if isinstance(op, Send)])
            else:
                results.append(self._other(op))
        results += [None] * (len(ops) - len(results))
        self._guest.poller.pump(0.0)
        self._strays += self._guest.channels[To.QMP].lines()
        # at once, not when that monitor is used next: what closed it is among these ops
        self._hung_up = self._hung_up or any(channel.lost for channel in self._guest.channels.values())
        ended = self._ended()
        if ended is not None:  # why it ended may have reached the control monitor alone
            self._strays += [line for line in self._guest.control.lines() if b'"event"' in line]
        hung_up = self._hung_up and ended is None
        return ExchangeOutcome(at_s, tuple(results), tuple(self._strays), ended, self._broken, hung_up, self._lingers)

    def _other(self, op: Op) -> Result:
        match op:
            case Send():
                return self._hmp(op)
            case Open():
                greeting = self._guest.open(op.to, time.monotonic() + self._reply_s)
                if greeting is None:
                    self._stalled(None, op.to, None)
                return greeting
            case MeasureFootprint():
                return self._guest.footprint()
            case Close():
                self._guest.channels[op.to].close()
            case WaitEvent():
                self._event(op)
            case WaitExit():
                self._lingers = self._guest.ended(within_s=op.within_s) is None
        return None

    def _qmp(self, group: Sequence[Send]) -> list[Result]:
        """Write all of *group*, then read until each reply has come that is waited for."""
        channel = self._guest.channels[To.QMP]
        if channel.sock is None:
            return [None] * len(group)
        deadline_s = time.monotonic() + self._reply_s
        for apart, some in groupby(group, lambda send: send.wait is Await.NOTHING):
            data = [send.data for send in some]
            for part in data if apart else [b"".join(data)]:  # corrupt or a piece: it goes out by itself
                channel.send(part, deadline_s)
        waiting = {send.ident: send for send in group if send.wait is Await.REPLY}
        replies: dict[str, bytes] = {}
        silent = _Silence(self._guest.qemu_pid, self._reply_s)
        while waiting:
            self._guest.poller.pump(min(1.0, self._reply_s))
            lines = channel.lines()
            for line in lines:
                ident = "" if line.startswith(b'{"timestamp"') else ident_of(line)
                if waiting.pop(ident, None) is not None:
                    replies[ident] = line
                else:
                    self._strays.append(line)
            if lines:
                silent.heard()
            elif channel.lost:
                self._hung_up = True
                break
            elif silent.too_long or channel.flooded:
                self._stalled(next(iter(waiting.values())), To.QMP, silent)
                break
        return [replies.get(send.ident) if send.wait is Await.REPLY else None for send in group]

    def _hmp(self, send: Send) -> Result:
        """Type a line; its text is what comes until the next prompt."""
        channel = self._guest.channels[To.HMP]
        if channel.sock is None:
            return None
        self._guest.poller.pump(0.0)
        channel.taken.clear()
        channel.send(send.data, time.monotonic() + self._reply_s)
        if send.wait is Await.NOTHING:
            return None
        silent = _Silence(self._guest.qemu_pid, self._reply_s)
        while not channel.prompted or b"\n" not in channel.taken:
            had = len(channel.taken)
            self._guest.poller.pump(min(1.0, self._reply_s))
            if channel.lost:
                self._hung_up = True
                return None
            if len(channel.taken) > had and not channel.flooded:
                silent.heard()
            elif silent.too_long or channel.flooded:
                self._stalled(send, To.HMP, silent)
                return None
        return bytes(channel.taken)

    def _event(self, op: WaitEvent) -> None:
        """Wait for an event; it may have come already."""
        name = f'"event": "{op.name}"'.encode()
        channel = self._guest.channels[To.QMP]

        def came() -> bool:
            self._strays += channel.lines()
            return channel.lost or any(name in line for line in self._strays)

        self._guest.poller.wait(came, time.monotonic() + op.within_s)

    def _stalled(self, send: Send | None, to: To, silent: _Silence | None) -> None:
        guest, channel = self._guest, self._guest.channels[to]
        waited_s, busy = (silent.waited_s, silent.busy) if silent else (self._reply_s, 0.0)
        if guest.ended(within_s=0.0) is not None:
            self._hung_up = True
            return
        probe_s = min(PROBE_S, self._reply_s)
        in_band = guest.ask("query-status", timeout_s=probe_s) is not None
        out_of_band = in_band or guest.ask("query-yank", timeout_s=probe_s, oob=True) is not None
        flooded, waits, unread = channel.flooded, usage.wait_channels(guest.qemu_pid), channel.unread
        self._broken = Stall(send, to, waited_s, in_band, out_of_band, busy, flooded, waits, unread)

    def linger(self, seconds: float) -> ExchangeOutcome:
        """Watch QEMU for a while without sending anything."""
        return ExchangeOutcome(time.monotonic() - self._began_s, (), (), self._guest.ended(within_s=seconds))

    def _ended(self) -> GuestExit | None:
        """Return how QEMU ended, given time to be gone where a monitor was hung up on.

        One that still serves its control monitor is not about to end: nothing is to be waited for.
        """
        lost = self._hung_up or self._guest.control.lost
        if lost and self._guest.ask("query-status", timeout_s=min(PROBE_S, self._reply_s)) is not None:
            return None
        return self._guest.ended(within_s=ENDING_S if lost else 0.0)


class _Silence:
    """How long nothing came, not counting what a thread of QEMU waited for a core: our host's load is not a stall."""

    def __init__(self, pid: int, limit_s: float) -> None:
        self._pid = pid
        self._limit_s = limit_s
        self.heard()

    def heard(self) -> None:
        """Something came."""
        self._since_s = time.monotonic()
        self._before: tuple[float, float] | None = None

    @property
    def waited_s(self) -> float:
        """Seconds since something came."""
        return time.monotonic() - self._since_s

    @property
    def busy(self) -> float:
        """The share of a core that QEMU's main thread used since the silence was first looked at."""
        ran, _ = usage.run_and_queue_s(self._pid)
        before = self._before or (ran, 0.0)
        return min(1.0, (ran - before[0]) / max(self.waited_s, 1e-9))

    @property
    def too_long(self) -> bool:
        """Whether the silence has to be explained."""
        ran, queued = usage.run_and_queue_s(self._pid)
        if self._before is None:
            self._before = (ran, queued)
        excused_s = min(queued - self._before[1], MOST_EXCUSED * self._limit_s)
        return self.waited_s - excused_s >= self._limit_s


def _is_qmp(op: Op) -> bool:
    return isinstance(op, Send) and op.to is To.QMP


def _refused(results: Sequence[Result]) -> bool:
    return bool(results) and isinstance(results[-1], bytes) and b'"error": {' in results[-1]

"""Part of ``make bench``: fuzzing with every oracle on, against a bare socket that sends the same bytes.

A session fuzzes confined guests as ``configs/fuzz-quick.yaml`` does; the bytes of each life, the oracles' own queries
included, then go to a new guest of the same kind, by a loop that waits for the replies and looks at nothing else. Not a
test: nothing here passes or fails.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from qstress.fuzz.channel import PROMPTS
from qstress.fuzz.exchange import Exchange
from qstress.fuzz.findings import Findings
from qstress.fuzz.fuzzed_guest import FuzzedGuest
from qstress.fuzz.generator import GeneratorSettings
from qstress.fuzz.ops import Await, Close, Op, Open, Send, To, WaitEvent
from qstress.fuzz.session import Session, Target, Trace
from tests.fuzz.guests import ARGUMENTS, QEMU, guest_setup
from tools.bench import report

PAIRS = 9
COMMANDS = 1000
#: A guest that ended sooner says little about the pace.
FEWEST = 300
PATIENCE_S = 5.0
#: With a negative number these keep 7.2's main loop busy for ever, and a stall of seconds is no pace.
STALLS = ("memsave", "pmemsave", "announce-self", "hmp memsave", "hmp pmemsave", "hmp announce_self", "hmp sum")


class Timed(Session):
    """A session of which each guest's exchanges but the last one, which may have ended it, are kept, and their time."""

    def _fuzz(self, guest: FuzzedGuest, arguments: tuple[str, ...], over: Callable[[], bool]) -> Trace:
        begun_s: list[float] = []

        def timed() -> bool:
            begun_s.append(time.perf_counter())
            return over()

        trace = super()._fuzz(guest, arguments, timed)
        self.lived = [exchange for exchange, _ in trace[:-1]]
        self.took_s = begun_s[len(self.lived)] - begun_s[0]
        return trace


class Bare:
    """The barest client that sends the same in the same order: replies are found by their ids, and not read."""

    def __init__(self, guest: FuzzedGuest) -> None:
        self._guest = guest
        self._socks: dict[To, socket.socket] = {}
        self._taken = {To.QMP: bytearray(), To.HMP: bytearray()}

    def play(self, ops: Sequence[Op]) -> None:
        """Play one exchange; QMP commands that follow each other go out together, as the executor sends them."""
        for group in grouped(ops):
            match group[0]:
                case Open(to=to):
                    self._open(to)
                case Close(to=to):
                    self._guest.channels[to].close()
                case WaitEvent() as event:
                    self._event(event)
                case Send(to=To.HMP) as send:
                    self._hmp(send)
                case Send():
                    self._qmp([op for op in group if isinstance(op, Send)])
        self._guest.poller.pump(0.0)  # the console, on which QEMU would block

    def _open(self, to: To) -> None:
        self._guest.open(to, time.monotonic() + PATIENCE_S)
        sock = self._guest.channels[to].sock
        assert sock is not None
        self._guest.poller.remove(sock.fileno())
        sock.settimeout(PATIENCE_S)
        self._socks[to] = sock

    def _read(self, to: To) -> None:
        data = self._socks[to].recv(1 << 18)
        if not data:
            raise ConnectionError
        self._taken[to] += data

    def _qmp(self, group: Sequence[Send]) -> None:
        taken = self._taken[To.QMP]
        taken.clear()
        whole = b""
        for send in group:
            if send.wait is Await.NOTHING:
                self._socks[To.QMP].sendall(whole + send.data)
                whole = b""
            else:
                whole += send.data
        self._socks[To.QMP].sendall(whole)
        for send in group:
            if send.wait is Await.REPLY:
                ident = f'"id": "{send.ident}"'.encode()
                while taken.find(ident) < 0:
                    self._read(To.QMP)
        while not taken.endswith(b"\n"):
            self._read(To.QMP)

    def _hmp(self, send: Send) -> None:
        taken = self._taken[To.HMP]
        taken.clear()
        self._socks[To.HMP].sendall(send.data)
        while send.wait is Await.PROMPT and not (taken.endswith(PROMPTS) and b"\n" in taken):
            self._read(To.HMP)

    def _event(self, event: WaitEvent) -> None:
        taken, sock = self._taken[To.QMP], self._socks[To.QMP]
        deadline_s, name = time.monotonic() + event.within_s, f'"event": "{event.name}"'.encode()
        while b'"error": {' not in taken and name not in taken and (left_s := deadline_s - time.monotonic()) > 0:
            sock.settimeout(left_s)
            try:
                self._read(To.QMP)
            except TimeoutError:
                break
        sock.settimeout(PATIENCE_S)


def grouped(ops: Sequence[Op]) -> Iterator[list[Op]]:
    """Yield QMP commands that follow each other together, anything else alone."""
    group: list[Op] = []
    for op in ops:
        if group and not (isinstance(op, Send) and op.to is To.QMP and isinstance(group[0], Send)
                          and group[0].to is To.QMP):  # fmt: skip
            yield group
            group = []
        group.append(op)
    if group:
        yield group


def sent(exchanges: Sequence[Exchange]) -> int:
    """Return how many messages *exchanges* sent."""
    return sum(isinstance(op, Send) for exchange in exchanges for op in exchange.ops)


def bare_seconds(exchanges: Sequence[Exchange]) -> float | None:
    """Play *exchanges* on a new guest; return how long it took, None when this guest did not live through it."""
    with guest_setup().guest(QEMU, ARGUMENTS) as guest:
        client = Bare(guest)
        began_s = time.perf_counter()
        try:
            for exchange in exchanges:
                client.play(exchange.ops)
        except OSError:
            return None
        return time.perf_counter() - began_s


def main() -> None:
    """Print both rates and their ratio."""
    ratios: list[float] = []
    ours: list[float] = []
    theirs: list[float] = []
    other = 0
    with tempfile.TemporaryDirectory(prefix="qstress-") as folder:
        findings = Findings(Path(folder) / "findings", (), "")
        settings = GeneratorSettings(commands=COMMANDS, weights=dict.fromkeys(STALLS, 0.0))
        session = Timed(Target(QEMU, "", (ARGUMENTS,), ()), settings, replace(guest_setup(), reply_s=2.0), findings,
                        Path(folder), seed=1)  # fmt: skip
        while len(ratios) < PAIRS:
            session.run(duration_s=None, guests=session.totals.guests + 1)
            lived = session.lived
            if sent(lived) < FEWEST or (bare_s := bare_seconds(lived)) is None:
                other += 1
                continue
            ours.append(sent(lived) / session.took_s)
            theirs.append(sent(lived) / bare_s)
            ratios.append(ours[-1] / theirs[-1])
    report("fuzzed commands/s, all oracles on, tcg -smp 2", ours, ">= 1000", f"{other} guests ended early")
    report("the same bytes by a bare socket", theirs, "-")
    report("fuzzed / bare socket", ratios, ">= 0.80")


if __name__ == "__main__":
    main()

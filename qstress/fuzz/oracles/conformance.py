"""A reply or an event breaks the protocol or QEMU's own schema (pure; :mod:`qstress.fuzz.protocol` knows the rules)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote

from qstress.fuzz.commands import command_label
from qstress.fuzz.exchange import Exchange, ExchangeOutcome
from qstress.fuzz.ops import Await, Send, To
from qstress.fuzz.oracles.oracle import Fault, Oracle
from qstress.fuzz.protocol import TWICE, Answered, Reader, ident_of, telling
from qstress.fuzz.recording import Recording


class ConformanceOracle(Oracle):
    """Each answer, and each line that answers no command."""

    kind = "protocol"
    shell_refusal = "The broken reply has to be held against QEMU's schema."
    #: A second reply comes before the next one.
    coda = (Send(To.QMP, b'{"execute": "query-yank", "id": "r0"}\n', Await.REPLY, "r0", "query-yank"),)

    def __init__(self, reader: Reader, *, host_bytes: int) -> None:
        super().__init__(reader, host_bytes=host_bytes)
        self._last_sends: list[Send] = []

    def judge(self, exchange: Exchange, outcome: ExchangeOutcome, answers: Sequence[Answered]) -> list[Fault]:
        """Return what is wrong with the answers, then with stray lines."""
        faults = []
        for each in answers:
            if each.digest.fault:
                about = command_label(each.send)
                faults.append(Fault(self.kind, f"{about}: {each.digest.fault}", about))
        faults += self._strays(exchange.sends, outcome)
        self._last_sends = exchange.sends
        return faults

    def _strays(self, sends: Sequence[Send], outcome: ExchangeOutcome) -> Iterator[Fault]:
        corrupt = any(send.wait is Await.NOTHING for send in sends)
        outstanding = [send.ident for send in sends] if outcome.stall else ()
        for line in outcome.strays:
            if wrong := self._reader.stray(line, garbage=corrupt, outstanding=outstanding):
                ident = ident_of(line)
                known = [send for send in (*sends, *self._last_sends) if ident and send.ident == ident]
                named = known or (sends if len(sends) == 1 else [])
                at = command_label(named[0]) if named else ""
                text = line[:200].decode(errors="replace").strip()
                yield Fault(self.kind, f"{at}: {wrong}" if at else wrong, at, (text,), telling(line, wrong))

    @classmethod
    def shell_verdict(cls, recording: Recording) -> Iterator[str]:
        """It shows when QMP said the telling part, or said it twice."""
        if not recording.telling:
            return
        times = 2 if recording.title.endswith(TWICE) else 1
        yield f"telling={quote(recording.telling)}"
        yield f'shown() {{ test "$(grep -caF -e "$telling" qmp.log)" -ge {times}; }}'
        yield 'await shown; grep -aF -e "$telling" qmp.log; shown'

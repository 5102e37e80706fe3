"""A reply or an event breaks the protocol or QEMU's own schema (pure; :mod:`qstress.fuzz.protocol` knows the rules)."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from qstress.fuzz.ops import Await, Send, To
from qstress.fuzz.oracles.oracle import Fault, Observed, Oracle
from qstress.fuzz.protocol import TWICE, ident_of, telling
from qstress.fuzz.recording import Recording


class ConformanceOracle(Oracle):
    """Each answer, and each line that answers no command."""

    kind = "protocol"
    expected = "replies and events keep to the protocol and to QEMU's own schema"
    shell_shows = "it prints the broken reply"
    shell_refusal = "The broken reply has to be held against QEMU's schema."
    #: A second reply comes before the next one.
    coda = (Send(To.QMP, b'{"execute": "query-yank", "id": "r0"}\n', Await.REPLY, "r0", "query-yank"),)

    def __init__(self) -> None:
        self._last_sends: list[Send] = []

    def judge(self, seen: Observed) -> list[Fault]:
        """Return what is wrong with the answers, then with stray lines."""
        broken = [(each.send.label, each.digest.fault) for each in seen.answers if each.digest.fault]
        faults = [Fault(self.kind, f"{about}: {wrong}", about) for about, wrong in broken]
        faults += self._strays(seen)
        self._last_sends = seen.exchange.sends
        return faults

    def _strays(self, seen: Observed) -> Iterator[Fault]:
        sends, outcome = seen.exchange.sends, seen.outcome
        corrupt = any(send.wait is Await.NOTHING for send in sends)
        outstanding = [send.ident for send in sends] if outcome.stall else ()
        for line in outcome.strays:
            if wrong := seen.reader.stray(line, garbage=corrupt, outstanding=outstanding):
                ident = ident_of(line)
                known = [send for send in (*sends, *self._last_sends) if ident and send.ident == ident]
                named = known or (sends if len(sends) == 1 else [])
                at = named[0].label if named else ""
                text = line[:200].decode(errors="replace").strip()
                yield Fault(self.kind, f"{at}: {wrong}" if at else wrong, at, (text,), telling(line, wrong))

    def shell_verdict(self, recording: Recording) -> Iterator[str]:
        """It shows when QMP said the telling part, or said it twice."""
        if not recording.telling:
            return
        times = 2 if recording.title.endswith(TWICE) else 1
        yield f"telling={quote(recording.telling)}"
        yield f'shown() {{ test "$(grep -caF -e "$telling" qmp.log)" -ge {times}; }}'
        yield 'await shown; grep -aF -e "$telling" qmp.log; shown'

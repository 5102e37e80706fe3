"""A monitor does not answer, or QEMU does not end although it said so (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qstress.fuzz.commands import command_name
from qstress.fuzz.exchange import Exchange, ExchangeOutcome, Stall
from qstress.fuzz.ops import To
from qstress.fuzz.oracles.oracle import Fault, Oracle
from qstress.fuzz.protocol import Answered
from qstress.fuzz.recording import Recording


class StallOracle(Oracle):
    """No reply, no prompt after an HMP line, no greeting, or no end."""

    kind = "stall"
    blame = 20

    def judge(self, exchange: Exchange, outcome: ExchangeOutcome, answers: Sequence[Answered]) -> list[Fault]:
        """Return the stall, named by the command and by what else was silent."""
        faults = [self._stalled(outcome.stall)] if outcome.stall else []
        if outcome.lingers:
            faults.append(Fault(self.kind, "quit: it does not end: QEMU lives on", "quit"))
        return faults

    def _stalled(self, stall: Stall) -> Fault:
        at = command_name(stall.send) if stall.send else f"{stall.to}: connect"
        what = "no prompt after" if stall.to is To.HMP and stall.send else "no reply to"
        because = (
            f"silent for {stall.waited_s:.1f} s; the main thread used {100 * stall.busy:.0f} % of a core; QEMU has "
            f"{'not read' if stall.unread else 'read'} all that was sent"
        )
        return Fault(self.kind, f"{what} {at}: {stall.picture}", at, (because, *stall.waits))

    @classmethod
    def signature(cls, title: str) -> str:
        """The picture alone: a stall is blamed on the oldest command of a batch, which may be a neighbour."""
        return title.rpartition(": ")[2]

    @classmethod
    def shell_verdict(cls, recording: Recording) -> Iterator[str]:
        """It shows when an answer did not come in time and QEMU lives."""
        yield 'if test -n "$silent"; then echo "silent, and it lives"; else echo "all was answered"; fi'
        yield 'test -n "$silent"'

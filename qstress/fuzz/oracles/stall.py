"""A monitor does not answer, or QEMU does not end although it said so (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from qstress.fuzz.exchange import Stall
from qstress.fuzz.ops import To
from qstress.fuzz.oracles.oracle import Fault, Observed, Oracle
from qstress.fuzz.recording import Recording


class StallOracle(Oracle):
    """No reply, no prompt after an HMP line, no greeting, or no end."""

    kind = "stall"
    expected = "each command is answered, if by an error"
    shell_shows = "it prints `silent, and it lives`"
    stacks_at = "silence"
    blame = 20

    def judge(self, seen: Observed) -> list[Fault]:
        """Return the stall, named by the command and by what else was silent."""
        stall = seen.outcome.stall
        faults = [self._stalled(stall)] if stall else []
        if seen.outcome.lingers:
            faults.append(Fault(self.kind, "quit: it does not end: QEMU lives on", "quit"))
        return faults

    def _stalled(self, stall: Stall) -> Fault:
        at = stall.send.bare_label if stall.send else f"{stall.to}: connect"
        what = "no prompt after" if stall.to is To.HMP and stall.send else "no reply to"
        because = (
            f"silent for {stall.waited_s:.1f} s; the main thread used {100 * stall.busy:.0f} % of a core; QEMU has "
            f"{'not read' if stall.unread else 'read'} all that was sent"
        )
        return Fault(self.kind, f"{what} {at}: {stall.picture}", at, (because, *stall.waits))

    def signature(self, title: str) -> str:
        """What was silent: the oldest command of a batch is blamed, and another one may have caused it."""
        return title.rpartition(": ")[2]

    def shell_verdict(self, recording: Recording) -> Iterator[str]:
        """It shows when an answer did not come in time and QEMU lives."""
        yield 'if test -n "$silent"; then echo "silent, and it lives"; else echo "all was answered"; fi'
        yield 'test -n "$silent"'

"""QEMU closed a monitor's connection and lives on (pure)."""

from __future__ import annotations

from qstress.fuzz.oracles.oracle import Fault, Observed, Oracle


class HangUpOracle(Oracle):
    """A connection that ended although QEMU serves its control monitor."""

    kind = "hung-up"
    expected = "QEMU keeps the connection open; only its client closes it"
    blame = 4

    def judge(self, seen: Observed) -> list[Fault]:
        """Return the fault, blamed on the first command without an answer."""
        if not seen.outcome.hung_up:
            return []
        at = seen.unanswered
        return [Fault(self.kind, f"QEMU hung up on a monitor at {at} and lives", at)]

    def signature(self, title: str) -> str:
        """The title without the command: in a batch, another one may have caused it."""
        return title.partition(" at ")[0]

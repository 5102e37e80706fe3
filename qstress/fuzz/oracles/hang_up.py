"""QEMU closed a monitor's connection and lives on (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from qstress.fuzz.exchange import Exchange, ExchangeOutcome
from qstress.fuzz.oracles.oracle import Fault, Oracle, unanswered_label
from qstress.fuzz.protocol import Answered


class HangUpOracle(Oracle):
    """A connection that ended although QEMU serves its control monitor."""

    kind = "hung-up"
    blame = 4

    def judge(self, exchange: Exchange, outcome: ExchangeOutcome, answers: Sequence[Answered]) -> list[Fault]:
        """Return the fault, blamed on the first command without an answer."""
        at = unanswered_label(answers)
        return [Fault(self.kind, f"QEMU hung up on a monitor at {at} and lives", at)] if outcome.hung_up else []

    @classmethod
    def signature(cls, title: str) -> str:
        """Without the command: in a batch that may be a neighbour."""
        return title.partition(" at ")[0]

"""All oracles, and what each of them says of one exchange after another (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from qstress.fuzz.exchange import Exchange, ExchangeOutcome
from qstress.fuzz.oracles.conformance import ConformanceOracle
from qstress.fuzz.oracles.crash import CrashOracle
from qstress.fuzz.oracles.hang_up import HangUpOracle
from qstress.fuzz.oracles.leak import LeakOracle
from qstress.fuzz.oracles.oracle import Fault, Observed, Oracle
from qstress.fuzz.oracles.stall import StallOracle
from qstress.fuzz.oracles.state import StateOracle
from qstress.fuzz.protocol import Answered, Reader
from qstress.fuzz.recording import Recording

#: Worst first.
ORACLES: tuple[type[Oracle], ...] = (
    CrashOracle, StallOracle, HangUpOracle, ConformanceOracle, LeakOracle, StateOracle,
)  # fmt: skip
_BY_KIND = {oracle.kind: oracle() for oracle in ORACLES}


def oracle_of(kind: str) -> Oracle:
    """Return the oracle whose faults are of *kind*.

    :raises ValueError: there is none.
    """
    if kind not in _BY_KIND:
        raise ValueError(f"no oracle finds {kind!r}; known: {', '.join(_BY_KIND)}")
    return _BY_KIND[kind]


def shows(recording: Recording, fault: Fault) -> bool:
    """Whether *fault* is the one that was recorded."""
    signature = oracle_of(recording.kind).signature
    return fault.kind == recording.kind and not fault.is_note and signature(fault.title) == signature(recording.title)


class Judge:
    """Judges the exchanges of one guest, in order.

    :param host_bytes: this host's memory.
    """

    def __init__(self, reader: Reader, *, host_bytes: int) -> None:
        self._reader, self._host_bytes = reader, host_bytes
        self._oracles = [oracle() for oracle in ORACLES]

    def judge(self, exchange: Exchange, outcome: ExchangeOutcome, answers: Sequence[Answered]) -> list[Fault]:
        """Return what is wrong with what came of *exchange*, worst first."""
        seen = Observed(exchange, outcome, answers, self._reader, self._host_bytes)
        return [fault for oracle in self._oracles for fault in oracle.judge(seen)]

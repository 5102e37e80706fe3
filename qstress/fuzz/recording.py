"""A guest and what was done to it: what a finding is repeated from (pure; :mod:`qstress.fuzz.transcript` writes it)."""

from __future__ import annotations

from dataclasses import dataclass

from qstress.fuzz.exchange import PROBE_AGAIN, Exchange
from qstress.fuzz.ops import Send


@dataclass(frozen=True, slots=True)
class Recording:
    """``arguments`` define the guest, without the binary; ``env`` is added to a minimal environment.

    ``kind`` is that of the oracle which found it. ``telling`` is a line by which the fault can be seen in what the
    monitors said, where there is one. After the last step QEMU is watched for ``linger_s`` more: what it began may end
    it later.
    """

    title: str
    kind: str
    binary: str
    version: str
    arguments: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    steps: tuple[Exchange, ...]
    telling: str = ""
    linger_s: float = 0.0

    @property
    def sends(self) -> list[Send]:
        """What it sends beside the negotiation and the session's own state queries."""
        sends = [send for step in self.steps for send in step.sends]
        return [send for send in sends if send.command != "qmp_capabilities" and not send.is_state_query]

    @property
    def commands(self) -> int:
        """How many commands it takes; one that is probed for growth counts once, however often it is repeated."""
        probed = {op for step in self.steps if step.kind == PROBE_AGAIN for op in step.ops}
        return sum(send not in probed for send in self.sends) + bool(probed)

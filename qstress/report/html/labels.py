"""Names for the axes of a plan, no longer than it takes to tell them apart."""

from __future__ import annotations

from qstress.model import Stratum
from qstress.stats.tally import Tally


class Labels:
    """Labels for the strata of one tally: what all strata share is left out."""

    def __init__(self, tally: Tally) -> None:
        strata = [cell.cell.stratum for cell in tally.cells]
        self._same_commands = len({tuple(hammer.command for hammer in s.hammers) for s in strata}) == 1
        self._smps = len({s.shape.smp for s in strata}) > 1
        self._machines = len({s.shape.machine for s in strata}) > 1
        self._hammers = len({s.hammer_label for s in strata}) > 1
        self._hosts = len({s.host for s in strata}) > 1

    def stratum(self, stratum: Stratum) -> str:
        """Return what tells *stratum* from the others: ``smp 4, @ max``; nothing where there is only one."""
        parts = [f"smp {stratum.shape.smp}"] if self._smps else []
        parts += [stratum.shape.machine] if self._machines else []
        parts += [self.hammer(stratum)] if self._hammers else []
        return ", ".join(parts + self._host(stratum))

    def shape(self, stratum: Stratum) -> str:
        """Return the shape of *stratum*: ``smp 4``, with its machine and its host where there are several."""
        machine = [stratum.shape.machine] if self._machines else []
        return ", ".join([f"smp {stratum.shape.smp}", *machine, *self._host(stratum)])

    def _host(self, stratum: Stratum) -> list[str]:
        return [f"on {stratum.host.name}"] if self._hosts and stratum.host else []

    def hammer(self, stratum: Stratum) -> str:
        """Return the hammers of *stratum*: their rates alone where they all send the same commands."""
        if not self._same_commands or not stratum.hammers:
            return stratum.hammer_label
        rates = [f"@ {hammer.rate.text}" for hammer in stratum.hammers]
        return " + ".join(rates + ([f"churn {stratum.churn.text}"] if stratum.churn else []))

"""Whether a class depends on the host that ran the guests: each host against the others, by an exact test.

A courtesy for who looks for a host that is not like the others. Hosts are not drawn by lot for blocks, and may have run
them at other times of the day; there are as many tests as hosts and classes. So nothing is decided here, and what
decides (:mod:`qstress.stats.compare`) does not look at it.
"""

from __future__ import annotations

from dataclasses import dataclass

from qstress.model import FindingClass, Host
from qstress.stats.cells import CellTally
from qstress.stats.exact import Table
from qstress.stats.strata import stratified_greater
from qstress.stats.tally import Tally

#: A difference is spoken of where so small a p, multiplied by the number of tests, is still left.
SPOKEN_OF = 0.01


@dataclass(frozen=True, slots=True)
class HostContrast:
    """One class on one host (a) against all others (b). ``table`` has trials over all cells, ``p`` is two-sided and
    within cells: with whole process-runs as units where trials share a process."""

    host: Host
    of_class: FindingClass
    table: Table
    p: float


@dataclass(frozen=True, slots=True)
class HostContrasts:
    """All of them; their number is that of the tests."""

    each: tuple[HostContrast, ...]

    @property
    def spoken_of(self) -> list[HostContrast]:
        """Those that differ by more than so many tests explain, the smallest p first."""
        found = [one for one in self.each if one.p * len(self.each) < SPOKEN_OF]
        return sorted(found, key=lambda one: one.p)

    @property
    def smallest_p(self) -> float:
        """The smallest p of all; 1 without any."""
        return min((one.p for one in self.each), default=1.0)


def contrast_hosts(tally: Tally) -> HostContrasts:
    """Return each host of *tally* against the others in each class that was seen; nothing with fewer than two hosts."""
    hosts = tally.hosts
    if len(hosts) < 2:
        return HostContrasts(())
    groups = tally.by_plan()
    seen = [c for c in FindingClass if any(cell.classes[c] for cell in tally.cells)]
    return HostContrasts(tuple(_contrast(groups, host, c) for c in seen for host in hosts))


def _contrast(groups: list[list[CellTally]], host: Host, of_class: FindingClass) -> HostContrast:
    trials, units = [], []
    for cells in groups:
        mine = [cell for cell in cells if cell.cell.stratum.host == host]
        rest = [cell for cell in cells if cell.cell.stratum.host != host]
        trials.append(Table(*_trials(mine, of_class), *_trials(rest, of_class)))
        units.append(Table(*_units(mine, of_class), *_units(rest, of_class)))
    greater, less = stratified_greater(units), stratified_greater([table.swapped for table in units])
    return HostContrast(host, of_class, Table.total(trials), min(1.0, 2.0 * min(greater, less)))


def _trials(cells: list[CellTally], of_class: FindingClass) -> tuple[int, int]:
    return sum(cell.classes[of_class] for cell in cells), sum(cell.n for cell in cells)


def _units(cells: list[CellTally], of_class: FindingClass) -> tuple[int, int]:
    """Return in how many units the class showed, and how many there were."""
    showed = (
        sum(found > 0 for found in cell.by_run.found([of_class])) if cell.clustered else cell.classes[of_class]
        for cell in cells
    )
    return sum(showed), sum(cell.runs if cell.clustered else cell.n for cell in cells)

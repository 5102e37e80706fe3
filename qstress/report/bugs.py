"""One bug, one entry: what cells showed, grouped by class and by what it says without numbers, whatever its signature.

A finding's own story names its vCPUs; what tells bugs apart does not. Which AP was lost, and how many of how many, is
where the dice fell. Titles are grouped as they are read, so runs recorded long ago are grouped likewise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from qstress.model import Cell, FindingClass, Host
from qstress.stats.tally import CellFinding

#: Classes whose titles quote somebody else, so that a number in them may be what tells two bugs apart.
_QUOTED = (FindingClass.CRASH, FindingClass.GUEST_PANIC, FindingClass.MONITOR_STALL, FindingClass.HOST_KERNEL)
_BOOT_CPU = re.compile(r"\bCPU#0\b(?!, )")
_APS = re.compile(r"\b(?:CPU#\d+(?:, CPU#\d+)*(?:, … \(\d+ in all\))?|AP \d+)")
_COUNTS = re.compile(r"waits for \d+ vCPUs and has \d+")
_NUMBER = re.compile(r"\b(?:0x[0-9a-f]+|\d+)\b")
#: Whether the boot CPU was seen to spin, or only to wait, is how much was seen of one bug.
_SEEN_DOING = re.compile(r" while the boot CPU (?:spins|waits)$")


_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class Bug:
    """All findings of one class that say the same: ``findings`` has one for each cell and signature, the most frequent
    first. ``title`` has no numbers of vCPUs."""

    finding_class: FindingClass
    title: str
    findings: tuple[CellFinding, ...]

    @property
    def count(self) -> int:
        """How often it was seen."""
        return sum(finding.count for finding in self.findings)

    @property
    def uncounted(self) -> int:
        """How many of these lie in blocks that were never finished, and enter no rate."""
        return sum(finding.uncounted for finding in self.findings)

    @property
    def cells(self) -> dict[Cell, int]:
        """How often each cell showed it, in the order of ``findings``."""
        return _added_up((finding.cell, finding.count) for finding in self.findings)

    @property
    def sizes(self) -> dict[tuple[str, int], int]:
        """The same by build and -smp, over machines, hammers and hosts."""
        return _added_up(((cell.build.name, cell.stratum.shape.smp), count) for cell, count in self.cells.items())

    @property
    def places(self) -> dict[tuple[str, int, Host | None], int]:
        """The same by build, -smp and host."""
        return _added_up(
            ((cell.build.name, cell.stratum.shape.smp, cell.stratum.host), count) for cell, count in self.cells.items()
        )

    @property
    def signatures(self) -> dict[str, int]:
        """Its variants, and how often each was seen."""
        return _added_up((finding.signature, finding.count) for finding in self.findings)

    @property
    def evidence(self) -> list[str]:
        """The evidence folders that were kept, relative to the run, those of the most frequent variant first."""
        return [folder for finding in self.findings for folder in finding.evidence]


def _added_up(counts: Iterable[tuple[_Key, int]]) -> dict[_Key, int]:
    """Return the sum of the counts of each key, keys in the order in which they come."""
    sums: Counter[_Key] = Counter()
    for key, count in counts:
        sums[key] += count
    return sums


def bugs(findings: Iterable[CellFinding]) -> list[Bug]:
    """Return *findings* as bugs, by class in the order of :class:`FindingClass`, the most frequent first."""
    groups: dict[tuple[FindingClass, str], list[CellFinding]] = {}
    for finding in sorted(findings, key=lambda finding: -finding.count):
        key = _SEEN_DOING.sub("", bug_title(finding.finding_class, finding.title))
        groups.setdefault((finding.finding_class, key), []).append(finding)
    order = list(FindingClass)
    found = [Bug(kind, bug_title(kind, group[0].title), tuple(group)) for (kind, _), group in groups.items()]
    return sorted(found, key=lambda bug: (order.index(bug.finding_class), -bug.count))


def bug_title(finding_class: FindingClass, title: str) -> str:
    """Return *title* without what differs between two findings of one bug.

    >>> bug_title(FindingClass.LOST_INIT, "lost INIT: CPU#1, CPU#3 never left the reset vector while CPU#0 spins")
    'lost INIT: an AP never left the reset vector while the boot CPU spins'
    """
    said = _APS.sub("an AP", _BOOT_CPU.sub("the boot CPU", title))
    if finding_class in _QUOTED:
        return said
    return _NUMBER.sub("N", _COUNTS.sub("waits for more vCPUs than have come", said))

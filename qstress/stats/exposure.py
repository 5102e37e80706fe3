"""Whether both arms of a stratum stood under the same fire: a candidate that is only slower shows fewer hangs.

Two measures: the duty cycle D (the share of the time up to the INIT in which some AP's state was read and not yet
written back; only with a window log), over all counted trials, and the commands a bring-up got, over those that ended
``ok`` (a hung one is hammered until its verdict). One value a process-run, its mean, so that trials that share a
process count once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from qstress.model import Cell

#: Outside of these a ratio is material: the limits by which two medicines count as equivalent (FDA, 1992 on).
MATERIAL = (0.8, 1.25)
#: How many standard errors apart two means must be before their ratio is believed: 99 %, two-sided.
SURE = 2.576
#: With fewer process-runs in an arm no mean is believed.
RUNS_MIN = 8


@dataclass(slots=True)
class Moments:
    """The mean and the variance of values as they come (Welford, 1962)."""

    count: int = 0
    mean: float = 0.0
    _squares: float = 0.0

    def add(self, value: float) -> None:
        """Take in one value."""
        self.count += 1
        before = value - self.mean
        self.mean += before / self.count
        self._squares += before * (value - self.mean)

    @property
    def variance(self) -> float:
        """The variance of the values (over n - 1); 0 with fewer than two."""
        return self._squares / (self.count - 1) if self.count > 1 else 0.0


class ExposureMeasure(StrEnum):
    """What exposure is measured by, in the words of reports."""

    DUTY = "D"
    COMMANDS = "commands per bring-up"


@dataclass(frozen=True, slots=True)
class Exposure:
    """One measure of one stratum: the mean in ``cell`` (the candidate's) beside the mean in the baseline's.

    ``differs`` says whether the arms differ materially and not by chance.
    """

    measure: ExposureMeasure
    cell: Cell
    baseline: float
    candidate: float
    differs: bool

    @property
    def less(self) -> bool:
        """Whether the candidate was materially less exposed."""
        return self.differs and self.candidate < self.baseline


def exposure_of_arms(measure: ExposureMeasure, cell: Cell, baseline: Moments, candidate: Moments) -> Exposure | None:
    """Return both arms' means of *measure*; None where an arm has none.

    They differ where the ratio of the means is outside of :data:`MATERIAL`, they are further apart than 99 % of chance
    differences (Welch), and each rests on at least :data:`RUNS_MIN` process-runs.
    """
    a, b = baseline, candidate
    if not a.count or not b.count:
        return None
    material = not MATERIAL[0] * a.mean <= b.mean <= MATERIAL[1] * a.mean
    sure = abs(a.mean - b.mean) > SURE * math.sqrt(a.variance / a.count + b.variance / b.count)
    return Exposure(measure, cell, a.mean, b.mean, material and sure and min(a.count, b.count) >= RUNS_MIN)

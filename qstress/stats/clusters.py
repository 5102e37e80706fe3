"""Trials that share a process: what each process-run showed, how unlike they are, and what an interval makes of it.

Trials of one process may share its fate (where its threads ended up, what its memory holds), so k hangs in n of them
say less than k in n fresh processes. Rates stay per trial; their intervals are widened by how much the process-runs
differ more than independent trials would, and claims at alpha take a process-run as one unit.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from qstress.model import FindingClass
from qstress.stats.intervals import Interval, clopper_pearson

if TYPE_CHECKING:
    _Numbers = array[int]
else:
    _Numbers = array  # takes no parameter before Python 3.12, and store/sums.py looks at it

#: What an index of dispersion begins with: so many findings that all came from one process.
PRIOR = 3.0


@dataclass(slots=True)
class ProcessRuns:
    """The process-runs of one cell in planned order: twelve bytes each, and four for every class ever seen.

    ``blocks`` holds their block numbers, ``trials`` their counted trials, ``hangs`` those that hung or restarted.
    """

    blocks: _Numbers = field(default_factory=lambda: array("I"))
    trials: _Numbers = field(default_factory=lambda: array("I"))
    hangs: _Numbers = field(default_factory=lambda: array("I"))
    _found: dict[FindingClass, _Numbers] = field(default_factory=dict)

    def add(self, block: int, trials: int, hangs: int, found: Mapping[FindingClass, int]) -> None:
        """Add one process-run that has counted trials."""
        for new in found.keys() - self._found.keys():
            self._found[new] = array("I", bytes(4 * len(self.blocks)))
        self.blocks.append(block)
        self.trials.append(trials)
        self.hangs.append(hangs)
        for of_class, counts in self._found.items():
            counts.append(found.get(of_class, 0))

    def found(self, classes: Iterable[FindingClass] | None) -> Sequence[int]:
        """Return each run's findings of *classes* (None: of any)."""
        asked = set(FindingClass if classes is None else classes)
        columns = [counts for of_class, counts in self._found.items() if of_class in asked]
        return list(map(sum, zip(*columns, strict=True))) if columns else [0] * len(self.blocks)


class Spread(NamedTuple):
    """How unlike process-runs are in what they found: Pearson's chi-squared and its ``degrees`` of freedom.

    ``telling`` is how many trials tell anything about it: the findings, or the healthy ones where those are fewer.
    """

    chi_squared: float = 0.0
    degrees: int = 0
    telling: int = 0
    runs: int = 0
    trials: int = 0

    @property
    def dispersion(self) -> float | None:
        """The index of dispersion: 1 for independent trials, more where runs differ.

        The variance of findings between the runs of a cell over that of independent trials at the cell's own rate.
        Where nothing can tell it is the most that it can be, the trials of a run: a process might hang in all of them.
        None without any run.

        Source: Cochran (1954), the index of dispersion of the binomial.
        """
        if self.degrees:
            return self.chi_squared / self.degrees
        return self.trials / self.runs if self.runs else None


def spread(cells: Iterable[tuple[Sequence[int], Sequence[int]]]) -> Spread:
    """Return the spread over *cells*: findings and trials of each process-run of each cell; every run has a trial.

    A cell tells something if it has two runs and both findings and healthy trials.
    """
    chi_squared, degrees, telling, all_runs, all_trials = 0.0, 0, 0, 0, 0
    for found, trials in cells:
        k, n = sum(found), sum(trials)
        all_runs, all_trials = all_runs + len(trials), all_trials + n
        if len(trials) < 2 or not 0 < k < n:
            continue
        p = k / n
        chi_squared += (sum(x * x / m for x, m in zip(found, trials, strict=True)) - p * k) / (p * (1.0 - p))
        degrees += len(trials) - 1
        telling += min(k, n - k)
    return Spread(chi_squared, degrees, telling, all_runs, all_trials)


def pooled_index(own: Spread, pooled: Spread) -> float | None:
    """Return the index of dispersion of one arm: what all arms of the question tell, or its own where that is more.

    An arm with no finding says nothing of its dispersion, and one with a few says little. But what makes the
    process-runs of a class unlike is where threads end up and what else the host does, which both arms of a block
    share: so the arms are taken together. Few findings tell little, too: the estimate counts as if :data:`PRIOR` more
    of them had come all from one process, so that it begins at the most that it can be.

    Over 819 kinds of clustering, drift and size the interval covers both arms' rates in at least 95.1 % of 1,500
    simulated campaigns each (``python -m tools.coverage``). What it cannot know of: findings of the candidate alone
    that come in clusters, as long as none was seen.

    :returns: from 1 to the trials of a run; None without any run.
    """
    if not own.runs:
        return None
    most = own.trials / own.runs
    seen = most if pooled.dispersion is None else pooled.dispersion
    mixed = (seen * pooled.telling + most * PRIOR) / (pooled.telling + PRIOR)
    at_least = own.dispersion if own.telling and own.dispersion is not None else 1.0
    return min(most, max(1.0, mixed, at_least))


def widened(k: int, n: int, index: float | None, confidence: float = 0.95) -> Interval:
    """Return the two-sided interval of a rate per trial, of trials whose index of dispersion is *index*
    (:func:`pooled_index`).

    Clopper's and Pearson's for ``n/index`` trials of which ``k/index`` hung: as many independent trials as these are
    worth. An index of at most 1, or None, leaves it as it is.

    Source: Korn and Graubard (1998), "Confidence intervals for proportions with small expected number of positive
    counts estimated from survey data", without its correction for few clusters.
    """
    worth = max(1.0, index or 1.0)
    return clopper_pearson(k / worth, n / worth, confidence)

"""Trials that share a process: what each process-run showed, how unlike they are, and what an interval makes of it.

Trials of one process may share its fate (where its threads ended up, what its memory holds), so k hangs in n of them
say less than k in n fresh processes. Rates stay per trial; their intervals are widened by how much the process-runs
differ more than independent trials would, and claims at alpha take a process-run as one unit.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence

from qstress.model import FindingClass
from qstress.stats.intervals import Interval, clopper_pearson


class ProcessRuns:
    """The process-runs of one cell in planned order: twelve bytes each, and four for every class ever seen.

    ``blocks`` holds their block numbers, ``trials`` their counted trials, ``hangs`` those that hung or restarted.
    """

    def __init__(self) -> None:
        self.blocks = array("I")
        self.trials = array("I")
        self.hangs = array("I")
        self._found: dict[FindingClass, array[int]] = {}

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


def dispersion(cells: Iterable[tuple[Sequence[int], Sequence[int]]]) -> float | None:
    """Return the index of dispersion of hangs per process-run: 1 for independent trials, more where runs differ.

    It is the variance of hangs between the runs of a cell over that of independent trials at the cell's own rate:
    Pearson's chi-squared divided by its degrees of freedom, pooled over *cells*. Where nothing can tell (no cell has
    two runs and both hangs and healthy trials) it is the most that it can be, the trials of a run: a process might
    hang in all of them. None without any run.

    :param cells: hangs and trials of each process-run of each cell; every run has a trial.

    Source: Cochran (1954), the index of dispersion of the binomial.
    """
    chi_squared, degrees, all_runs, all_trials = 0.0, 0, 0, 0
    for hangs, trials in cells:
        k, n = sum(hangs), sum(trials)
        all_runs, all_trials = all_runs + len(trials), all_trials + n
        if len(trials) < 2 or not 0 < k < n:
            continue
        p = k / n
        chi_squared += (sum(x * x / m for x, m in zip(hangs, trials, strict=True)) - p * k) / (p * (1.0 - p))
        degrees += len(trials) - 1
    if degrees:
        return chi_squared / degrees
    return all_trials / all_runs if all_runs else None


def widened(k: int, n: int, index: float | None, confidence: float = 0.95) -> Interval:
    """Return the two-sided interval of a rate per trial, of trials whose index of dispersion is *index*.

    Clopper's and Pearson's for ``n/index`` trials of which ``k/index`` hung: as many independent trials as these are
    worth. An index of at most 1, or None, leaves it as it is.

    Source: Korn and Graubard (1998), "Confidence intervals for proportions with small expected number of positive
    counts estimated from survey data", without its correction for few clusters.
    """
    worth = max(1.0, index or 1.0)
    return clopper_pearson(k / worth, n / worth, confidence)

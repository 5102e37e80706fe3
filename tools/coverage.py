"""How often the interval of a rate holds it when trials share processes that differ and the rate drifts.

Two builds are simulated, process-run by process-run in the same blocks, and each campaign's intervals are made as the
reports make them (:func:`qstress.stats.clusters.pooled_index`). The clustering and the drift are those that
docs/background/statistics.md, "Dependence", speaks of (and "Interleaving" there), and worse ones.

usage: python -m tools.coverage [--campaigns N]
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from qstress.stats.clusters import pooled_index, spread, widened

Numbers: TypeAlias = NDArray[np.float64]
#: Makes the rate of each process of a rate's mean, and says what it is on the average: shape (campaigns, runs).
Clustering: TypeAlias = Callable[[np.random.Generator, Numbers], tuple[Numbers, Numbers]]


def beta(mean: float, correlation: float) -> Clustering:
    """Each process has a rate of its own, drawn from a beta distribution; *correlation* is that within a process."""

    def rates(rng: np.random.Generator, factor: Numbers) -> tuple[Numbers, Numbers]:
        p = mean * factor
        if not correlation:
            return p, p
        size = (1 - correlation) / correlation
        return rng.beta(p * size, (1 - p) * size), p

    return rates


def some(share: float, hang: float, else_hang: float = 0.0) -> Clustering:
    """A *share* of the processes hang with one rate, the others with another: ``some(0.2, 0.5)``, a fifth of them every
    other time."""

    def rates(rng: np.random.Generator, factor: Numbers) -> tuple[Numbers, Numbers]:
        odd = share * factor
        return np.where(rng.random(factor.shape) < odd, hang, else_hang), odd * hang + (1 - odd) * else_hang

    return rates


CLUSTERINGS: Mapping[str, Clustering] = MappingProxyType(
    {
        "none, 5 %": beta(0.05, 0.0),
        "none, 1 %": beta(0.01, 0.0),
        "a fifth hang every other time": some(0.2, 0.5),
        "3 in 10 hang at 60 %, others at 2 %": some(0.3, 0.6, 0.02),
        "1 in 20 hang every other time": some(0.05, 0.5),
        "1 in 10 hang always": some(0.1, 1.0),
        "1 in 50 hang always": some(0.02, 1.0),
        "30 %, correlation 0.3": beta(0.3, 0.3),
        "12 %, correlation 0.1": beta(0.12, 0.1),
        "5 %, correlation 0.3": beta(0.05, 0.3),
        "2 %, correlation 0.3": beta(0.02, 0.3),
        "1 %, correlation 0.1": beta(0.01, 0.1),
        "0.5 %, correlation 0.2": beta(0.005, 0.2),
    }
)
DRIFTS: Mapping[str, Callable[[int], Numbers]] = MappingProxyType(
    {
        "constant": lambda runs: np.ones(runs),
        "falling to a quarter": lambda runs: 1.6 - 1.2 * np.linspace(0, 1, runs),
        "swinging ninefold": lambda runs: 1 + 0.8 * np.sin(2 * np.pi * (0.2 + 1.3 * np.linspace(0, 1, runs))),
    }
)
#: What the candidate's rate is, as a part of the baseline's.
CANDIDATES: Mapping[str, float] = MappingProxyType({"alike": 1.0, "a tenth": 0.1, "cured": 0.0})
#: Process-runs of each build, and trials of each.
SIZES = ((6, 20), (15, 20), (26, 20), (60, 20), (200, 20), (15, 10), (60, 10))


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which share of campaigns of one kind had an interval that held the baseline's, and the candidate's, rate."""

    kind: str
    baseline: float
    candidate: float

    @property
    def worst(self) -> float:
        """The lower of both."""
        return min(self.baseline, self.candidate)


def covered(
    clustering: Clustering, drift: Numbers, candidate: float, trials: int, campaigns: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the coverage of both arms.

    :param drift: the factor of the rate in each block; as many as there are process-runs of an arm.
    :param candidate: the candidate's rate as a part of the baseline's.
    :param trials: of a process-run.
    """
    found, rates = [], []
    for factor in (drift, candidate * drift):
        if factor.any():
            shape = np.broadcast_to(factor, (campaigns, len(drift)))
            theta, mean = clustering(rng, shape)
            found.append(rng.binomial(trials, theta).tolist())
            rates.append(float(mean.mean()))
        else:
            found.append([[0] * len(drift)] * campaigns)
            rates.append(0.0)
    of_each, n, held = [trials] * len(drift), trials * len(drift), [0, 0]
    for arms in zip(*found, strict=True):
        pooled = spread((arm, of_each) for arm in arms)
        for i, arm in enumerate(arms):
            lower, upper = widened(sum(arm), n, pooled_index(spread([(arm, of_each)]), pooled))
            held[i] += lower <= rates[i] <= upper
    return held[0] / campaigns, held[1] / campaigns


def coverages(campaigns: int, seed: int = 1) -> Iterator[Coverage]:
    """Yield the coverage of every kind of campaign."""
    rng = np.random.default_rng(seed)
    for (runs, trials), clustering, drift, candidate in itertools.product(SIZES, CLUSTERINGS, DRIFTS, CANDIDATES):
        kind = f"{runs} process-runs of {trials}; clustering: {clustering}; rate {drift}; candidate {candidate}"
        both = covered(CLUSTERINGS[clustering], DRIFTS[drift](runs), CANDIDATES[candidate], trials, campaigns, rng)
        yield Coverage(kind, *both)


def main() -> None:
    """Print the worst kinds, and what all of them come to."""
    parser = argparse.ArgumentParser(prog="python -m tools.coverage")
    parser.add_argument("--campaigns", type=int, default=1000, help="of each kind")
    campaigns = parser.parse_args().campaigns
    every = sorted(coverages(campaigns), key=lambda one: one.worst)
    for one in every[:10]:
        print(f"{100 * one.baseline:5.1f} % {100 * one.candidate:5.1f} %  {one.kind}")
    mean = sum(one.baseline + one.candidate for one in every) / (2 * len(every))
    below = sum(one.worst < 0.95 for one in every)
    print(
        f"{len(every)} kinds, {campaigns:,} campaigns each: lowest coverage {100 * every[0].worst:.1f} %, "
        f"mean {100 * mean:.1f} %, {below} kinds below 95 %"
    )


if __name__ == "__main__":
    main()

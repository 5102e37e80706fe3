"""Thousands of campaigns at once, for the statistics' own error rates: the e-process as an array (numpy comes with
SciPy). :func:`evidence` must agree with :class:`qstress.stats.evalue.EProcess`; a test holds it to that."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from qstress.stats.evalue import PRIOR_EVENTS

Units: TypeAlias = NDArray[np.bool_]
Numbers: TypeAlias = NDArray[np.float64]


def evidence(a: Units, b: Units) -> Numbers:
    """The natural logarithm of E after every block, for one unit an arm; all of shape (campaigns, blocks)."""
    theta_a, theta_b = _plug_in(a), _plug_in(b)
    theta_0 = (theta_a + theta_b) / 2
    steps = np.log(np.where(a, theta_a / theta_0, (1 - theta_a) / (1 - theta_0)))
    steps += np.log(np.where(b, theta_b / theta_0, (1 - theta_b) / (1 - theta_0)))
    steps[theta_a <= theta_b] = 0.0
    sums: Numbers = np.cumsum(steps, axis=1)
    return sums


def _plug_in(arm: Units) -> Numbers:
    before: NDArray[np.int64] = np.cumsum(arm, axis=1) - arm
    estimates: Numbers = (before + PRIOR_EVENTS) / np.arange(1, arm.shape[1] + 1)
    return estimates


def decided(a: Units, b: Units, alpha: float) -> float:
    """The share of campaigns, looked at after every block, in which E reached 1/alpha."""
    return float(np.mean(evidence(a, b).max(axis=1) >= -math.log(alpha)))


def at_most(alpha: float, campaigns: int) -> float:
    """What a share that is at most *alpha* stays under, but for one time in a thousand."""
    return alpha + 3.1 * math.sqrt(alpha * (1 - alpha) / campaigns)

"""The stopping rule: a two-sample e-process, valid at every look (Turner, Ly, Grunwald, arXiv 2106.02693).

Arm A is thought to hang more often than arm B. Each block multiplies E by the likelihood of its outcomes under plug-in
rates, estimated from *earlier* blocks only, over that under their common mean. With equal rates, or with A's below
B's, the expectation of E never exceeds 1 whatever the rate and the number of looks, so E >= 1/alpha at any time has
probability at most alpha (Ville's inequality). The rates may drift from block to block, as long as both arms of a
block drift together. E-values of independent strata multiply: add their ``log10``.

The unit is what is independent: one process-run, that is one arm of one block, and whether it showed what is asked
for. A block enters once. Feeding the trials of a process-run one by one would feed its block again, and is refused:
with trials that share a process's fate that gave a type I error of 25 % at alpha 1e-3 in simulation.

By hand on purpose: no kept library has this test; simulations in the tests hold it to its level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

#: Events that an arm starts with, in one unit nobody ran: keeps plug-in rates off 0 and 1 (hangs are rare: under 0.5).
PRIOR_EVENTS = 0.18


@dataclass(frozen=True, slots=True)
class EProcess:
    """The evidence that A's rate is greater than B's after some blocks. Immutable: :meth:`update` returns the next.

    ``hung_a`` of ``runs_a`` process-runs of A showed what is asked for; ``block`` is the last block that entered.
    """

    hung_a: int = 0
    runs_a: int = 0
    hung_b: int = 0
    runs_b: int = 0
    log_e: float = 0.0
    block: int = -1
    prior: float = PRIOR_EVENTS

    @property
    def log10(self) -> float:
        """The decimal logarithm of E: 6 is a million to one."""
        return self.log_e / math.log(10.0)

    def update(self, block: int, a: bool | None, b: bool | None) -> EProcess:
        """Return the process after one more block.

        :param block: its number, greater than that of every block before.
        :param a: whether A's process-run showed what is asked for, None where it has no counted trial; *b* likewise.
            A block that lacks an arm adds to the estimates and leaves E as it is.
        :raises ValueError: the block has entered already, so its units are not independent of those before.
        """
        if block <= self.block:
            raise ValueError(
                f"block {block} comes after block {self.block}: a process-run is one unit, "
                "its trials are not independent and cannot enter one by one"
            )
        theta_a = (self.hung_a + self.prior) / (self.runs_a + 1)
        theta_b = (self.hung_b + self.prior) / (self.runs_b + 1)
        log_e = self.log_e
        if theta_a > theta_b and a is not None and b is not None:
            log_e += log_ratio(a, 1, b, 1, theta_a, theta_b)
        return EProcess(
            self.hung_a + (a is True), self.runs_a + (a is not None),
            self.hung_b + (b is True), self.runs_b + (b is not None),
            log_e, block, self.prior,
        )  # fmt: skip


def log_ratio(hung_a: int, n_a: int, hung_b: int, n_b: int, theta_a: float, theta_b: float) -> float:
    """Return the log likelihood ratio of a block: rates *theta_a* and *theta_b* against their mean weighted by units.

    :param theta_a: in (0, 1), as *theta_b*; ``n_a + n_b >= 1``.
    """
    theta_0 = (n_a * theta_a + n_b * theta_b) / (n_a + n_b)
    return (
        hung_a * math.log(theta_a / theta_0)
        + (n_a - hung_a) * math.log((1.0 - theta_a) / (1.0 - theta_0))
        + hung_b * math.log(theta_b / theta_0)
        + (n_b - hung_b) * math.log((1.0 - theta_b) / (1.0 - theta_0))
    )


@cache
def fewest_runs(alpha: float) -> int:
    """Return how many process-runs an arm needs before E can reach 1/*alpha*: all of A's hang and none of B's.

    With fewer a run cannot decide whatever it sees. :raises ValueError: *alpha* is not in (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha={alpha} is not between 0 and 1")
    process = EProcess()
    while process.log_e < -math.log(alpha):
        process = process.update(process.block + 1, True, False)
    return process.runs_a


def holm(log10_es: Sequence[float], alpha: float) -> list[bool]:
    """Return which of several claims hold together at *alpha*, one e-value each, however they depend on each other.

    Holm's procedure on the p-values 1/E: the largest of m e-values has to reach m/alpha, the next (m - 1)/alpha, and
    so on until one does not. One over the most that an e-process has ever been is a p-value at any time (Ville's
    inequality), so the chance that any claim is wrong is at most alpha whenever the run stops, also where the claims
    share a baseline. One claim has to reach 1/alpha.

    Source: Holm (1979); Vovk and Wang (2021), "E-values: calibration, combination and applications".
    """
    holds = [False] * len(log10_es)
    order = sorted(range(len(log10_es)), key=lambda i: -log10_es[i])
    for rank, i in enumerate(order):
        if log10_es[i] < -math.log10(alpha / (len(order) - rank)):
            break
        holds[i] = True
    return holds

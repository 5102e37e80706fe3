"""The stopping rule: a two-sample e-process, valid at every look (Turner, Ly, Grunwald, arXiv 2106.02693).

Arm A is thought to hang more often than arm B. Each block multiplies E by the likelihood of its outcomes under plug-in
rates, estimated from *earlier* blocks only, over that under their common mean. With equal rates, or with A's below
B's, the expectation of E never exceeds 1 whatever the rate and the number of looks, so E >= 1/alpha at any time has
probability at most alpha (Ville's inequality). E-values of independent strata multiply: add their ``log10``.

The unit is whatever is independent: one process-run. Trials that share a process must not be fed one by one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

#: Events that an arm starts with, in one trial nobody ran: keeps plug-in rates off 0 and 1 (hangs are rare: under 0.5).
PRIOR_EVENTS = 0.18


@dataclass(frozen=True, slots=True)
class EProcess:
    """The evidence that A's rate is greater than B's after some blocks. Immutable: :meth:`update` returns the next."""

    hangs_a: int = 0
    trials_a: int = 0
    hangs_b: int = 0
    trials_b: int = 0
    log_e: float = 0.0
    prior: float = PRIOR_EVENTS

    @property
    def log10(self) -> float:
        """The decimal logarithm of E: 6 is a million to one."""
        return self.log_e / math.log(10.0)

    def update(self, hangs_a: int, n_a: int, hangs_b: int, n_b: int) -> EProcess:
        """Return the process after one more block: *hangs_a* of *n_a* trials of A, *hangs_b* of *n_b* of B.

        A block that lacks an arm adds to the estimates and leaves E as it is.
        """
        theta_a = (self.hangs_a + self.prior) / (self.trials_a + 1)
        theta_b = (self.hangs_b + self.prior) / (self.trials_b + 1)
        log_e = self.log_e
        if theta_a > theta_b and n_a and n_b:
            log_e += log_ratio(hangs_a, n_a, hangs_b, n_b, theta_a, theta_b)
        return EProcess(
            self.hangs_a + hangs_a, self.trials_a + n_a, self.hangs_b + hangs_b, self.trials_b + n_b,
            log_e, self.prior,
        )  # fmt: skip


def log_ratio(hangs_a: int, n_a: int, hangs_b: int, n_b: int, theta_a: float, theta_b: float) -> float:
    """Return the log likelihood ratio of a block: rates *theta_a* and *theta_b* against their mean weighted by trials.

    :param theta_a: in (0, 1), as *theta_b*; ``n_a + n_b >= 1``.
    """
    theta_0 = (n_a * theta_a + n_b * theta_b) / (n_a + n_b)
    return (
        hangs_a * math.log(theta_a / theta_0)
        + (n_a - hangs_a) * math.log((1.0 - theta_a) / (1.0 - theta_0))
        + hangs_b * math.log(theta_b / theta_0)
        + (n_b - hangs_b) * math.log((1.0 - theta_b) / (1.0 - theta_0))
    )


@cache
def fewest_trials(alpha: float) -> int:
    """Return how many trials an arm needs before E can reach 1/*alpha*: every trial of A hangs and none of B.

    With fewer a run cannot decide whatever it sees. :raises ValueError: *alpha* is not in (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha={alpha} is not between 0 and 1")
    process = EProcess()
    while process.log_e < -math.log(alpha):
        process = process.update(1, 1, 0, 1)
    return process.trials_a

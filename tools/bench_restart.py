"""``python -m tools.bench_restart``: whether trials lose as many INITs after a reset in place as in fresh processes.

The two take turns, a handful of trials each, so that a drift of this host hits them alike. The first bring-up of a
process that is then reset counts for neither. What its trials share widens the interval of the ratio.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import anyio

from qstress.firmware.smpscan import SETTLE_S
from qstress.interposer import build as interposer
from qstress.model import Accel, FindingClass, Trial, TrialResult
from qstress.stats.clusters import spread
from qstress.stats.exact import Table
from qstress.trial.context import FinishedTrial, TrialContext
from qstress.trial.process_run import run_process
from tests.live.rig import Telling, planned, pretending
from tools.ratio import Ratio, rate_ratio


@dataclass(slots=True)
class Arm:
    """What one way to restart has shown so far: lost INITs and trials of each process-run, and how hard it was hit."""

    lost: list[int] = field(default_factory=list)
    trials: list[int] = field(default_factory=list)
    duty: list[float] = field(default_factory=list)
    commands: int = 0
    seconds: float = 0.0

    def add(self, run: Sequence[TrialResult]) -> None:
        """Take in one process-run."""
        counted = [result for result in run if result.verdict.outcome.counted]
        if not counted:
            return
        self.lost.append(sum(result.verdict.finding_class is FindingClass.LOST_INIT for result in counted))
        self.trials.append(len(counted))
        self.duty += [result.duty_cycle for result in counted if result.duty_cycle is not None]
        self.commands += sum(count.returned for result in counted for count in result.commands)

    def __str__(self) -> str:
        k, n = sum(self.lost), sum(self.trials)
        return (
            f"{k}/{n} = {k / n:.3f} in {len(self.trials)} processes, D {fmean(self.duty or [0.0]):.2f}, "
            f"{self.commands / n:.1f} commands a bring-up, {60 * k / self.seconds:.0f} a minute"
        )


@dataclass(slots=True)
class Restarts:
    """Both arms: bring-ups after a reset in place, and in processes of their own."""

    in_place: Arm = field(default_factory=Arm)
    fresh: Arm = field(default_factory=Arm)

    @property
    def ratio(self) -> Ratio:
        """The rate in place over the rate in fresh processes."""
        a, b = self.in_place, self.fresh
        table = Table(sum(a.lost), sum(a.trials), sum(b.lost), sum(b.trials))
        return rate_ratio(table, index_a=spread([(a.lost, a.trials)]).dispersion or 1.0)

    def __str__(self) -> str:
        value, lower, upper = self.ratio
        return f"in place {self.in_place}\nfresh    {self.fresh}\nratio {value:.2f} ({lower:.2f}-{upper:.2f})"


async def restarts(rounds: int, fresh: int, in_place: int, **shape: Any) -> Restarts:
    """Run *rounds* times *fresh* trials in processes of their own and *in_place* after as many resets of one."""
    build, both = pretending(), Restarts()
    bench = TrialContext(env=interposer.environment(build))
    alone = planned(Accel.KVM, build=build, **shape)
    staying = planned(Accel.KVM, build=build, restart="reset", process_trials=in_place + 1, **shape)
    for number in range(rounds):
        turns = [(both.fresh, alone, fresh), (both.in_place, staying, in_place + 1)]
        for arm, first, many in turns if number % 2 else reversed(turns):
            began_s = time.monotonic()
            results = await _carried_out(first, many, bench)
            arm.seconds += time.monotonic() - began_s
            if arm is both.in_place:
                arm.add(results[1:])
            else:
                for result in results:
                    arm.add([result])
    return both


async def _carried_out(first: Trial, many: int, bench: TrialContext) -> list[TrialResult]:
    done: list[TrialResult] = []

    def deliver(finished: Sequence[FinishedTrial]) -> bool:
        done.extend(each.result for each in finished)
        return True

    await run_process([replace(first, number=number) for number in range(many)], bench, Telling(deliver))
    return done


async def smpscan(placement: str, rounds: int) -> Restarts:
    """smpscan, as it settles by default. Bring-ups of a process are alike: many processes say more than long ones."""
    return await restarts(rounds, 8, 12, firmware="smpscan", settle_s=SETTLE_S, placement=placement)


async def seabios(placement: str, rounds: int) -> Restarts:
    """SeaBIOS."""
    return await restarts(rounds, 5, 5, firmware="seabios", placement=placement)


def main() -> None:
    """Print one comparison: ``smpscan`` or ``seabios``, a placement, the number of rounds."""
    firmware, placement, rounds = sys.argv[1:]
    measure = {"smpscan": smpscan, "seabios": seabios}[firmware]
    print(
        f"{firmware}, placement {placement}, {rounds} rounds\n{anyio.run(measure, placement, int(rounds))}", flush=True
    )


if __name__ == "__main__":
    main()

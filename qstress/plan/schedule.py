"""Which trial comes when: seeded, interleaved, and computable for any position, so that a run can be resumed.

A block holds one process-run of every build in the same stratum, in shuffled order (with ``restart: process`` a run is
one trial): builds are compared under the same drift of the host, never A A A then B B B (with drift and no effect that
order said "fixed" in 42 % of simulated sessions, shuffled blocks in 3.6 %: docs/background/statistics.md,
"Interleaving"). Strata come in shuffled rounds, each once a round.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from qstress.model import Build, Cell, Stratum, Trial


@dataclass(frozen=True, slots=True)
class Plan:
    """The order of all trials of a run. ``cells[stratum * len(builds) + build]`` is a cell's place."""

    builds: tuple[Build, ...]
    strata: tuple[Stratum, ...]
    seed: int

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, builds varying fastest."""
        return tuple(Cell(build, stratum) for stratum in self.strata for build in self.builds)

    def block(self, number: int) -> tuple[Trial, ...]:
        """Return the trials of block *number* (0, 1, …) in the order in which they run, each build's together."""
        return tuple(trial for run in self.runs(number) for trial in run)

    def runs(self, number: int) -> tuple[tuple[Trial, ...], ...]:
        """Return the process-runs of block *number*, one of each build, in the order in which they run.

        Trials are numbered through: block b of k builds with runs of m trials holds the numbers ``b*k*m`` to
        ``(b + 1)*k*m - 1``.
        """
        round_number, place = divmod(number, len(self.strata))
        stratum = _shuffled(range(len(self.strata)), f"{self.seed}/round/{round_number}")[place]
        order = _shuffled(range(len(self.builds)), f"{self.seed}/block/{number}")
        first = number * self.block_trials
        return tuple(self._run(number, stratum, build, first + i * self.run_trials) for i, build in enumerate(order))

    @property
    def run_trials(self) -> int:
        """How many trials a process-run has; the same in every stratum."""
        return self.strata[0].shape.process_trials

    @property
    def block_trials(self) -> int:
        """How many trials a block has."""
        return len(self.builds) * self.run_trials

    def _run(self, block: int, stratum: int, build: int, first: int) -> tuple[Trial, ...]:
        rng = random.Random(f"{self.seed}/trial/{first}")
        cell, place = Cell(self.builds[build], self.strata[stratum]), stratum * len(self.builds) + build
        share, many = cell.build.lost_ap_share, self.run_trials
        if many == 1:
            lost = [rng.random() < share]
        else:  # the firmware makes the fault, and it can count
            every = round(1 / share) if share else many + 1
            lost = [(i + 1) % every == 0 for i in range(many)]
        seed = rng.getrandbits(32)
        return tuple(
            Trial(first + i, block, place, cell, seed + i & 0xFFFFFFFF, inject) for i, inject in enumerate(lost)
        )


def _shuffled(items: Sequence[int], seed: str) -> list[int]:
    order = list(items)
    random.Random(seed).shuffle(order)
    return order

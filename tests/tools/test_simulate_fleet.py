"""A few seeds of the simulated fleet; ``python -m tools.simulate_fleet`` runs many, and larger ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.simulate_fleet import Size, simulate

SMALL = Size(workers=4, lanes=8, trials=160, lost_share=0.1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_lost_or_counted_twice_and_statistics_are_those_of_one_process(seed: int, tmp_path: Path) -> None:
    done = simulate(SMALL, seed, tmp_path)
    assert done.faults == []
    assert done.trials == SMALL.trials
    assert done.findings > 0


def test_a_seed_gives_the_same_run_again(tmp_path: Path) -> None:
    first, second = (simulate(SMALL, 4, tmp_path / name) for name in ("a", "b"))
    assert first.digest == second.digest
    assert (first.virtual_s, first.latencies_s) == (second.virtual_s, second.latencies_s)

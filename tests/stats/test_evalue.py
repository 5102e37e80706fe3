"""The e-process: known answers, validity by enumeration and by simulation, and the table of mean trials."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.stats.evalue import EProcess, fewest_runs, holm, log_ratio
from tests.stats.simulate import Numbers, Units, at_most, decided, evidence

CAMPAIGNS, CHUNK, BLOCKS = 10_000, 2_000, 400

counts = st.integers(0, 50).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def fed(a: list[bool | None], b: list[bool | None], process: EProcess | None = None) -> EProcess:
    """The process after these blocks."""
    process = process or EProcess()
    for of_a, of_b in zip(a, b, strict=True):
        process = process.update(process.block + 1, of_a, of_b)
    return process


def test_known_answer_beta_half_half_plug_in() -> None:
    process = fed([True, False, True, True], [False] * 4, EProcess(prior=0.5))
    assert math.exp(process.log_e) == pytest.approx(3.28125, rel=1e-12)
    assert process.log10 == pytest.approx(math.log10(3.28125))
    assert (process.hung_a, process.runs_a, process.hung_b, process.runs_b) == (3, 4, 0, 4)


def test_known_answer_fixed_likelihood_ratio() -> None:
    assert log_ratio(12, 100, 0, 100, 0.12, 0.0012) == pytest.approx(8.581567659, abs=1e-9)


@given(counts, counts, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_no_block_is_expected_to_add_evidence_under_any_null(
    a: tuple[int, int], b: tuple[int, int], one: float, other: float
) -> None:
    """E[E after / E before] <= 1, over every outcome of a block, for p_A <= p_B and whatever came before."""
    p_a, p_b = min(one, other), max(one, other)
    before = EProcess(a[0], a[1], b[0], b[1])
    expected = 0.0
    for x, y in itertools.product((False, True), repeat=2):
        chance = (p_a if x else 1 - p_a) * (p_b if y else 1 - p_b)
        expected += chance * math.exp(before.update(0, x, y).log_e)
    assert expected <= 1.0 + 1e-12


def test_the_estimates_come_from_earlier_blocks_only() -> None:
    assert EProcess().update(0, True, False).log_e == 0.0


def test_a_candidate_that_hangs_more_never_lowers_or_raises_e() -> None:
    process = EProcess(hung_a=1, runs_a=10, hung_b=5, runs_b=10, log_e=1.5)
    assert process.update(0, True, False).log_e == 1.5


def test_a_block_without_an_arm_leaves_e_and_counts() -> None:
    before = EProcess(5, 10, 1, 10, 0.5)
    assert before.update(0, True, None) == EProcess(6, 11, 1, 10, 0.5, 0)
    assert before.update(3, None, True) == EProcess(5, 10, 2, 11, 0.5, 3)


def test_the_trials_of_a_process_run_cannot_enter_one_by_one() -> None:
    """They belong to one block, and a block enters once: the plain trial-level process is refused."""
    process = EProcess().update(7, True, False)
    for block in (7, 6):
        with pytest.raises(ValueError, match="its trials are not independent and cannot enter one by one"):
            process.update(block, False, False)
    assert process.update(8, False, False).runs_a == 2


def test_the_array_of_the_simulations_is_the_process() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.random((20, 300)) < 0.3, rng.random((20, 300)) < 0.2
    for of_a, of_b, log_e in zip(a, b, evidence(a, b), strict=True):
        process = EProcess()
        for block, (x, y) in enumerate(zip(of_a, of_b, strict=True)):
            process = process.update(block, bool(x), bool(y))
            assert process.log_e == pytest.approx(log_e[block], abs=1e-9)


@pytest.mark.parametrize(
    ("p", "alpha", "mean", "p90"),
    [
        (0.95, 1e-3, 17, None), (0.95, 1e-6, 29, 34), (0.5, 1e-3, 42, None), (0.5, 1e-6, 74, 96),
        (0.12, 1e-3, 199, None), (0.12, 1e-6, 359, 458), (0.05, 1e-3, 474, None), (0.05, 1e-6, 885, 1132),
        (0.01, 1e-3, 2401, None), (0.01, 1e-6, 4389, 5656),
    ],
)  # fmt: skip
def test_mean_trials_to_a_decision(p: float, alpha: float, mean: int, p90: int | None) -> None:
    """The table of docs/background/statistics.md, "The stopping rule", within 5 %; a session has trials of both arms,
    so twice its blocks."""
    rng = np.random.default_rng(20250909)
    trials: list[int] = []
    for _ in range(4):
        a = rng.random((500, round(1.6 * mean))) < p
        there = evidence(a, np.zeros_like(a)) >= -math.log(alpha)
        assert there.any(axis=1).all()
        trials += list(2 * (there.argmax(axis=1) + 1))
    assert np.mean(trials) == pytest.approx(mean, rel=0.05)
    assert p90 is None or np.quantile(trials, 0.9) == pytest.approx(p90, rel=0.05)


def constant(p: float) -> Callable[[np.random.Generator], Numbers]:
    return lambda rng: np.full((CHUNK, BLOCKS), p)


def drifting(rng: np.random.Generator) -> Numbers:
    """A rate that swings between 5 and 45 %, a third to four times a session, from anywhere."""
    turns, start = rng.uniform(0.3, 4, (CHUNK, 1)), rng.uniform(0, 1, (CHUNK, 1))
    rates: Numbers = 0.25 + 0.2 * np.sin(2 * math.pi * (start + turns * np.linspace(0, 1, BLOCKS)))
    return rates


@pytest.mark.parametrize("rates", [constant(0.01), constant(0.12), constant(0.5), drifting])
def test_without_a_difference_few_campaigns_stop_wrongly(rates: Callable[[np.random.Generator], Numbers]) -> None:
    """10,000 campaigns looked at after every block, constant or drifting rates alike in both arms."""
    rng = np.random.default_rng(3)
    wrong: dict[float, list[float]] = {0.05: [], 1e-3: []}
    for _ in range(CAMPAIGNS // CHUNK):
        p = rates(rng)
        a, b = (np.less(rng.random(p.shape), p) for _ in range(2))
        for alpha, shares in wrong.items():
            shares.append(decided(a, b, alpha))
    for alpha, shares in wrong.items():
        assert np.mean(shares) <= at_most(alpha, CAMPAIGNS)


def test_one_arm_after_the_other_is_fooled_by_the_same_drift() -> None:
    """Why blocks are interleaved: with the rate falling from 40 to 10 % over a session, A then B says "fixed"."""
    rng = np.random.default_rng(4)
    trials = rng.random((CHUNK, 2 * BLOCKS)) < 0.4 - 0.3 * np.linspace(0, 1, 2 * BLOCKS)
    assert decided(trials[:, :BLOCKS], trials[:, BLOCKS:], 1e-3) > 0.5
    assert decided(trials[:, ::2], trials[:, 1::2], 1e-3) <= at_most(1e-3, CHUNK)


def process_runs(rng: np.random.Generator, campaigns: int, blocks: int) -> Units:
    """Ten bring-ups in each process, of which a fifth hang every other one and the others never."""
    rates = np.where(rng.random((campaigns, blocks, 1)) < 0.2, 0.5, 0.0)
    hung: Units = rng.random((campaigns, blocks, 10)) < rates
    return hung


def test_process_runs_are_valid_units_and_their_trials_are_not() -> None:
    """The unit "hung within 10 bring-ups" keeps alpha; trial by trial a quarter of all campaigns stop wrongly at 1e-3
    (which is why :meth:`EProcess.update` refuses a block's second unit)."""
    rng = np.random.default_rng(6)
    by_run: dict[float, list[float]] = {0.05: [], 1e-3: []}
    for _ in range(CAMPAIGNS // 500):
        a, b = (np.logical_or.reduce(process_runs(rng, 500, 150), axis=2) for _ in range(2))
        for alpha, shares in by_run.items():
            shares.append(decided(a, b, alpha))
    for alpha, shares in by_run.items():
        assert np.mean(shares) <= at_most(alpha, CAMPAIGNS)
    a, b = (process_runs(rng, 500, 150).reshape(500, -1) for _ in range(2))
    assert decided(a, b, 1e-3) > 0.1


def test_type_one_error_with_three_thousand_looks() -> None:
    """3.3 % at a nominal 5 % with 3000 looks (docs/background/statistics.md, "The stopping rule")."""
    rng = np.random.default_rng(7)
    wrong = [decided(rng.random((500, 3000)) < 0.12, rng.random((500, 3000)) < 0.12, 0.05) for _ in range(4)]
    assert np.mean(wrong) <= 0.05


def test_fewest_runs_is_the_best_case() -> None:
    for alpha in (0.05, 1e-3, 1e-6):
        n = fewest_runs(alpha)
        enough, short = fed([True] * n, [False] * n), fed([True] * (n - 1), [False] * (n - 1))
        assert enough.log10 >= -math.log10(alpha) > short.log10
    for alpha in (0.0, 1.0):
        with pytest.raises(ValueError, match="not between"):
            fewest_runs(alpha)


def test_holm_asks_most_of_the_largest_and_stops_at_the_first_failure() -> None:
    assert holm([], 0.05) == []
    assert holm([3.0], 1e-3) == [True]
    assert holm([3.29, 3.31], 1e-3) == [True, True]  # 2/alpha is 10^3.30103, then 1/alpha
    assert holm([3.0, 3.2], 1e-3) == [False, False]
    assert holm([1.0, 9.0, 3.1], 1e-3) == [False, True, False]


@given(st.lists(st.floats(-2.0, 8.0), max_size=6), st.sampled_from([0.05, 1e-3]))
def test_holm_lies_between_bonferroni_and_no_correction(log10_es: list[float], alpha: float) -> None:
    for log10_e, holds in zip(log10_es, holm(log10_es, alpha), strict=True):
        assert holds or log10_e < -math.log10(alpha / len(log10_es))
        assert not holds or log10_e >= -math.log10(alpha)


def test_holm_keeps_alpha_over_candidates_that_share_a_baseline() -> None:
    """Three candidates, none better, one baseline: any wrong claim in at most alpha of 10,000 campaigns."""
    rng = np.random.default_rng(8)
    wrong = 0
    for _ in range(CAMPAIGNS // CHUNK):
        baseline = rng.random((CHUNK, 200)) < 0.2
        reached = [evidence(baseline, rng.random((CHUNK, 200)) < 0.2).max(axis=1) / math.log(10) for _ in range(3)]
        wrong += sum(any(holm([float(e) for e in of_one], 0.05)) for of_one in zip(*reached, strict=True))
    assert wrong / CAMPAIGNS <= at_most(0.05, CAMPAIGNS)

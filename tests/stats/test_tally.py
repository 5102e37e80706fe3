"""The tally: evidence per stratum and class against e-processes done by hand, findings, flat memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from qstress.model import FindingClass, Outcome, StormCount, Verdict
from qstress.stats.evalue import EProcess
from qstress.stats.tally import Tally
from tests.stats.samples import (
    CRASH,
    LOST,
    NEW,
    OK,
    OLD,
    REPLAYED,
    RIG,
    UNKNOWN,
    build,
    cells,
    feed,
    feed_runs,
    result,
    verdicts,
)
from tests.stats.simulate import at_most, decided

PAIR = ("stock", "fixed")


def new(
    *, smp: tuple[int, ...] = (4,), classes: tuple[FindingClass, ...] | None = None, process_trials: int = 1
) -> Tally:
    return Tally(cells(build("stock"), build("fixed"), smp=smp, process_trials=process_trials), [PAIR], classes)


def by_hand(a: Sequence[int | None], b: Sequence[int | None]) -> float:
    process = EProcess()
    for block, units in enumerate(zip(a, b, strict=True)):
        process = process.update(block, *(None if unit is None else bool(unit) for unit in units))
    return process.log10


def test_evidence_is_the_e_process_of_the_blocks_in_order() -> None:
    tally = new()
    feed(tally, [OK, LOST, OK, LOST, LOST], [OK, OK, OK, OK, REPLAYED])
    assert tally.evidence_log10(*PAIR, FindingClass.LOST_INIT) == pytest.approx(
        (by_hand([0, 1, 0, 1, 1], [0] * 5), by_hand([0] * 5, [0, 1, 0, 1, 1])), abs=1e-12
    )
    assert tally.evidence_log10(*PAIR)[0] == pytest.approx(by_hand([0, 1, 0, 1, 1], [0, 0, 0, 0, 1]), abs=1e-12)
    assert tally.blocks == 5


def test_worse_is_better_with_the_arms_swapped() -> None:
    tally, swapped = new(), new()
    feed(tally, verdicts(6, 20), verdicts(1, 20))
    feed(swapped, verdicts(1, 20), verdicts(6, 20))
    assert tally.evidence_log10(*PAIR) == swapped.evidence_log10(*PAIR)[::-1]
    assert tally.evidence_log10(*PAIR)[0] > 0


def test_a_class_seen_late_remembers_its_blocks_without_it() -> None:
    tally = new()
    feed(tally, [OK] * 7 + [CRASH, CRASH, OK], [OK] * 10)
    expected = by_hand([0] * 7 + [1, 1, 0], [0] * 10)
    assert tally.evidence_log10(*PAIR, FindingClass.CRASH)[0] == pytest.approx(expected)
    assert tally.evidence_log10(*PAIR)[0] == pytest.approx(expected)
    assert tally.evidence_log10(*PAIR, FindingClass.GUEST_PANIC) == (0.0, 0.0)


def test_strata_have_their_own_processes_and_multiply() -> None:
    tally = new(smp=(4, 16))
    for _ in range(10):  # rounds: both strata grow alternately
        feed(tally, [LOST], [OK], first_cell=0)
        feed(tally, [OK], [LOST], first_cell=2)
    assert tally.evidence_log10(*PAIR)[0] == pytest.approx(by_hand([1] * 10, [0] * 10) + by_hand([0] * 10, [1] * 10))


def test_the_overall_question_counts_the_chosen_classes_only() -> None:
    tally = new(classes=(FindingClass.LOST_INIT, FindingClass.BSP_SPIN))
    feed(tally, [LOST, LOST, OK], [OK, REPLAYED, CRASH])
    assert tally.evidence_log10(*PAIR)[0] == pytest.approx(by_hand([1, 1, 0], [0, 0, 0]))


def test_rig_and_unknown_are_not_an_arms_trial() -> None:
    tally = new()
    feed(tally, [LOST, LOST, RIG, UNKNOWN, LOST], [OK, RIG, OK, OK, OK])
    expected = by_hand([1, 1, None, None, 1], [0, None, 0, 0, 0])
    assert tally.evidence_log10(*PAIR)[0] == pytest.approx(expected)


def test_a_process_run_is_one_unit_however_many_of_its_trials_hang() -> None:
    shared, alone = new(process_trials=4), new()
    hung, some, fine = [LOST] * 4, [OK, LOST, OK, OK], [OK] * 4
    feed_runs(shared, [hung, fine, some, hung, some], [fine, fine, fine, some, fine])
    feed(alone, [LOST, OK, LOST, LOST, LOST], [OK, OK, OK, LOST, OK])
    for question in (None, FindingClass.LOST_INIT, FindingClass.CRASH):
        assert shared.evidence_log10(*PAIR, question) == alone.evidence_log10(*PAIR, question)
    assert (shared.cells[0].n, shared.cells[0].classes[FindingClass.LOST_INIT]) == (20, 10)


def test_a_process_run_answers_each_class_by_itself() -> None:
    tally = new(process_trials=3, classes=(FindingClass.LOST_INIT,))
    feed_runs(tally, [[LOST, CRASH, OK], [OK, CRASH, OK], [LOST, OK, OK]], [[OK] * 3] * 3)
    assert tally.evidence_log10(*PAIR)[0] == pytest.approx(by_hand([1, 0, 1], [0, 0, 0]))
    assert tally.evidence_log10(*PAIR, FindingClass.CRASH)[0] == pytest.approx(by_hand([1, 1, 0], [0, 0, 0]))


def test_both_arms_are_judged_by_as_many_trials() -> None:
    """The second arm lost two of four trials to the rig: the hang in the first arm's last trial has no counterpart."""
    tally = new(process_trials=4)
    late = [OK, OK, OK, LOST]
    feed_runs(tally, [late, late, [RIG] * 4], [[OK, RIG, UNKNOWN, OK], [OK] * 4, [OK, LOST, OK, OK]])
    assert tally.evidence_log10(*PAIR)[0] == pytest.approx(by_hand([0, 1, None], [0, 0, 1]))
    assert tally.cells[0].classes[FindingClass.LOST_INIT] == 2  # rates count every trial


def test_trials_that_share_a_process_cannot_enter_one_by_one() -> None:
    tally = new(process_trials=4)
    first = [result(tally, 0, LOST, 0), result(tally, 0, OK, 1)]
    second = [result(tally, 1, OK, 2)]
    tally.add_block([first[0]])
    for late in ([first[1]], second):
        with pytest.raises(ValueError, match="trials that share a process are one unit and cannot enter one by one"):
            tally.add_block(late)
    assert tally.cells[0].n == 1


def test_a_block_is_one_block() -> None:
    tally = new()
    one = result(tally, 0)
    tally.add_block([])
    tally.add_block([one])
    with pytest.raises(ValueError, match="several blocks, not only of block 0"):
        tally.add_block([one, result(tally, 1)])
    assert tally.blocks == 1


def test_what_the_evidence_has_reached_is_kept() -> None:
    """Blocks that other lanes had under way when E crossed its line may take it back below."""
    tally = new(smp=(4, 16))
    feed(tally, [LOST] * 6, [OK] * 6, first_cell=0)
    feed(tally, [LOST] * 4, [OK] * 4, first_cell=2)
    high = tally.evidence_log10(*PAIR)
    feed(tally, [OK, CRASH, OK], [LOST, LOST, OK], first_cell=0)
    assert tally.evidence_log10(*PAIR)[0] < high[0] - 0.5
    assert tally.reached_log10(*PAIR) == pytest.approx((high[0], 0.0))
    assert tally.reached_log10(*PAIR, FindingClass.CRASH) == pytest.approx((0.0, 0.0), abs=0.2)
    assert tally.reached_log10(*PAIR, FindingClass.BSP_SPIN) == (0.0, 0.0)
    with pytest.raises(KeyError):
        tally.reached_log10("fixed", "stock")


def test_running_totals_are_the_sums_over_strata() -> None:
    tally = new(smp=(2, 4, 16))
    seen = [OK, LOST, OK, REPLAYED, LOST, CRASH, OK]
    best = {question: [0.0, 0.0] for question in (None, *FindingClass)}
    for i in range(60):
        feed(tally, [seen[i % 7]], [seen[i * 5 % 11 % 7]], first_cell=2 * (i % 3))
        for question, most in best.items():
            most[:] = map(max, most, tally.evidence_log10(*PAIR, question))
    for question, most in best.items():
        assert tally.reached_log10(*PAIR, question) == pytest.approx(most, abs=1e-9)


def test_findings_are_grouped_by_cell_and_signature() -> None:
    tally = new()
    other = Verdict(Outcome.HANG, "2 APs lost", FindingClass.LOST_INIT, "lost-init:2/4")
    feed(tally, [CRASH, LOST, LOST, other], [OK, LOST, OK, REPLAYED])
    shown = [(f.cell.build.name, f.signature, f.count, f.uncounted, f.evidence) for f in tally.findings]
    assert shown == [
        ("stock", "lost-init:1/4", 2, 0, ["evidence/2", "evidence/4"]),
        ("fixed", "lost-init:1/4", 1, 0, ["evidence/3"]),
        ("stock", "lost-init:2/4", 1, 0, ["evidence/6"]),
        ("fixed", "replayed-init:banner", 1, 0, ["evidence/7"]),
        ("stock", "crash:11", 1, 0, ["evidence/0"]),
    ]


def test_uncounted_findings_are_listed_and_enter_no_rate() -> None:
    tally = new()
    tally.add_finding(LOST, 1, None, counted=False)
    tally.add_finding(LOST, 1, "evidence/9", counted=False)
    tally.add_finding(RIG, 1, None, counted=False)
    feed(tally, [OK], [LOST])
    (finding,) = tally.findings
    assert (finding.count, finding.uncounted, finding.evidence) == (3, 2, ["evidence/9", "evidence/1"])
    assert (tally.cells[1].n, tally.cells[1].classes[FindingClass.LOST_INIT]) == (1, 1)


def test_builds_and_pairs_by_name() -> None:
    tally = new(smp=(2, 4))
    assert [cell.cell.stratum.shape.smp for cell in tally.build("fixed")] == [2, 4]
    with pytest.raises(KeyError):
        tally.evidence_log10("fixed", "stock")
    with pytest.raises(ValueError, match="'gone'"):
        Tally(cells(build("stock")), [("stock", "gone")])


def test_memory_is_flat_over_many_results() -> None:
    assert bytes_of(2500, new()) < 2000


def test_a_process_run_costs_a_few_bytes() -> None:
    """16 bytes and what an array keeps in reserve, whatever its trials are."""
    assert bytes_of(2000, new(process_trials=3), 3) < 2 * 2000 * 16 * 1.25


def bytes_of(blocks: int, tally: Tally, trials: int = 1) -> int:
    """What *blocks* more blocks leave in memory."""

    def more(count: int) -> None:
        for _ in range(count):
            run = [result(tally, cell, LOST, boot_s=0.5) for cell in (0, 1) for _ in range(trials)]
            tally.add_block(run)

    more(1)
    tracemalloc.start()
    more(200)
    before, _ = tracemalloc.get_traced_memory()
    more(blocks)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before


def test_rates_are_within_hosts_and_the_first_one_takes_the_place_in_the_plan() -> None:
    tally = new(smp=(4, 16))
    feed(tally, [LOST, OK], [OK, OK], first_cell=2, host=NEW)
    feed(tally, [OK], [OK], first_cell=2, host=OLD)
    feed(tally, [LOST], [CRASH], first_cell=0, host=OLD)
    where = [(c.cell.build.name, c.cell.stratum.shape.smp, c.cell.stratum.host, c.n) for c in tally.cells]
    assert where == [
        ("stock", 4, OLD, 1), ("fixed", 4, OLD, 1), ("stock", 16, NEW, 2), ("fixed", 16, NEW, 2),
        ("stock", 16, OLD, 1), ("fixed", 16, OLD, 1),
    ]  # fmt: skip
    assert tally.hosts == [NEW, OLD]
    assert [[c.n for c in group] for group in tally.by_plan("fixed")] == [[1], [2, 1]]
    assert [(a.cell.stratum, a.n, b.n) for a, b in tally.arms(*PAIR)] == [
        (tally.cells[place].cell.stratum, n, n) for place, n in ((0, 1), (2, 2), (4, 1))
    ]
    assert all(a.cell.stratum == b.cell.stratum for a, b in tally.arms(*PAIR))
    assert [(f.cell.stratum.host, f.finding_class, f.count) for f in tally.findings] == [
        (NEW, FindingClass.LOST_INIT, 1), (OLD, FindingClass.LOST_INIT, 1), (OLD, FindingClass.CRASH, 1),
    ]  # fmt: skip


def test_before_its_first_block_a_cell_is_as_planned() -> None:
    tally = new(smp=(4, 16))
    feed(tally, [OK], [OK], host=OLD)
    assert tally.cells[2].cell.stratum.host is None
    assert tally.by_plan()[2:] == [[tally.cells[2]], [tally.cells[3]]]
    assert tally.arms(*PAIR)[1] == (tally.cells[2], tally.cells[3])


def test_evidence_takes_blocks_of_all_hosts_as_it_takes_those_of_one() -> None:
    """A block is on one host whole, so a factor is right whatever the hosts' rates are."""
    apart, together = new(), new()
    for block, (a, b) in enumerate(zip(verdicts(8, 24), verdicts(2, 24), strict=True)):
        feed(apart, [a], [b], host=(OLD, NEW)[block % 2])
        feed(together, [a], [b])
    assert apart.evidence_log10(*PAIR) == together.evidence_log10(*PAIR)
    assert apart.reached_log10(*PAIR) == together.reached_log10(*PAIR)


def test_hosts_of_unlike_rates_are_no_evidence_for_either_build() -> None:
    """No difference between builds, 80 % hangs on one host and 5 % on the other, looked at after each of 200 blocks."""
    rng, alpha, campaigns = np.random.default_rng(5), 0.05, 4000
    rates = np.where(rng.random((campaigns, 200)) < 0.5, 0.8, 0.05)
    a, b = rng.random((campaigns, 200)) < rates, rng.random((campaigns, 200)) < rates
    assert decided(a, b, alpha) <= at_most(alpha, campaigns)


def test_kicks_stay_with_their_host_though_they_are_told_before_its_first_block_is_over() -> None:
    tally = new()
    tally.add_kicks(0, StormCount(1.0, 3), NEW)
    tally.add_kicks(0, StormCount(1.0, 4), NEW)
    feed(tally, [OK], [OK], host=OLD)
    feed(tally, [OK], [OK], host=NEW)
    tally.add_kicks(1, StormCount(1.0, 5), OLD)
    assert [cell.kicks and cell.kicks.moves for cell in tally.cells] == [None, 5, 7, None]

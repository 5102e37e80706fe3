"""The tally: evidence per stratum and class against e-processes done by hand, findings, flat memory."""

from __future__ import annotations

import tracemalloc

import pytest

from qstress.model import FindingClass, Outcome, Verdict
from qstress.stats.evalue import EProcess
from qstress.stats.tally import Tally
from tests.stats.samples import CRASH, LOST, OK, REPLAYED, RIG, UNKNOWN, build, cells, feed, result, verdicts

PAIR = ("stock", "fixed")


def new(*, smp: tuple[int, ...] = (4,), classes: tuple[FindingClass, ...] | None = None) -> Tally:
    return Tally(cells(build("stock"), build("fixed"), smp=smp), [PAIR], classes)


def by_hand(a: list[int], b: list[int]) -> float:
    process = EProcess()
    for hung_a, hung_b in zip(a, b, strict=True):
        process = process.update(hung_a, 1, hung_b, 1)
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
    expected = EProcess().update(1, 1, 0, 1).update(1, 1, 0, 0).update(0, 0, 0, 1).update(0, 0, 0, 1)
    assert tally.evidence_log10(*PAIR)[0] == pytest.approx(expected.update(1, 1, 0, 1).log10)


def test_findings_are_grouped_by_cell_and_signature() -> None:
    tally = new()
    other = Verdict(Outcome.HANG, "2 APs lost", FindingClass.LOST_INIT, "lost-init:2/4")
    feed(tally, [CRASH, LOST, LOST, other], [OK, LOST, OK, REPLAYED])
    shown = [(f.cell.build.name, f.signature, f.count, f.uncounted, f.evidence) for f in tally.findings]
    assert shown == [
        ("stock", "lost-init:1/4", 2, 0, "evidence/2"),
        ("fixed", "lost-init:1/4", 1, 0, "evidence/3"),
        ("stock", "lost-init:2/4", 1, 0, "evidence/6"),
        ("fixed", "replayed-init:banner", 1, 0, "evidence/7"),
        ("stock", "crash:11", 1, 0, "evidence/0"),
    ]


def test_uncounted_findings_are_listed_and_enter_no_rate() -> None:
    tally = new()
    tally.add_finding(LOST, 1, None, counted=False)
    tally.add_finding(LOST, 1, "evidence/9", counted=False)
    tally.add_finding(RIG, 1, None, counted=False)
    feed(tally, [OK], [LOST])
    (finding,) = tally.findings
    assert (finding.count, finding.uncounted, finding.evidence) == (3, 2, "evidence/9")
    assert (tally.cells[1].n, tally.cells[1].classes[FindingClass.LOST_INIT]) == (1, 1)


def test_builds_and_pairs_by_name() -> None:
    tally = new(smp=(2, 4))
    assert [cell.cell.stratum.shape.smp for cell in tally.build("fixed")] == [2, 4]
    with pytest.raises(KeyError):
        tally.evidence_log10("fixed", "stock")
    with pytest.raises(ValueError, match="'gone'"):
        Tally(cells(build("stock")), [("stock", "gone")])


def test_memory_is_flat_over_many_results() -> None:
    tally = new()
    block = [result(tally, 0, LOST, boot_s=0.5), result(tally, 1, OK, boot_s=0.5)]
    tally.add_block(block)
    tracemalloc.start()
    for _ in range(200):
        tally.add_block(block)
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(5000):
        tally.add_block(block)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 2000

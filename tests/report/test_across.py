from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from qstress.config.settings import Settings
from qstress.errors import ConfigError
from qstress.model import FindingClass, Smm, Verdict
from qstress.report.across import NOT_INTERLEAVED, Side, across_document, across_text, compared, obstacles
from qstress.stats.exact import Table, fisher_greater
from qstress.stats.strata import stratified_greater
from tests.report.html.samples import HOST, settings, shown, strata
from tests.stats.samples import LOST, NEW, OK, OLD, REPLAYED

LOST_INIT = FindingClass.LOST_INIT


def side(
    verdicts: Sequence[Sequence[Verdict]] = (), asked: Settings | None = None, run: str = "r", **host: Any
) -> Side:
    asked = asked or settings()
    return Side(run, asked, {**HOST, **host}, shown(asked, verdicts).tally)


def test_runs_under_the_same_conditions_are_comparable() -> None:
    assert obstacles(side(), side(memory_bytes=1)) == []
    assert obstacles(side(asked=settings(strata=strata((2, 4)))), side(asked=settings(strata=strata((4, 8))))) == []


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"cpu": "Xeon"}, "host's cpu: AMD EPYC in the first run, Xeon in the second"),
        ({"kernel": "6.2"}, "host's kernel: 6.1.0-13-amd64 in the first run, 6.2 in the second"),
        ({"cores": 2}, "host's cores: 4 in the first run, 2 in the second"),
        ({"kvm": {"kind": "pvm", "nested": True}}, "host's KVM (kind, nested): svm, False in the first run, pvm, True"),
        ({"kvm": None}, "host's KVM (kind, nested): svm, False in the first run, unknown in the second"),
        ({"asked": settings(lanes=4)}, "lanes: 1 in the first run, 4 in the second"),
        ({"asked": settings(strata=strata(firmware="smpscan"))}, "firmware: seabios in the first run, smpscan"),
        ({"asked": settings(strata=strata((8,)))}, "smp: 4 in the first run, 8 in the second"),
        ({"asked": settings(strata=strata(rates=("500/s",)))}, "hammer: info registers -a @ max in the first run"),
        ({"asked": settings(strata=strata(placement="bsp-alone"))}, "placement: none in the first run, bsp-alone"),
    ],
)
def test_other_conditions_are_named(other: dict[str, Any], reason: str) -> None:
    asked = other.pop("asked", None)
    assert any(line.startswith(reason) for line in obstacles(side(), side(asked=asked, **other)))


def test_pretended_smm_is_not_compared_with_real_smm() -> None:
    asked = settings()
    pretended = replace(asked, builds=tuple(replace(build, smm=Smm.PRETENDED) for build in asked.builds))
    assert obstacles(side(), side(asked=pretended)) == ["SMM: real in the first run, pretended in the second"]


def test_strata_may_differ_though_no_axis_does() -> None:
    both = strata((2, 4), ("max", "500/s"))
    first, second = settings(strata=(both[0], both[3])), settings(strata=(both[1], both[2]))
    assert obstacles(side(asked=first), side(asked=second)) == ["no stratum is in both runs"]


def test_the_baseline_of_the_first_meets_the_candidates_of_the_second() -> None:
    first = side([(LOST, OK)] * 5 + [(OK, OK)] * 35)
    second = side([(LOST, OK, OK)] * 40, settings(("unpatched", "patched", "v2")))
    patched, v2 = compared(first, second)
    assert [(one.baseline, one.candidate) for one in (patched, v2)] == [("unpatched", "patched"), ("unpatched", "v2")]
    look = patched.by_class[LOST_INIT]
    assert (look.table, look.runs) == (Table(5, 40, 0, 40), None)
    assert look.p_better == fisher_greater(Table(5, 40, 0, 40)) == pytest.approx(0.0273714, rel=1e-5)
    assert look.p_worse == 1.0


def test_runs_that_compare_nothing_meet_by_name_or_alone() -> None:
    alone = [side(asked=settings((name,))) for name in ("a", "b")]
    assert [(one.baseline, one.candidate) for one in compared(*alone)] == [("a", "b")]
    several = [side(asked=settings(names, compare=None, gate=None)) for names in (("a", "b"), ("c", "b"))]
    assert [(one.baseline, one.candidate) for one in compared(*several)] == [("b", "b")]
    with pytest.raises(ConfigError, match="share no build name"):
        compared(*(side(asked=settings(names, compare=None, gate=None)) for names in (("a", "b"), ("c", "d"))))


def test_only_strata_of_both_runs_count_each_apart() -> None:
    first = settings(strata=strata((2, 4, 8)))
    second = settings(strata=strata((4, 8, 16)))
    a = side([(LOST, OK)] * 30 + [(OK, OK)] * 30, first)
    b = side([(OK, OK)] * 60, second)
    (found,) = compared(a, b)
    look = found.by_class[LOST_INIT]
    of_first = [cell for cell in a.tally.build("unpatched") if cell.cell.stratum in second.strata]
    tables = [Table(cell.classes[LOST_INIT], cell.n, 0, 20) for cell in of_first]
    assert look.table == Table(sum(t.k_a for t in tables), 40, 0, 40)
    assert look.p_better == stratified_greater(tables)


def test_whoever_insists_gets_runs_compared_by_their_vcpus_without_counting_twice() -> None:
    a = side([(LOST, OK)] * 4, settings(strata=strata((4, 8), ("max", "500/s"))))
    b = side([(OK, OK)] * 3, settings(strata=strata((4,), firmware="smpscan")))
    (found,) = compared(a, b)
    assert (found.by_class[LOST_INIT].table.n_a, found.by_class[LOST_INIT].table.n_b) == (2, 3)
    with pytest.raises(ConfigError, match="share no number of vCPUs"):
        compared(a, side(asked=settings(strata=strata((16,)))))


def test_trials_that_share_a_process_count_as_one() -> None:
    asked = settings(strata=strata(restart="reset", process_trials=10))
    first, second = side([(LOST, OK)] * 3 + [(OK, OK)] * 3, asked), side([(OK, OK)] * 6, asked)
    look = compared(first, second)[0].by_class[LOST_INIT]
    assert (look.table, look.runs) == (Table(30, 60, 0, 60), Table(3, 6, 0, 6))
    assert look.p_better == fisher_greater(Table(3, 6, 0, 6))
    assert look.dispersion_a is not None
    assert look.dispersion_a > 9
    assert "(0 of 6 process-runs against 3 of 6)" in across_text(first, second, compared(first, second), [])


def test_classes_that_were_seen_anywhere_are_shown() -> None:
    found = compared(side([(REPLAYED, OK)]), side([(OK, OK)]))
    assert list(found[0].by_class) == [FindingClass.LOST_INIT, FindingClass.REPLAYED_INIT]


def test_the_text_says_plainly_what_two_runs_are_worth() -> None:
    first, second = side([(LOST, OK)] * 40, run="one"), side([(OK, OK)] * 40, run="two")
    lines = across_text(
        first, second, compared(first, second), ["lanes: 1 in the first run, 4 in the second"]
    ).splitlines()
    assert lines[0] == "warning: not comparable: lanes: 1 in the first run, 4 in the second"
    assert lines[1:3] == ["first:  one", "second: two"]
    assert lines[3] == "patched of the second run against unpatched of the first:"
    assert lines[4].startswith("  lost-init: 0/40 (<7.3 %) against 40/40 (>92.7 %): p 9.3e-24 for lower, 1 for higher")
    assert lines[-1] == f"note: {NOT_INTERLEAVED}"
    assert "decision" not in "".join(lines)


def test_the_document_holds_the_same_figures() -> None:
    first, second = side([(LOST, OK)] * 10), side([(OK, OK)] * 10)
    document: Any = json.loads(json.dumps(across_document(first, second, compared(first, second), [])))
    assert (document["interleaved"], document["not_comparable"]) == (False, [])
    (pair,) = document["pairs"]
    assert pair["by_class"]["lost-init"]["baseline"] == {
        "count": 10, "trials": 10, "rate": 1.0, "lower": 0.691503, "upper": 1.0,
    }  # fmt: skip
    assert pair["by_class"]["lost-init"]["p_better"] == pytest.approx(5.41254e-06)
    empty: Any = across_document(first, side(), compared(first, side()), [])
    assert empty["pairs"][0]["by_class"]["lost-init"]["candidate"]["rate"] is None


def test_hosts_that_both_runs_had_are_compared_each_with_itself() -> None:
    asked = settings()
    first, second = (
        Side("r", asked, HOST, shown(asked, said, hosts=(OLD, NEW)).tally)
        for said in ([(LOST, OK), (OK, OK)] * 6, [(OK, OK), (OK, LOST)] * 6)
    )
    assert obstacles(first, second) == []
    (found,) = compared(first, second)
    look = found.by_class[LOST_INIT]
    assert look.table == Table(6, 12, 6, 12)
    assert look.p_better == pytest.approx(stratified_greater([Table(6, 6, 0, 6), Table(0, 6, 6, 6)]))


def test_other_hosts_are_named_and_pooled_for_whoever_insists() -> None:
    asked = settings()
    first = Side("r", asked, HOST, shown(asked, [(LOST, OK)] * 6, hosts=(OLD,)).tally)
    second = Side("r", asked, HOST, shown(asked, [(OK, OK)] * 6, hosts=(OLD, NEW)).tally)
    wanted = "hosts (kernel): old (6.1.0) in the first run, new (6.12.0), old (6.1.0) in the second"
    assert obstacles(first, second) == [wanted]
    (found,) = compared(first, second)
    assert found.by_class[LOST_INIT].table == Table(6, 6, 0, 6)

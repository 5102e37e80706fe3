"""One bug, one entry, whatever its CPUs, its signature, its cell."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.model import FindingClass, Verdict
from qstress.report.bugs import bug_title, bugs
from qstress.stats.tally import Tally
from qstress.verdict.vcpu import cpu_names
from tests.stats.samples import CRASH, LOST, REPLAYED, build, cells

LOST_INIT = FindingClass.LOST_INIT


def lost(*who: int, doing: str = "spins") -> Verdict:
    title = f"lost INIT: {cpu_names(who)} never left the reset vector while CPU#0 {doing}"
    return replace(LOST, title=title, signature=f"lost-init/found/reset-vector={len(who)},running=1")


def found(*seen: tuple[Verdict, int], smp: tuple[int, ...] = (4,)) -> Tally:
    """Each verdict in the cell of that number, unpatched and patched in turn."""
    tally = Tally(cells(build("unpatched"), build("patched"), smp=smp))
    for number, (verdict, cell) in enumerate(seen):
        tally.add_finding(verdict, cell, f"evidence/{number}")
    return tally


@given(st.sets(st.integers(1, 254), min_size=1).map(sorted), st.sampled_from(["spins", "waits"]))
def test_a_title_has_no_numbers_whichever_aps_were_lost(who: list[int], doing: str) -> None:
    assert bug_title(LOST_INIT, lost(*who, doing=doing).title) == (
        f"lost INIT: an AP never left the reset vector while the boot CPU {doing}"
    )


@pytest.mark.parametrize(
    ("kind", "title", "says"),
    [
        (
            FindingClass.BSP_SPIN, "CPU#0 waits for 4 vCPUs and has 3, but none is at the reset vector",
            "the boot CPU waits for more vCPUs than have come, but none is at the reset vector",
        ),
        (
            FindingClass.AP_LOST_LATER, "AP lost later: CPU#3 took its SIPI and never reported",
            "AP lost later: an AP took its SIPI and never reported",
        ),
        (
            FindingClass.CURED_BY_LOOKING,
            "cured by looking: CPU#1, CPU#12 slept at the reset vector after its SIPI, and went on",
            "cured by looking: an AP slept at the reset vector after its SIPI, and went on",
        ),
        (
            FindingClass.LIVELOCK, "livelock after checkin: CPU#0 runs the same few addresses",
            "livelock after checkin: the boot CPU runs the same few addresses",
        ),
        (FindingClass.HANG_OTHER, "stuck at 0xfee00300 after 17 s", "stuck at N after N s"),
        (FindingClass.CRASH, "QEMU crash: exit status 1: bad port 0x70", "QEMU crash: exit status 1: bad port 0x70"),
    ],
)  # fmt: skip
def test_titles_of_other_classes(kind: FindingClass, title: str, says: str) -> None:
    assert bug_title(kind, title) == says


def test_one_bug_is_one_entry_over_cpus_signatures_builds_and_sizes() -> None:
    seen = [(lost(1), 0), (lost(3), 0), (lost(1, 3), 0), (lost(2, doing="waits"), 2), (REPLAYED, 1), (lost(2), 1)]
    one, two = bugs(found(*seen, smp=(4, 16)).findings)
    assert (one.finding_class, one.count) == (LOST_INIT, 5)
    assert one.title == "lost INIT: an AP never left the reset vector while the boot CPU spins"
    assert one.sizes == {("unpatched", 4): 3, ("unpatched", 16): 1, ("patched", 4): 1}
    assert one.signatures == {
        "lost-init/found/reset-vector=1,running=1": 4, "lost-init/found/reset-vector=2,running=1": 1,
    }  # fmt: skip
    assert sorted(one.evidence) == ["evidence/0", "evidence/1", "evidence/2", "evidence/3", "evidence/5"]
    assert (two.finding_class, two.count, two.evidence) == (FindingClass.REPLAYED_INIT, 1, ["evidence/4"])


def test_two_bugs_of_a_class_stay_two() -> None:
    other = replace(CRASH, title="QEMU crash: killed by SIGABRT", signature="crash/abrt")
    made = bugs(found((CRASH, 0), (other, 0), (other, 1)).findings)
    assert [(bug.title, bug.count) for bug in made] == [(other.title, 2), (CRASH.title, 1)]
    assert not any(re.search(r"\d", bug.title) for bug in made)


def test_what_lies_in_unfinished_blocks_is_told() -> None:
    tally = found((lost(1), 0))
    tally.add_finding(lost(1, 2), 1, None, counted=False)
    (bug,) = bugs(tally.findings)
    assert (bug.count, bug.uncounted) == (2, 1)

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from qstress.config.settings import HostSettings
from qstress.model import Accel
from qstress.report.html import about
from tests.report.html.samples import facts, settings, shown, strata
from tests.stats.samples import LOST, NEW, OK, OLD, RIG


def test_cells_tell_what_is_in_no_rate() -> None:
    drawn = about.cells(shown(settings(("only",)), [(LOST,), (RIG,), (OK,)]))
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", drawn)
    assert cells[:4] == ["smp 4 pc kvm, info registers -a @ max, T1", "2", "1/2 (1.2-98.8 %)", "0"]
    assert cells[4] == "1"


def test_a_build_tells_what_it_was_made_of() -> None:
    made = {
        "source": {"version": "10.1.0", "commit": "abc123", "modified": False, "package": None},
        "patches": [{"file": "fix.mbox", "sha256": "cd" * 32, "subject": "i386: guard it", "author": "A"}],
        "configure": "../configure --target-list=x86_64-softmmu",
        "compiler": "gcc 12",
    }
    asked = settings()
    held = replace(asked.builds[0], hold_write_s=0.001, lost_ap_share=0.25, args=("-cpu", "max"), env=(("A", "b"),))
    run = shown(replace(asked, builds=(held, asked.builds[1])), builds={"patched": {"provenance": made}})
    unpatched, patched = about.builds(run).split("<h3>")[1:]
    assert "10.1.0, abc123" in patched
    assert f"i386: guard it (sha256 {'cd' * 32})" in patched
    assert "built from" not in unpatched
    for words in ("1 ms before the write-back", "one AP lost in 25 %", "-cpu max", "A=b", "ab" * 32):
        assert words in unpatched


def test_the_host_and_the_plan_are_told() -> None:
    drawn = about.host(shown(settings(stop_trials=400, stop_duration_s=600.0, stop_decided=True)))
    for words in ("400 trials or 10 min 0 s or decided", "AMD EPYC", "8.0 GiB", "svm, not nested", "3 min 10 s"):
        assert words in drawn
    no_kvm = {**facts().host, "kvm": {"usable": False, "reason": "no /dev/kvm"}}
    assert "cannot be used: no /dev/kvm" in about.host(replace(shown(), facts=replace(facts(), host=no_kvm)))


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ({"read": True, "problem": "", "records": 8, "reports": []}, "quiet, 8 records"),
        (
            {"read": True, "problem": "", "records": 8, "reports": [{"count": 2}, {"count": 1}]},
            "3 complaints, 8 records",
        ),
        ({"read": False, "problem": "no /dev/kmsg", "records": 0, "reports": []}, "not read: no /dev/kmsg"),
    ],
)
def test_the_kernel_log_is_told_of(log: dict[str, Any], told: str) -> None:
    assert told in about.host(shown(host_log=log))
    assert "kernel log" not in about.host(shown())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "any guest but pc with 4 vCPUs and seabios"),
        ({}, "every number is of tier T1"),
        ({"strata": strata((2, 16))}, "any guest but pc with 2, 16 vCPUs"),
        ({"strata": strata((2, 16))}, "2 of 4 cells have no valid trial"),
        ({"stop_trials": 10}, "8 of 10 planned trials did not run"),
        ({"strata": tuple(replace(s, shape=replace(s.shape, accel=Accel.TCG)) for s in strata())}, "the race itself"),
    ],
)
def test_what_was_not_tested_is_said(more: dict[str, Any], told: str) -> None:
    assert told in about.not_tested(shown(settings(**more), [(OK, OK)]))


def test_production_like_runs_are_not_called_anything_else() -> None:
    run = shown(settings(strata=strata(observe="none")), [(OK, OK)])
    assert "production" not in about.not_tested(run)


def test_a_build_that_stands_for_a_host_names_its_kernel() -> None:
    old = HostSettings("6.1", 2, 3 << 30, "6.1.0-57-amd64", "0" * 64, "7.2.22")
    run = shown(settings(("old", "new"), hosts=(("old", old), ("new", replace(old, release="6.12.117")))))
    told = str(about.builds(run))
    assert told.index("kernel 6.1.0-57-amd64") < told.index("kernel 6.12.117")


def test_several_hosts_of_a_fleet_are_told() -> None:
    run = shown(settings(), [(OK, OK)] * 2, hosts=(OLD, NEW))
    assert "old (kernel 6.1.0), new (kernel 6.12.0)" in str(about.host(run))
    assert "any host but these" in str(about.not_tested(run))
    assert ", on new" in str(about.cells(run))

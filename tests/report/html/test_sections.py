from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import Any

import pytest

from qstress.model import Accel
from qstress.report.html import sections
from tests.report.html.samples import everything, facts, settings, shown, strata
from tests.stats.samples import LOST, OK, REPLAYED, RIG


def test_a_finding_has_its_picture_its_story_and_the_line_that_repeats_it() -> None:
    run = shown(verdicts=[(LOST, OK), (LOST, OK)])
    (finding,) = run.tally.findings
    run = replace(run, pictures={finding.evidence: "<svg/>"}, stories={finding.evidence: "It stood still.\n<b>"})
    drawn = sections.findings(run)
    assert "seen 2 times" in drawn
    assert f"qstress repro runs/20260102T030405Z-nightly-k3x9/{finding.evidence}" in drawn
    (source, alt) = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', drawn)[0]
    assert (base64.b64decode(source), alt) == (b"<svg/>", "Timeline: lost-init, unpatched, smp 4")
    assert "<pre>It stood still.\n&lt;b&gt;</pre>" in drawn


def test_findings_without_evidence_or_in_no_rate_say_so() -> None:
    run = shown(settings(("only",)), [(OK,)])
    assert sections.findings(run) == "<p>None.</p>"
    run.tally.add_finding(LOST, 0, None, counted=False)
    drawn = sections.findings(run)
    assert "seen once, 1 of them in no rate: the block was not finished" in drawn
    assert "No evidence was kept." in drawn


def test_pictures_stay_within_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    run = shown(verdicts=[(LOST, OK), (OK, REPLAYED), (REPLAYED, OK)])
    kinds = [finding.evidence for finding in run.tally.findings]
    run = replace(run, pictures=dict(zip(kinds, ("a" * 90, "b" * 50, "c" * 60), strict=True)))
    monkeypatch.setattr(sections, "PICTURE_BYTES", 80)
    monkeypatch.setattr(sections, "ALL_PICTURES_BYTES", 100)
    drawn = [base64.b64decode(source)[:1] for source in re.findall(r"base64,([^\"]+)", sections.findings(run))]
    assert drawn == [b"b"]


def test_more_kinds_of_findings_than_anybody_reads_are_counted() -> None:
    run = shown(
        settings(("only",)), [(replace(LOST, signature=f"lost-init:{n}"),) for n in range(sections.FINDINGS_MAX + 4)]
    )
    assert "and 4 more kinds: see summary.json" in sections.findings(run)


def test_cells_tell_what_is_in_no_rate() -> None:
    drawn = sections.cells(shown(settings(("only",)), [(LOST,), (RIG,), (OK,)]))
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
    unpatched, patched = sections.builds(run).split("<h3>")[1:]
    assert "10.1.0, abc123" in patched
    assert f"i386: guard it (sha256 {'cd' * 32})" in patched
    assert "built from" not in unpatched
    for words in ("1 ms before the write-back", "one AP is lost in 25 %", "-cpu max", "A=b", "ab" * 32):
        assert words in unpatched


def test_the_host_and_the_plan_are_told() -> None:
    drawn = sections.host(shown(settings(stop_trials=400, stop_duration_s=600.0, stop_decided=True)))
    for words in ("400 trials or 10 min 0 s or decided", "AMD EPYC", "8.0 GiB", "svm, not nested", "3 min 10 s"):
        assert words in drawn
    no_kvm = {**facts().host, "kvm": {"usable": False, "reason": "no /dev/kvm"}}
    assert "not used: no /dev/kvm" in sections.host(replace(shown(), facts=replace(facts(), host=no_kvm)))


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
    assert told in sections.host(shown(host_log=log))
    assert "kernel log" not in sections.host(shown())


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
    assert told in sections.not_tested(shown(settings(**more), [(OK, OK)]))


def test_production_like_runs_are_not_called_anything_else() -> None:
    run = shown(settings(strata=strata(observe="none")), [(OK, OK)])
    assert "production" not in sections.not_tested(run)


def test_what_the_guest_said_stays_text() -> None:
    drawn = sections.findings(everything())
    assert "<script" not in drawn
    assert "\x1b" not in drawn
    assert "&lt;img src=http://example.invalid/x" in drawn

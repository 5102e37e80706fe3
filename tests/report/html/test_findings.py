from __future__ import annotations

import base64
import re
from dataclasses import replace

import pytest

from qstress.report.html import findings as module
from qstress.report.html.findings import FINDINGS_MAX, findings
from tests.report.html.samples import everything, settings, shown
from tests.stats.samples import LOST, OK, REPLAYED


def test_a_finding_has_its_picture_its_story_and_the_line_that_repeats_it() -> None:
    run = shown(verdicts=[(LOST, OK), (LOST, OK)])
    (finding,) = run.tally.findings
    run = replace(run, pictures={finding.evidence: "<svg/>"}, stories={finding.evidence: "It stood still.\n<b>"})
    drawn = findings(run)
    assert "seen 2 times" in drawn
    assert f"qstress repro runs/20260102T030405Z-nightly-k3x9/{finding.evidence}" in drawn
    (source, alt) = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', drawn)[0]
    assert (base64.b64decode(source), alt) == (b"<svg/>", "Timeline: lost-init, unpatched, smp 4")
    assert "<pre>It stood still.\n&lt;b&gt;</pre>" in drawn


def test_findings_without_evidence_or_in_no_rate_say_so() -> None:
    run = shown(settings(("only",)), [(OK,)])
    assert findings(run) == "<p>None.</p>"
    run.tally.add_finding(LOST, 0, None, counted=False)
    drawn = findings(run)
    assert "seen once, 1 of them in no rate: the block was not finished" in drawn
    assert "No evidence was kept." in drawn


def test_pictures_stay_within_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    run = shown(verdicts=[(LOST, OK), (OK, REPLAYED), (REPLAYED, OK)])
    kinds = [finding.evidence for finding in run.tally.findings]
    run = replace(run, pictures=dict(zip(kinds, ("a" * 90, "b" * 50, "c" * 60), strict=True)))
    monkeypatch.setattr(module, "PICTURE_BYTES", 80)
    monkeypatch.setattr(module, "ALL_PICTURES_BYTES", 100)
    drawn = [base64.b64decode(source)[:1] for source in re.findall(r"base64,([^\"]+)", findings(run))]
    assert drawn == [b"b"]


def test_more_kinds_of_findings_than_anybody_reads_are_counted() -> None:
    run = shown(settings(("only",)), [(replace(LOST, signature=f"lost-init:{n}"),) for n in range(FINDINGS_MAX + 4)])
    assert "and 4 more kinds: see summary.json" in findings(run)


def test_what_the_guest_said_stays_text() -> None:
    drawn = findings(everything())
    assert "<script" not in drawn
    assert "\x1b" not in drawn
    assert "&lt;img src=http://example.invalid/x" in drawn

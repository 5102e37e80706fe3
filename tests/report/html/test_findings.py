from __future__ import annotations

import base64
import re
from dataclasses import replace

import pytest

from qstress.report.bugs import bugs
from qstress.report.html import findings as module
from qstress.report.html.findings import BUGS_MAX, bug_articles
from tests.report.html.samples import everything, settings, shown
from tests.stats.samples import CRASH, LOST, OK, REPLAYED


def test_a_finding_has_its_picture_its_story_and_the_line_that_repeats_it() -> None:
    run = shown(verdicts=[(LOST, OK), (LOST, OK)])
    first, second = run.tally.findings[0].evidence
    run = replace(run, pictures={first: "<svg/>"}, stories={first: "It stood still.\n<b>"})
    drawn = bug_articles(run)
    assert "seen 2 times" in drawn
    assert f"qstress repro runs/20260102T030405Z-nightly-k3x9/{first}" in drawn
    assert re.findall('href="([^"]+)"', drawn) == [f"{first}/", f"{second}/"]
    (source, alt) = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', drawn)[0]
    assert (base64.b64decode(source), alt) == (b"<svg/>", "Timeline: lost-init")
    assert "<pre>It stood still.\n&lt;b&gt;</pre>" in drawn


def test_findings_without_evidence_or_in_no_rate_say_so() -> None:
    run = shown(settings(("only",)), [(OK,)])
    assert bug_articles(run) == "<p>None.</p>"
    run.tally.add_finding(LOST, 0, None, counted=False)
    drawn = bug_articles(run)
    assert "seen once, 1 of them in no rate: the block was not finished" in drawn
    assert "No evidence was kept." in drawn


def test_pictures_stay_within_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    run = shown(verdicts=[(LOST, OK), (OK, REPLAYED), (CRASH, OK)])
    kinds = [bug.evidence[0] for bug in bugs(run.tally.findings)]
    run = replace(run, pictures=dict(zip(kinds, ("a" * 90, "b" * 50, "c" * 60), strict=True)))
    monkeypatch.setattr(module, "PICTURE_BYTES", 80)
    monkeypatch.setattr(module, "ALL_PICTURES_BYTES", 100)
    drawn = [base64.b64decode(source)[:1] for source in re.findall(r"base64,([^\"]+)", bug_articles(run))]
    assert drawn == [b"b"]


def test_more_kinds_of_findings_than_anybody_reads_are_counted() -> None:
    crashes = [(replace(CRASH, title=f"crash {n}", signature=f"crash:{n}"),) for n in range(BUGS_MAX + 4)]
    run = shown(settings(("only",)), crashes)
    assert "and 4 more: see summary.json" in bug_articles(run)


def test_one_bug_is_one_article_with_its_cells_and_variants() -> None:
    one, two = (replace(LOST, title=f"lost INIT: {who} never left the reset vector", signature=f"lost-init/{who}")
                for who in ("CPU#1", "CPU#2, CPU#3"))  # fmt: skip
    drawn = bug_articles(shown(verdicts=[(one, two), (two, OK), (one, OK)]))
    assert drawn.count("<article>") == 1
    assert "lost INIT: an AP never left the reset vector" in drawn
    assert re.findall(r'<th scope="row">(\w+)</th><td>smp 4</td><td class="n">(\d)', drawn) == [
        ("unpatched", "3"), ("patched", "1"),
    ]  # fmt: skip
    assert "<summary>2 variants</summary>" in drawn
    assert drawn.count('href="evidence/') == 4


def test_what_the_guest_said_stays_text() -> None:
    drawn = bug_articles(everything())
    assert "<script" not in drawn
    assert "\x1b" not in drawn
    assert "&lt;img src=http://example.invalid/x" in drawn

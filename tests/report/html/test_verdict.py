from __future__ import annotations

import re
from dataclasses import replace

import pytest

from qstress.config.settings import Compare
from qstress.model import FindingClass, SmmWriteback
from qstress.report.html.verdict import verdict_header
from qstress.report.wording import verdict_sentence
from tests.report.html.samples import everything, facts, settings, shown
from tests.stats.samples import CRASH, LOST, OK, REPLAYED


def test_the_sentence_comes_first_then_the_figures_it_rests_on() -> None:
    drawn = verdict_header(shown(verdicts=[(LOST, OK)] * 40))
    sentence = drawn.index("patched cures lost-init; brings nothing new.")
    status = drawn.index("✓ exit 0</b> the gate passed")
    words = drawn.index(
        "lost-init: unpatched 40/40 (&gt;92.7 %) of bring-ups, patched 0/40 (&lt;7.3 %): candidate better, evidence 10"
    )
    table = drawn.index('<th scope="row">lost-init</th>')
    gate, headline = drawn.index('<b class="good">✓ gate passed</b>'), drawn.index('<h1 class="good">')
    assert gate < headline < sentence < status < words < table
    assert "ended after 3 min 10 s and 80 trials" in drawn


def test_a_run_that_decided_says_after_how_long() -> None:
    run = shown(verdicts=[(LOST, OK)] * 40, facts=facts(reason="decided"))
    assert "decided after 3 min 10 s" in verdict_header(run)


@pytest.mark.parametrize(("code", "sign"), [(0, "✓"), (1, "✗"), (4, "✗"), (5, "?"), (130, "?")])
def test_how_it_ended_is_said_by_a_sign_too(code: int, sign: str) -> None:
    assert f"{sign} exit {code}" in verdict_header(shown(exit_code=code))


def test_every_candidate_has_its_sentence_and_table() -> None:
    run = everything(60)
    drawn = verdict_header(run)
    for comparison in run.standing.comparisons:
        assert f"<span>{verdict_sentence(comparison)}.</span>" in drawn
        assert f"{comparison.candidate} against {comparison.baseline}, class by class" in drawn


def test_builds_that_are_compared_with_nothing_have_a_sentence_each() -> None:
    drawn = verdict_header(shown(settings(("only",)), [(LOST,), (OK,), (CRASH,)]))
    assert "only: hang or restart 1/3 (0.84-90.6 %), other findings 1/3 (0.84-90.6 %)." in drawn


def test_what_must_be_known_is_said_before_the_figures() -> None:
    asked = settings()
    imitated = replace(asked.builds[1], smm_writeback=SmmWriteback.RESET_ONLY)
    drawn = verdict_header(shown(replace(asked, builds=(asked.builds[0], imitated)), [(LOST, OK)]))
    assert '<p class="caveat">fix imitated, no patched QEMU: in patched' in drawn


def test_each_rule_of_the_gate_is_listed() -> None:
    drawn = verdict_header(shown(verdicts=[(LOST, OK)]))
    assert '<b class="open">? gate open</b> better than unpatched in lost-init: undecided: 10^0.0 of 10^3' in drawn


def test_what_the_hosts_kernel_complained_of_is_said() -> None:
    report = {"title": "BUG: soft lockup", "count": 2, "confidence": "likely"}
    drawn = verdict_header(shown(verdicts=[(LOST, OK)], host_log={"reports": [report]}))
    assert "the host&#x27;s kernel complained, 2 times: BUG: soft lockup (likely)" in drawn


def test_what_is_undecided_says_how_much_there_is_of_what_it_takes() -> None:
    drawn = verdict_header(shown(verdicts=[(LOST, OK)] * 6 + [(OK, OK)] * 60))
    there_is = r"10<sup>2\.\d</sup> of 10<sup>3</sup> needed"
    assert re.search(rf"\(&lt;4.5 %\): undecided: {there_is}, ended after", drawn)
    assert re.search(rf"<td>undecided: {there_is}</td>", drawn)
    assert "not shown to differ" not in drawn
    assert '<th class="n" scope="col">Fisher p (information)</th>' in drawn


def test_the_table_begins_with_the_class_that_was_asked_about() -> None:
    asked = settings(compare=Compare("unpatched", ("patched",), 1e-3, 0.95, (FindingClass.REPLAYED_INIT,)), gate=None)
    drawn = verdict_header(shown(asked, [(LOST, OK), (REPLAYED, OK)] * 20))
    assert re.findall(r'<th scope="row">([a-z-]+)', drawn) == ["replayed-init", "lost-init"]
    assert "<span>patched cures replayed-init; cures lost-init; brings nothing new.</span>" in drawn

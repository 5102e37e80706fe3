from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.config.settings import LAST_GOOD, Compare, Gate
from qstress.report.gate import PastRun
from qstress.report.standing import standing
from qstress.stats.compare import Decision
from qstress.stats.counts import Counts
from tests.report.html.samples import settings, shown
from tests.stats.samples import CRASH, LOST, OK


def test_each_candidate_is_compared_and_the_gate_rules_alone() -> None:
    asked = settings(("a", "b", "c"))
    asked = replace(asked, gate=Gate("b", None, None, "a"))
    tally = shown(asked, [(LOST, OK, LOST)] * 40).tally
    now = standing(asked, tally, complete=True)
    assert [(c.baseline, c.candidate, c.overall.decision) for c in now.comparisons] == [
        ("a", "b", Decision.BETTER), ("a", "c", Decision.NO_DIFFERENCE),
    ]  # fmt: skip
    assert now.gate is not None
    assert (now.gate.passed, now.exit_code) == (True, 0)
    assert standing(replace(asked, gate=None), tally, complete=True).exit_code == 5  # c was not decided


def test_a_run_that_may_go_on_is_not_complete() -> None:
    asked = replace(settings(), compare=Compare("unpatched", ("patched",), 1e-3, 0.95))
    tally = shown(asked, [(OK, OK)] * 40).tally
    decisions = [standing(asked, tally, complete=c).comparisons[0].overall.decision for c in (True, False)]
    assert decisions == [Decision.NO_DIFFERENCE, Decision.INCONCLUSIVE]


@pytest.mark.parametrize(("verdict", "exit_code"), [(OK, 0), (CRASH, 1)])
def test_a_run_of_one_build_fails_by_its_findings(verdict: object, exit_code: int) -> None:
    asked = settings(("only",))
    now = standing(asked, shown(asked, [(verdict,)]).tally, complete=True)  # type: ignore[list-item]
    assert (now.comparisons, now.gate, now.exit_code) == ((), None, exit_code)


@pytest.mark.parametrize(("past", "passed"), [(None, True), (PastRun("r", (Counts(0, 400, 0.0, 400),)), False)])
def test_a_gate_may_ask_for_the_past(past: PastRun | None, passed: bool) -> None:
    asked = replace(settings(("only",)), gate=Gate("only", None, None, None, LAST_GOOD))
    now = standing(asked, shown(asked, [(LOST,)] * 20).tally, complete=True, past=past)
    assert now.gate is not None
    assert now.gate.passed is passed


@pytest.mark.parametrize("decided", [True, False])
def test_limits_hold_at_every_look_where_the_run_was_stopped_by_one(decided: bool) -> None:
    asked = replace(settings(("only",)), stop_decided=decided, gate=Gate("only", 0.01, None, None))
    now = standing(asked, shown(asked, [(OK,)] * 400).tally, complete=True)
    assert now.gate is not None
    assert now.gate.passed is (None if decided else True)  # 299 trials do for one look, 985 for any

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace

import pytest

from qstress.model import Evidence, FindingClass, Outcome, Verdict
from qstress.trial.context import Coordinator, EvidenceQuota, FinishedTrial, HealthyBoot, TrialContext, evidence_kind
from qstress.verdict.limits import ENOUGH, Learned
from tests.samples import result, trial

LOST = Verdict(Outcome.HANG, "lost INIT: CPU#1", FindingClass.LOST_INIT, "lost-init/x")


def test_a_context_and_what_comes_back_pickle() -> None:
    context = TrialContext(
        lane=3, env={"LD_PRELOAD": "/x"}, learned=Learned((0.1,), (0.2,)), known=frozenset({FindingClass.LOST_INIT}),
        evidence=EvidenceQuota(5, {evidence_kind(LOST): 2}), journals="/tmp/j",
    )  # fmt: skip
    assert pickle.loads(pickle.dumps(context)) == context
    finished = FinishedTrial(result(trial()), Evidence(journal=b"{}\n"), HealthyBoot(0.1, 0.2, 1.0))
    assert pickle.loads(pickle.dumps(finished)) == finished


@pytest.mark.parametrize(("made", "since", "wanted"), [(0, 0, True), (1, 0, True), (1, 1, False), (2, 0, False)])
def test_evidence_of_a_kind_is_wanted_until_there_is_enough(made: int, since: int, wanted: bool) -> None:
    kind = evidence_kind(LOST)
    assert EvidenceQuota(2, {kind: made}).wants(LOST, Counter({kind: since})) is wanted
    other = replace(LOST, signature="lost-init/y")
    assert EvidenceQuota(2, {kind: made}).wants(other, Counter({kind: since}))


def test_all_evidence_is_wanted_where_nothing_else_is_said_and_none_where_that_is_said() -> None:
    assert EvidenceQuota().wants(LOST, Counter({evidence_kind(LOST): 1000}))
    assert not EvidenceQuota(0).wants(LOST, Counter())


def test_healthy_boots_add_up_to_what_is_usual() -> None:
    learned = Learned()
    for _ in range(ENOUGH):
        learned = HealthyBoot(0.4, 1.0, slowness=2.0).added_to(learned)
    assert learned.enough
    assert (learned.silences_s[0], learned.boots_s[0]) == (0.2, 0.5)


def test_who_does_not_listen_wants_more() -> None:
    assert Coordinator().take([FinishedTrial(result(trial()))])

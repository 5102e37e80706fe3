from __future__ import annotations

from tests.report.html.samples import shown
from tests.stats.samples import LOST, OK, RIG


def test_all_trials_are_counted_whatever_became_of_them() -> None:
    assert shown(verdicts=[(LOST, OK), (RIG, OK)]).tally.trials == 4

"""What may be claimed of a rate: exact once, a sequence at every look or where trials share a process."""

from __future__ import annotations

import pytest

from qstress.stats.counts import Counts, above, at_most, rate_limits
from qstress.stats.intervals import lower_limit, upper_limit
from qstress.stats.sequence import sequence

CLEAN = Counts(0, 300, 0.0, 300)
SOME = Counts(4, 40, 4.0, 40)
SHARED = Counts(20, 400, 2.0, 40)  # two of 40 process-runs hung in all of their 10 trials


def test_one_look_has_exact_limits() -> None:
    assert rate_limits(SOME, 0.05, every_look=False) == (lower_limit(4, 40, 0.05), upper_limit(4, 40, 0.05))
    assert at_most(CLEAN, 0.01, 0.05, every_look=False)
    assert not at_most(Counts(0, 298, 0.0, 298), 0.01, 0.05, every_look=False)
    assert above(SOME, 0.034, 0.05, every_look=False)
    assert not above(SOME, 0.036, 0.05, every_look=False)


def test_every_look_has_the_sequence() -> None:
    assert rate_limits(SOME, 0.05, every_look=True) == sequence(4, 40, 0.05)
    assert not at_most(CLEAN, 0.01, 0.05, every_look=True)
    assert at_most(Counts(0, 984, 0.0, 984), 0.01, 0.05, every_look=True)
    lower = sequence(4, 40, 0.05).lower
    assert above(SOME, lower * 0.999, 0.05, every_look=True)
    assert not above(SOME, lower * 1.001, 0.05, every_look=True)


def test_trials_that_share_a_process_are_as_many_as_their_processes() -> None:
    assert SHARED.clustered
    assert not SOME.clustered
    assert rate_limits(SHARED, 0.05, every_look=False) == sequence(2.0, 40, 0.05)
    many = Counts(0, 50_000, 0.0, 500)
    assert not at_most(many, 0.01, 0.05, every_look=False)
    assert at_most(many._replace(runs=984), 0.01, 0.05, every_look=False)
    assert not above(SHARED, 0.03, 0.05, every_look=False)
    assert above(SHARED._replace(shares=20.0), 0.25, 0.05, every_look=False)


@pytest.mark.parametrize("every_look", [True, False])
def test_without_a_trial_nothing_is_shown(every_look: bool) -> None:
    none = Counts(0, 0, 0.0, 0)
    assert rate_limits(none, 0.05, every_look=every_look) == (0.0, 1.0)
    assert not at_most(none, 1.0, 0.05, every_look=every_look)
    assert not above(none, 0.0, 0.05, every_look=every_look)
    assert at_most(SOME, 1.0, 0.05, every_look=every_look)

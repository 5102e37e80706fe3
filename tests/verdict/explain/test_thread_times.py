from __future__ import annotations

import pytest

from qstress.model import ThreadUsage
from qstress.verdict.explain.thread_times import explain_without_dump

SLEEPS = ThreadUsage(1, 101, 0.0, 1.0, "S")
BURNS = ThreadUsage(0, 100, 1.0, 1.0, "R")


@pytest.mark.parametrize(
    ("status", "usage", "told"),
    [
        ("running", (BURNS, SLEEPS), ("busy", "likely")),
        ("running", (SLEEPS,), ("inconclusive", "inconclusive")),
        ("running", (), ("inconclusive", "inconclusive")),
        ("paused", (), ("inconclusive", "inconclusive")),
        ("prelaunch", (), ("reset-vector", "certain")),
        ("internal-error", (SLEEPS,), ("stopped-by-kvm", "certain")),
    ],
)
def test_run_state_and_thread_times_alone(status: str, usage: tuple[ThreadUsage, ...], told: tuple[str, str]) -> None:
    answer = explain_without_dump(status, (1, 0), usage)
    assert (str(answer.verdict), str(answer.confidence)) == told
    assert [look.index for look in answer.vcpus] == [0, 1]
    assert answer.because
    assert bool(answer.ask_for) is (status != "prelaunch")


def test_it_names_who_used_the_cpu() -> None:
    assert explain_without_dump("running", (0, 1), (BURNS, SLEEPS)).because[0].startswith("CPU#0 used CPU time")

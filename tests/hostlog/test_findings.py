from __future__ import annotations

import pytest

from qstress.hostlog.findings import LATE_S, MOST_TRIALS, Blame, HostFindings, LiveTrials, blame_for, reports_text
from qstress.hostlog.kinds import ReportKind
from qstress.hostlog.reports import KernelReport
from qstress.model import Confidence, FindingClass, Outcome

CERTAIN, LIKELY, OPEN = Confidence.CERTAIN, Confidence.LIKELY, Confidence.INCONCLUSIVE


def report(title: str = "KCSAN: data-race in a / b", *tasks: int, at_s: float = 10.0) -> KernelReport:
    return KernelReport(ReportKind.KCSAN, title, at_s, ("====", f"BUG: {title}", "===="), tasks)


@pytest.mark.parametrize(
    ("tasks", "alive", "expected"),
    [
        ((501,), {7: 500}, Blame((7,), CERTAIN)),
        ((500,), {7: 500, 8: 600}, Blame((7,), CERTAIN)),
        ((501, 601), {7: 500, 8: 600, 9: 700}, Blame((7, 8), LIKELY)),
        ((42,), {7: 500}, Blame((7,), LIKELY)),
        ((), {7: 500, 8: 600}, Blame((7, 8), OPEN)),
        ((501,), {7: 500, 8: 500}, Blame((7, 8), CERTAIN)),  # two trials of one QEMU
        ((501,), {}, Blame((), OPEN)),
    ],
)
def test_trials_are_blamed_as_surely_as_the_report_allows(
    tasks: tuple[int, ...], alive: dict[int, int], expected: Blame
) -> None:
    assert blame_for(report("x", *tasks), alive, {501: 500, 601: 600}) == expected


def test_it_is_known_which_trials_were_alive_when() -> None:
    live_trials = LiveTrials()
    assert live_trials.at(0.0) == {}
    live_trials.begin(1, 100, 10.0)
    live_trials.begin(2, 200, 11.0)
    assert (live_trials.at(9.9), live_trials.at(10.0), live_trials.at(12.0)) == ({}, {1: 100}, {1: 100, 2: 200})
    live_trials.end(1, 12.0)
    assert live_trials.at(12.0 + LATE_S / 2) == {1: 100, 2: 200}
    assert live_trials.at(12.0 + 2 * LATE_S) == {2: 200}
    live_trials.begin(3, 100, 12.0)
    assert live_trials.at(12.5) == {2: 200, 3: 100}


def test_what_is_known_of_a_long_run_does_not_grow() -> None:
    live_trials = LiveTrials()
    for trial in range(50_000):
        live_trials.begin(trial, 100, trial * 0.1)
        live_trials.end(trial, trial * 0.1 + 0.05)
    assert len(live_trials._ended) < 1000


def test_reports_of_one_title_are_one_finding() -> None:
    findings = HostFindings()
    first = findings.add(report(at_s=1.0), Blame((1, 2), OPEN))
    assert first.count == 1
    findings.add(report("KASAN: double-free in f"), Blame((), OPEN))
    again = findings.add(report(at_s=2.0), Blame((2,), CERTAIN))
    findings.add(report(at_s=3.0), Blame((3,), LIKELY))
    assert again is first
    assert (first.count, first.first.at_s, first.blame) == (3, 1.0, Blame((1, 2, 3), CERTAIN))
    assert list(findings.by_title) == ["KCSAN: data-race in a / b", "KASAN: double-free in f"]


def test_a_finding_names_no_more_trials_than_anybody_reads() -> None:
    findings = HostFindings()
    for trial in range(5 * MOST_TRIALS):
        found = findings.add(report(), Blame((trial,), LIKELY))
    assert found.blame.trials == tuple(range(MOST_TRIALS))


def test_as_a_verdict_it_is_a_class_of_its_own_and_no_outcome_of_the_guest() -> None:
    verdict = HostFindings().add(report(), Blame((4,), CERTAIN)).verdict
    assert (verdict.outcome, verdict.finding_class) == (Outcome.UNKNOWN, FindingClass.HOST_KERNEL)
    assert verdict.signature == "host-kernel/KCSAN: data-race in a / b"
    assert verdict.title == "host kernel: KCSAN: data-race in a / b"
    assert verdict.confidence is CERTAIN
    assert "trials alive then: 4" in verdict.because[0]


def test_as_text_the_first_report_of_each_title_is_there_whole() -> None:
    findings = HostFindings()
    findings.add(report(), Blame((4, 5), LIKELY))
    findings.add(report("KASAN: double-free in f"), Blame((), OPEN))
    assert reports_text(findings.by_title.values()) == (
        "==== KCSAN: data-race in a / b (1 times; trials: 4, 5; likely) ====\n"
        "====\nBUG: KCSAN: data-race in a / b\n====\n\n"
        "==== KASAN: double-free in f (1 times; trials: none; inconclusive) ====\n"
        "====\nBUG: KASAN: double-free in f\n====\n"
    )

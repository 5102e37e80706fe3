from __future__ import annotations

import signal

import pytest

from qstress.model import FindingClass, Outcome
from qstress.verdict.crash import crash_title, ended

ASSERTION = (
    "qemu-system-x86_64: warning: host doesn't support requested feature\n"
    "qemu-system-x86_64: ../softmmu/cpus.c:{line}: cpu_throttle: Assertion `cpu->thread_id != {number}' failed.\n"
)


def test_equal_assertions_have_one_title_whatever_line_and_number() -> None:
    first, second = ASSERTION.format(line=413, number="0x7f00aa"), ASSERTION.format(line=999, number="0x55ee01")
    assert crash_title(first) == crash_title(second) == "cpus.c: cpu_throttle: Assertion `cpu->thread_id != N' failed."


@pytest.mark.parametrize("text", ["", "\n", "qemu-system-x86_64: warning: number of CPUs\n"])
def test_nothing_telling_is_no_title(text: str) -> None:
    assert crash_title(text) == ""


def test_the_last_line_is_better_than_nothing() -> None:
    assert crash_title("one\ntwo\n") == "two"


def test_signals_and_statuses_are_named() -> None:
    verdict = ended(-signal.SIGABRT, ASSERTION.format(line=1, number=1), milestone="pci")
    assert (verdict.outcome, verdict.finding_class) == (Outcome.CRASH, FindingClass.CRASH)
    assert "SIGABRT" in verdict.title
    assert "Assertion" in verdict.title
    assert "exit status 1" in ended(1, "", milestone="start").title


def test_a_kill_from_outside_says_that_it_was_not_us() -> None:
    assert "not by qstress" in ended(-signal.SIGKILL, "", milestone="pci").because[0]


def test_the_sandbox_speaking_is_no_crash() -> None:
    assert ended(-signal.SIGSYS, "", milestone="pci").outcome is Outcome.RIG

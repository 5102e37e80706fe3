"""A recording is played on a fresh guest, and its fault shows or does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.fuzz.judge import Kind
from qstress.fuzz.recording import Recording, Step
from qstress.fuzz.replay import Replays, environment
from tests.fuzz.guests import ARGUMENTS, CONNECT, QEMU, bench, hmp, qmp

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]
#: A division that no processor can do, in the monitor's own calculator: QEMU 7.2 and 10.0 end with SIGFPE.
DIVIDE = hmp("print -9223372036854775808/-1")
RECORDING = Recording(
    "crash: SIGFPE at hmp print", Kind.CRASH, QEMU, "", ARGUMENTS, (),
    (Step("planned", CONNECT), Step("qmp", (qmp("query-status", "q2"), qmp("stop", "q3"))), Step("hmp", (DIVIDE,))),
)  # fmt: skip


def test_a_recorded_crash_shows_again_and_what_changed_something_is_told() -> None:
    replays = Replays(bench())
    fault, replayed = replays.shows(RECORDING)
    assert fault is not None
    assert fault.kind is Kind.CRASH
    assert replayed.changing == {"r1", "q3"}
    assert replays.played == 1


def test_without_its_cause_it_does_not() -> None:
    fault, replayed = Replays(bench()).shows(replace(RECORDING, steps=RECORDING.steps[:2], linger_s=0.05))
    assert fault is None
    assert replayed.faults == ()


def test_a_guest_that_does_not_start_shows_nothing() -> None:
    fault, replayed = Replays(bench()).shows(replace(RECORDING, arguments=("-machine", "nonsense")))
    assert (fault, replayed.faults) == (None, ())


def test_the_environment_has_nothing_of_ours() -> None:
    assert environment((("A", "b"),)) == {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/tmp", "A": "b"}

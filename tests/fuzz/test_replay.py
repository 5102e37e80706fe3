"""A recording is played on a fresh guest, and its fault shows or does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.fuzz.judge import Kind
from qstress.fuzz.recording import Recording, Step
from qstress.fuzz.replay import Replays, environment
from tests.fuzz.guests import ARGUMENTS, CONNECT, QEMU, bench, plant, qmp

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]


def crashing(library: str) -> Recording:
    """A recording of a crash that was planted into ``query-name``."""
    steps = (
        Step("planned", CONNECT),
        Step("qmp", (qmp("query-status", "q2"), qmp("stop", "q3"))),
        Step("qmp", (qmp("query-name", "q4"),)),
    )
    env = plant(library, "crash:query-name")
    return Recording("crash: SIGSEGV at query-name", Kind.CRASH, QEMU, "", ARGUMENTS, env, steps)


def test_a_recorded_crash_shows_again_and_what_changed_something_is_told(planted: str) -> None:
    recording = crashing(planted)
    replays = Replays(bench(recording.env))
    fault, replayed = replays.shows(recording)
    assert fault is not None
    assert (fault.kind, fault.title) == (Kind.CRASH, recording.title)
    assert replayed.changing == {"r1", "q3"}
    assert replays.played == 1


def test_without_its_cause_it_does_not(planted: str) -> None:
    recording = crashing(planted)
    calm = replace(recording, steps=recording.steps[:2], linger_s=0.05)
    fault, replayed = Replays(bench(recording.env)).shows(calm)
    assert fault is None
    assert replayed.faults == ()


def test_a_guest_that_does_not_start_shows_nothing(planted: str) -> None:
    fault, replayed = Replays(bench()).shows(replace(crashing(planted), arguments=("-machine", "nonsense")))
    assert (fault, replayed.faults) == (None, ())


def test_the_environment_has_nothing_of_ours() -> None:
    assert environment((("A", "b"),)) == {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/tmp", "A": "b"}

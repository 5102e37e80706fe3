"""A recording is played on a fresh guest, and its fault shows or does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.fuzz.exchange import Exchange
from qstress.fuzz.recording import Recording
from qstress.fuzz.replay import Replays
from tests.fuzz.guests import ARGUMENTS, CONNECT, QEMU, guest_setup, plant, qmp

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]


def crashing(library: str) -> Recording:
    """A recording of a crash that was planted into ``query-name``."""
    steps = (
        Exchange("planned", CONNECT),
        Exchange("qmp", (qmp("query-status", "q2"), qmp("stop", "q3"))),
        Exchange("qmp", (qmp("query-name", "q4"),)),
    )
    env = plant(library, "crash:query-name")
    return Recording("crash: SIGSEGV at query-name", "crash", QEMU, "", ARGUMENTS, env, steps)


def test_a_recorded_crash_shows_again_and_what_changed_something_is_told(planted: str) -> None:
    recording = crashing(planted)
    replays = Replays(guest_setup(recording.env))
    replayed = replays.play(recording)
    fault = replayed.fault
    assert fault is not None
    assert (fault.kind, fault.title) == ("crash", recording.title)
    assert replayed.changing == {"r1", "q3"}


def test_without_its_cause_it_does_not(planted: str) -> None:
    recording = crashing(planted)
    calm = replace(recording, steps=recording.steps[:2], linger_s=0.05)
    replayed = Replays(guest_setup(recording.env)).play(calm)
    assert (replayed.fault, replayed.faults) == (None, ())


def test_a_guest_that_does_not_start_shows_nothing(planted: str) -> None:
    replayed = Replays(guest_setup()).try_play(replace(crashing(planted), arguments=("-machine", "nonsense")))
    assert (replayed.fault, replayed.faults) == (None, ())

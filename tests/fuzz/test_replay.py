"""A recording is played on a fresh guest, and its fault shows or does not."""

from __future__ import annotations

import re
import shutil
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


@pytest.mark.skipif(not shutil.which("gdb"), reason="no gdb here")
@pytest.mark.timeout(240)
def test_the_stacks_of_a_fault_name_the_function_that_it_was_planted_into(planted: str) -> None:
    crash = crashing(planted)
    said = Replays(guest_setup(crash.env)).stacks(crash)
    assert re.search(r"raise .*\n.* (watch_all|recvmsg|watch|misbehave) \(\)", said), said
    assert "main_loop_wait" in said
    env = plant(planted, "hold:held")
    memsave = qmp("pmemsave", "q4", '{"val": 0, "size": 16, "filename": "held"}')
    steps = (Exchange("planned", CONNECT), Exchange("qmp", (memsave,)))
    stall = Recording("no reply to pmemsave: no monitor answers in band", "stall", QEMU, "", ARGUMENTS, env, steps)
    setup = replace(guest_setup(env), reply_s=1.0)
    said = Replays(setup).stacks(stall)
    assert re.search(r"planted_stall .*\n.*fopen64 .*\n.*qmp_pmemsave", said), said
    assert "qemu-system-x86: state S, waits in " in said
    assert Replays(setup).stacks(replace(stall, kind="leak")) == ""
    assert Replays(setup).stacks(replace(stall, steps=steps[:1])) == ""


def test_a_guest_that_does_not_start_shows_nothing(planted: str) -> None:
    replayed = Replays(guest_setup()).try_play(replace(crashing(planted), arguments=("-machine", "nonsense")))
    assert (replayed.fault, replayed.faults) == (None, ())

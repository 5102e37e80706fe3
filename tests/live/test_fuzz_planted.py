"""Faults that were planted into a real QEMU are found, each within a minute, and shown again by a replay."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.fuzz.findings import Findings
from qstress.fuzz.generator import GeneratorSettings
from qstress.fuzz.recording import Recording
from qstress.fuzz.reduce import Reduced, Reducer
from qstress.fuzz.replay import Replays, ask_schema
from qstress.fuzz.session import Session, Target
from tests.fuzz.conftest import planted
from tests.fuzz.guests import ARGUMENTS, QEMU, fuzzed_guest, guest_setup, plant

__all__ = ["planted"]
pytestmark = [
    pytest.mark.qemu,
    pytest.mark.timeout(120),
    pytest.mark.skipif("TEST_PLANTED" not in os.environ, reason="up to a minute each: set TEST_PLANTED=1"),
]
#: The faults are planted here; only commands that read are sent, so that QEMU's own faults are not in the way.
COMMAND = "query-acpi-ospm-status"


@pytest.mark.parametrize(
    ("fault", "title"),
    [
        ("crash", f"crash: SIGSEGV at {COMMAND}"),
        ("stall", f"no reply to {COMMAND}: the main loop is blocked"),
        ("leak", f"{COMMAND} leaks memory"),
        ("leakfd", f"{COMMAND} leaks descriptors"),
        ("twice", f"{COMMAND}: two replies to one command"),
        ("type", f"{COMMAND}: reply breaks the schema: value is int, not array"),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, planted: str, fault: str, title: str) -> None:
    env = plant(planted, f"{fault}:{COMMAND}")
    told = replace(guest_setup(env), reply_s=3.0)
    quick = replace(told, reply_s=0.5)
    with fuzzed_guest() as guest:
        others = [name for name in ask_schema(guest).commands if not name.startswith("query-")]
    mix = dict.fromkeys(("corpus", "lifecycle", "hmp", "corrupt", "interleaved"), 0.0)
    settings = GeneratorSettings(commands=300, mix=mix, weights=dict.fromkeys(others, 0.0))

    def reduce(recording: Recording) -> Reduced:
        return Reducer(Replays(quick).try_play, budget_s=30.0).reduce(recording)

    def stop(line: str) -> None:
        made.stopping = True

    findings = Findings(tmp_path / "findings", (), "")
    subject = Target(QEMU, "", (ARGUMENTS,), env)
    made = Session(subject, settings, told, findings, tmp_path, seed=1, reduce=reduce, say=stop)
    made.run(duration_s=50.0, guests=None)
    print(f"{fault}: found after {[found.first_s for found in findings.all]} s, in {made.totals.guests} guests")
    made.stopping = False
    made.run(duration_s=0.0, guests=None)  # makes it smaller
    (found,) = findings.all
    assert found.title == title
    assert found.shown == found.tried == 5
    assert found.commands == 1 or fault.startswith("leak")

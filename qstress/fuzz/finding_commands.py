"""``qstress repro`` and ``qstress reduce`` on the folder of a fuzzing session's finding."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from qstress.config import binary as binaries
from qstress.errors import RigError
from qstress.fuzz.confine import confinement
from qstress.fuzz.findings import load_recording, write_reduced_finding
from qstress.fuzz.fuzzed_guest import GuestSetup, guest_environment
from qstress.fuzz.recording import Recording
from qstress.fuzz.reduce import Reducer
from qstress.fuzz.replay import Replays
from qstress.fuzz.script import summary_line
from qstress.report.wording import rate

NAME = "repro.jsonl"


def is_fuzz_finding(evidence: Path) -> bool:
    """Whether *evidence* is the folder, or the ``repro.jsonl``, of a fuzzing session's finding."""
    return evidence.name == NAME or (evidence / NAME).is_file()


def recording_to_play(evidence: Path, build: str | None) -> Recording:
    """Read a recording; *build* is another QEMU to play it on.

    :raises ConfigError: there is none.
    :raises RigError: its QEMU is not there.
    """
    recording = load_recording(evidence if evidence.name == NAME else evidence / NAME)
    if build is not None:
        found = binaries.find_binary(build, Path.cwd())
        return replace(recording, binary=str(found), version=binaries.qemu_version(found, dict(recording.env)))
    if not os.access(recording.binary, os.X_OK):
        raise RigError(f"{recording.binary}: this was found with it and it is gone; name one with --build",
                       reason="qemu-missing")  # fmt: skip
    return recording


def replay_finding(
    evidence: Path, trials: int, form: str, *, build: str | None, sandboxed: bool, say: Callable[[str], None]
) -> tuple[str, int]:
    """Run a finding again, *trials* times; return the result as text and the exit code: 1 when it showed, else 0.

    :param form: ``json``, or else ``text``.
    :param build: another QEMU to play it on.
    :param say: told one line for each trial.
    :raises ConfigError: there is no recording.
    :raises RigError: its QEMU is not there or cannot be started, or the host cannot confine it.
    """
    recording = recording_to_play(evidence, build)
    replays, shown = Replays(guest_setup(recording, sandboxed=sandboxed)), 0
    for number in range(trials):
        replayed = replays.play(recording)
        fault = replayed.fault
        shown += fault is not None
        others = "; ".join(other.title for other in replayed.faults)
        say(f"trial {number + 1}/{trials}: {fault.title if fault else others or 'nothing wrong'}")
    code = 1 if shown else 0
    if form == "json":
        made = {"title": recording.title, "shown": shown, "trials": trials, "exit_code": code}
        return json.dumps({**made, "binary": recording.binary, "version": recording.version}), code
    return f"{recording.title}: {rate(shown, trials)} on QEMU {recording.version}", code


def reduce_finding(evidence: Path, *, budget_s: float, build: str | None, sandboxed: bool) -> tuple[str, int]:
    """Make a finding's recording smaller, in its folder; the first one is kept as ``repro-full.jsonl``.

    :returns: the result as text, and the exit code: 0 when it still shows, 5 when no replay showed it.
    :raises ConfigError: there is no recording.
    :raises RigError: its QEMU is not there, or the host refuses to confine it or to write the result.
    """
    recording = recording_to_play(evidence, build)
    before = recording.commands
    replays = Replays(guest_setup(recording, sandboxed=sandboxed))
    small = Reducer(replays.try_play, budget_s=budget_s).reduce(recording)
    if not small.shown:
        return f"{recording.title}: 0/{small.tried}: {small.note}; left as it is", 5
    folder = evidence.parent if evidence.name == NAME else evidence
    write_reduced_finding(folder, small)
    made = small.recording
    first = f"{made.title}: {before} -> {made.commands} command(s), shown again {small.shown}/{small.tried}"
    return "\n".join(filter(None, (first, small.note, summary_line(made), f"written to {folder}"))), 0


def guest_setup(recording: Recording, *, sandboxed: bool) -> GuestSetup:
    """Return what replays of *recording* need of this host.

    :raises RigError: reason ``no-sandbox``.
    """
    options = list(pairwise(recording.arguments))
    bios = [value for option, value in options if option == "-bios" and os.path.isabs(value)]
    kvm = any(option == "-accel" and value.startswith("kvm") for option, value in options)
    confined = confinement(recording.binary, dict(recording.env), kvm=kvm, files=bios) if sandboxed else None
    return GuestSetup(confined, guest_environment(recording.env))

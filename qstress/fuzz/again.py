"""A finding of a fuzzing session, taken up later from its folder: run again, or made smaller."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qstress.config import binary as binaries
from qstress.errors import ConfigError, RigError
from qstress.fuzz.confine import confinement
from qstress.fuzz.findings import told_smaller, write_smaller
from qstress.fuzz.recording import Recording, from_bytes
from qstress.fuzz.reduce import Reducer
from qstress.fuzz.replay import Bench, Replays, environment
from qstress.fuzz.script import summary_line
from qstress.report.wording import rate

NAME = "repro.jsonl"


def is_recorded(evidence: Path) -> bool:
    """Whether *evidence* is the folder, or the ``repro.jsonl``, of a fuzzing session's finding."""
    return evidence.name == NAME or (evidence / NAME).is_file()


def read(evidence: Path, build: str | None) -> Recording:
    """Read a recording; *build* is another QEMU to play it on.

    :raises ConfigError: there is none.
    :raises RigError: its QEMU is not there.
    """
    path = evidence if evidence.name == NAME else evidence / NAME
    try:
        recording = from_bytes(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if build is not None:
        found = binaries.find_binary(build, Path.cwd())
        return replace(recording, binary=str(found), version=binaries.qemu_version(found, dict(recording.env)))
    if not os.access(recording.binary, os.X_OK):
        raise RigError(f"{recording.binary}: this was found with it and it is gone; name one with --build",
                       reason="qemu-missing")  # fmt: skip
    return recording


def repeat(
    evidence: Path, trials: int, form: str, *, build: str | None, sandboxed: bool, say: Callable[[str], None]
) -> tuple[str, int]:
    """Run a finding again, *trials* times; return the result as text and the exit code: 1 when it showed, else 0."""
    recording = read(evidence, build)
    replays, shown = Replays(bench(recording, sandboxed=sandboxed)), 0
    for number in range(trials):
        replayed = replays.play(recording)
        fault = next((fault for fault in replayed.faults if recording.shows(fault)), None)
        shown += fault is not None
        others = "; ".join(other.title for other in replayed.faults)
        say(f"trial {number + 1}/{trials}: {fault.title if fault else others or 'nothing wrong'}")
    code = 1 if shown else 0
    if form == "json":
        made = {"title": recording.title, "shown": shown, "trials": trials, "exit_code": code}
        return json.dumps({**made, "binary": recording.binary, "version": recording.version}), code
    return f"{recording.title}: {rate(shown, trials)} on QEMU {recording.version}", code


def shrink(evidence: Path, *, budget_s: float, build: str | None, sandboxed: bool) -> tuple[str, int]:
    """Make a finding's recording smaller, in its folder; the first one is kept as ``repro-full.jsonl``.

    :returns: the result as text, and the exit code: 0 when it still shows, 5 when no replay showed it.
    """
    recording = read(evidence, build)
    before = recording.commands
    small = Reducer(Replays(bench(recording, sandboxed=sandboxed)).shows, budget_s=budget_s).reduce(recording)
    if not small.shown:
        return f"{recording.title}: 0/{small.tried}: {small.note}; left as it is", 5
    folder = evidence.parent if evidence.name == NAME else evidence
    write_smaller(folder, small.recording)
    told_smaller(folder, small.recording, small.shown, small.tried, small.note)
    lines = [
        f"{small.title}: {before} -> {small.recording.commands} command(s), shown again {small.shown}/{small.tried}",
        *filter(None, (small.note, summary_line(small.recording), f"written to {folder}")),
    ]
    return "\n".join(lines), 0


def bench(recording: Recording, *, sandboxed: bool) -> Bench:
    """Return what replays of *recording* need of this host.

    :raises RigError: reason ``no-sandbox``.
    """
    words = recording.arguments
    bios = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "-bios" and os.path.isabs(words[at + 1])]
    kvm = any(word == "-accel" and words[at + 1].startswith("kvm") for at, word in enumerate(words[:-1]))
    confined = confinement(recording.binary, dict(recording.env), kvm=kvm, files=bios) if sandboxed else None
    return Bench(confined, environment(recording.env))

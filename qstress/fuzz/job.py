"""A fuzzing session from its configuration to its summary: the folder, the host, the stop rule, the exit code."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from qstress.config.fuzzing import FuzzSettings
from qstress.config.schema import Config
from qstress.config.settings import Settings, resolved_document
from qstress.errors import INTERRUPTED_EXIT, ConfigError
from qstress.firmware import firmware_of
from qstress.fuzz.confine import Confinement, confinement, may_use_kvm
from qstress.fuzz.findings import Findings
from qstress.fuzz.fuzzed_guest import GuestSetup, guest_environment
from qstress.fuzz.generator import GeneratorSettings
from qstress.fuzz.known import load_known
from qstress.fuzz.recording import Recording
from qstress.fuzz.reduce import Reduced, Reducer
from qstress.fuzz.replay import Replays
from qstress.fuzz.session import Session, Target
from qstress.guest.argv import guest_arguments
from qstress.interposer import build as interposer
from qstress.model import Accel
from qstress.store.files import replace_file, run_folder_name, store_errors

FORMAT = 1
#: While a finding is made smaller, a stall is believed after this long: it was believed once already.
REPLAY_REPLY_S = 2.0


@dataclass(frozen=True, slots=True)
class Job:
    """One session, ready to run: what is fuzzed and how, and where that is recorded."""

    settings: Settings
    fuzz: FuzzSettings
    target: Target
    confinement: Confinement | None
    folder: Path
    run: Mapping[str, Any]

    @property
    def note(self) -> str:
        """One line that says how guests run and how they are confined."""
        accel = self.settings.accel_note.partition(";")[0]
        if self.confinement is None:
            return f"{accel}; NO SANDBOX: what is fuzzed can harm this host"
        user = "as the caller" if self.confinement.uid is None else f"as user {self.confinement.uid}"
        return f"{accel}; confined by bubblewrap, {user}"


def for_confined(config: Config, *, sandboxed: bool) -> Config:
    """Return *config* with ``accel: auto`` settled for guests that are not run by us but by an unprivileged user."""
    if not sandboxed or config.guest.accel != "auto" or may_use_kvm():
        return config
    return config.model_copy(update={"guest": config.guest.model_copy(update={"accel": "tcg"})})


def prepare(
    settings: Settings, fuzz: FuzzSettings, *, host: Mapping[str, object], sandboxed: bool, resume: Path | None = None
) -> Job:
    """Make the folder of a new session, or take up that of an earlier one.

    :param host: what ``run.json`` says of this host.
    :raises ConfigError: *resume* is no session of this very configuration and QEMU.
    :raises RigError: reason ``no-sandbox``, or the folder cannot be made.
    """
    build, shape = settings.builds[0], settings.strata[0].shape
    added = {**dict(build.env), **interposer.environment(build)}
    bios = firmware_of(shape).arguments(shape, 0)
    guests = tuple(
        guest_arguments(build, replace(shape, args=(*shape.args, *extra)), firmware=bios)[1:] for extra in fuzz.guests
    )
    target = Target(build.binary, build.version, guests, tuple(added.items()))
    files = (shape.firmware,) if os.path.isabs(shape.firmware) else ()
    kvm = shape.accel is Accel.KVM
    confined = confinement(build.binary, added, kvm=kvm, files=files) if sandboxed else None
    content = {"settings": resolved_document(settings), "fuzz": {**asdict(fuzz), "known": str(fuzz.known or "")}}
    sha256 = _digest(content, build.sha256)
    if resume is not None:
        run = _read_run(resume)
        if run["sha256"] != sha256:
            raise ConfigError(f"{resume}: the configuration or QEMU has changed since; start a new session instead")
        return Job(settings, fuzz, target, confined, resume, run)
    started = datetime.now(UTC)
    folder = settings.runs_dir.absolute() / run_folder_name(settings.name, started=started, token=secrets.token_hex(3))
    run = {
        "format": FORMAT, "kind": "fuzz", "run": folder.name, "name": settings.name, "sha256": sha256,
        "started": started.isoformat(timespec="seconds"), "host": dict(host), "config": content,
        "qemu": {"binary": build.binary, "version": build.version, "sha256": build.sha256},
    }  # fmt: skip
    with store_errors(folder):
        folder.mkdir(mode=0o700, parents=True)
        replace_file(folder / "run.json", json.dumps(run, indent=1).encode() + b"\n")
    return Job(settings, fuzz, target, confined, folder, run)


def session(job: Job, say: Callable[[str], None]) -> Session:
    """Return the session of *job*, with what an earlier process of it left.

    :raises ConfigError: the file of known findings is wrong.
    :raises RigError: QEMU cannot be started.
    """
    fuzz, env = job.fuzz, guest_environment(job.target.env)
    findings = Findings(job.folder / "findings", load_known(fuzz.known) if fuzz.known else (), job.target.version)
    hammered = tuple(hammer.command for hammer in job.settings.strata[0].hammers if hammer.via == "hmp")
    mix = GeneratorSettings(fuzz.wrong, fuzz.depth, fuzz.commands, hammered, fuzz.mix, fuzz.weights)
    setup = GuestSetup(job.confinement, env, fuzz.reply_s)
    quick = replace(setup, reply_s=min(fuzz.reply_s, REPLAY_REPLY_S))

    def reduce(recording: Recording) -> Reduced:
        return Reducer(Replays(quick).try_play, budget_s=fuzz.reduce_s, over=lambda: made.stopping).reduce(recording)

    made = Session(
        job.target, mix, setup, findings, job.folder, seed=job.settings.seed, say=say,
        reduce=reduce if fuzz.reduce_s else None, stacks=Replays(setup).stacks,
    )  # fmt: skip
    return made


def run(job: Job, made: Session) -> int:
    """Run *made* to its stop rule or a signal, write ``summary.json``, return the exit code (docs/reference.md, "Exit
    codes")."""
    with _obeyed(made) as stopped_by:
        made.run(duration_s=job.settings.stop_duration_s, guests=job.settings.stop_trials)
    code = INTERRUPTED_EXIT[stopped_by[0]] if stopped_by else 1 if made.findings.unknown else 0
    summary = {
        "format": FORMAT, "kind": "fuzz", "run": job.run["run"], "name": job.run["name"], "started": job.run["started"],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"), "host": job.run["host"], "qemu": job.run["qemu"],
        "reason": "interrupted" if stopped_by else "duration", "exit_code": code, **made.document(),
    }  # fmt: skip
    with store_errors(job.folder):
        replace_file(job.folder / "summary.json", json.dumps(summary, indent=1).encode() + b"\n")
    return code


@contextmanager
def _obeyed(made: Session) -> Iterator[list[signal.Signals]]:
    """Let a first SIGINT or SIGTERM end the session after the exchange under way; a second one ends us."""
    received: list[signal.Signals] = []
    before = {number: signal.getsignal(number) for number in INTERRUPTED_EXIT}

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        made.stopping = True
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in INTERRUPTED_EXIT:
        signal.signal(number, stop)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _read_run(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not a run: {error}") from error
    if not isinstance(content, dict) or content.get("kind") != "fuzz" or content.get("format") != FORMAT:
        raise ConfigError(f"{path}: not a fuzzing session")
    return content


def _digest(content: Mapping[str, Any], binary_sha256: str) -> str:
    """Return what tells two sessions apart: everything but where they are recorded, how long they last, and words."""
    left_out = {"runs_dir", "metrics_listen", "metrics_textfile", "accel_note", "stop_trials", "stop_duration_s"}
    settings = {key: value for key, value in content["settings"].items() if key not in left_out}
    text = json.dumps([settings, content["fuzz"], binary_sha256], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

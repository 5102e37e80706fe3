"""``python -m tools.kill_workers --kind KIND``: break a fleet of three workers at random moments; see what is left.

Scheduler and workers are started by hand, as docs/fleet.md has it, each time anew. A soak with faults of which the plan
knows runs on them, something breaks at a moment drawn from the seed, and the soak is resumed where it did not go on by
itself; what must hold then says :mod:`tools.broken_soak`, and beside that: the run holds every finding of which a
worker wrote a journal, and none oftener. ``--real``: the race itself under KVM, whose verdicts nobody knows beforehand.
``--workers`` compares the verdicts of the same trials with no worker, one, two and three. Not a test: it takes minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from qstress.config.layers import JOURNALS_VARIABLE
from tools.broken_soak import (
    PATIENCE_S,
    Attempt,
    clear,
    fill,
    mounts_of_our_own,
    small_file_system,
)

QEMU = "qemu-system-x86_64"
PLANNED = "lossy: {{binary: {qemu}, inject: {{lost_ap: 0.05, accel: any}}}}\n  healthy: {{binary: {qemu}}}"
REAL = (
    "lossy: {{binary: {qemu}, kvm_smm: auto}}\n  healthy: {{binary: {qemu}, kvm_smm: auto, smm_writeback: reset-only}}"
)
CONFIG = """
version: 1
name: broken
builds:
  {builds}
guest: {{accel: {accel}, smp: 2, memory: 32M, firmware: smpscan, restart: reset, process_trials: 20}}
hammer: {hammer}
stop: {{trials: {trials}}}
lanes: 3
"""
NAMES = ("w1", "w2", "w3")
#: How long a worker is stopped, and a disk kept full; about how long it takes until the first trial is over; how long
#: workers may hold on to guests of which nobody asks any more.
STOPPED_S, FILLING_S, BOOT_S, LET_GO_S = 60.0, 10.0, 8.0, 60.0


class Detour:
    """A way to a worker that can be cut: connections to ``port`` go on to ``there``, until :meth:`cut`."""

    def __init__(self, there: int) -> None:
        self._there = there
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._closed_until_s = 0.0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, for_s: float) -> int:
        """Break all connections, and let none through for so long; return how many there were."""
        self._closed_until_s = time.monotonic() + for_s
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        return len(ends) // 2

    def close(self) -> None:
        """Let go of everything."""
        self._listening.close()
        self.cut(0.0)

    def _accept(self) -> None:
        while True:
            try:
                one = self._listening.accept()[0]
            except OSError:
                return
            if time.monotonic() < self._closed_until_s:
                one.close()
                continue
            try:
                other = socket.create_connection(("127.0.0.1", self._there))
            except OSError:
                one.close()
                continue
            self._ends += [one, other]
            for source, sink in ((one, other), (other, one)):
                threading.Thread(target=_pour, args=(source, sink), daemon=True).start()


def _pour(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@dataclass(slots=True)
class Crew:
    """A scheduler and its workers, each of which has a folder for its temporary files."""

    attempt: Attempt
    port: int = field(default_factory=_free_port)
    generation: int = 0  # how often it was begun
    scheduler: subprocess.Popen[bytes] | None = None
    nannies: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    detours: list[Detour] = field(default_factory=list)

    def begin(self, names: tuple[str, ...] = NAMES, *, detoured: bool = False, other: str = "") -> None:
        """Start the scheduler and the workers *names*.

        :param detoured: the ways to the workers can be cut.
        :param other: the worker that has another QEMU under the same path.
        """
        self.generation += 1
        asked = ("--host", "127.0.0.1", "--port", str(self.port), "--dashboard-address", "127.0.0.1:0")
        self.scheduler = self._start("scheduler", ("dask_scheduler", *asked))
        for name in names:
            self.add(name, detoured=detoured, other=name == other)
        deadline_s = time.monotonic() + PATIENCE_S
        while not all("Registered to" in self._log(name).read_text() for name in names):
            if time.monotonic() > deadline_s:
                sys.exit(f"no fleet: see {self.attempt.folder}")
            time.sleep(0.05)

    def add(self, name: str, *, detoured: bool = False, other: bool = False) -> None:
        """Start one worker."""
        listens = _free_port()
        at = ["--listen-address", f"tcp://127.0.0.1:{listens}", "--dashboard-address", "127.0.0.1:0"]
        if detoured:
            self.detours.append(detour := Detour(listens))
            at += ["--contact-address", f"tcp://127.0.0.1:{detour.port}"]
        folder = self.folder(name)
        folder.mkdir(exist_ok=True)
        asked = (f"tcp://127.0.0.1:{self.port}", "--nthreads", "1", "--name", name, "--no-dashboard", *at)
        command = ("dask_worker", *asked, "--local-directory", str(folder))
        self.nannies[name] = self._start(name, command, TMPDIR=str(folder), other=other)

    def _log(self, name: str) -> Path:
        return self.attempt.folder / f"{name}-{self.generation}.log"

    def folder(self, name: str) -> Path:
        """Where worker *name* has its temporary files."""
        return self.attempt.folder / f"{name}-tmp"

    def worker(self, name: str) -> int:
        """Return the process id of worker *name* itself, which its nanny has started.

        :raises LookupError: there is none now.
        """
        nanny = self.nannies[name].pid
        for path in Path(f"/proc/{nanny}/task").glob("*/children"):
            with suppress(OSError):
                for child in path.read_text().split():
                    if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                        return int(child)
        raise LookupError(name)

    def end(self) -> None:
        """Kill everything that is left of it."""
        for detour in self.detours:
            detour.close()
        for process in (self.scheduler, *self.nannies.values()):
            if process is not None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.scheduler, self.nannies, self.detours = None, {}, []

    def _start(
        self, name: str, command: tuple[str, ...], *, other: bool = False, **environ: str
    ) -> subprocess.Popen[bytes]:
        module, *arguments = command
        run = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
        if other:  # it alone sees it
            qemu, instead = os.path.realpath(shutil.which(QEMU) or QEMU), self.attempt.folder / "another"
            shutil.copy(qemu, instead)
            with instead.open("ab") as file:
                file.write(b"\0")
            run = ["unshare", "-m", "sh", "-c", f'mount --bind "{instead}" "{qemu}" && exec "$@"', "sh", *run]
        with self._log(name).open("ab") as log:
            return subprocess.Popen(
                run, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**self.attempt.tagged, **environ},
            )  # fmt: skip


def _kill(attempt: Attempt, crew: Crew) -> None:
    """Kill a worker, whose nanny starts it again, or its whole machine."""
    name = attempt.rng.choice(NAMES)
    if attempt.rng.random() < 0.5:
        with suppress(LookupError):
            os.kill(crew.worker(name), signal.SIGKILL)
    else:
        os.killpg(crew.nannies[name].pid, signal.SIGKILL)


def _kill_scheduler(attempt: Attempt, crew: Crew) -> None:
    assert crew.scheduler is not None
    crew.scheduler.kill()


def _stop(attempt: Attempt, crew: Crew) -> None:
    worker = crew.worker(attempt.rng.choice(NAMES))
    os.kill(worker, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    with suppress(ProcessLookupError):
        os.kill(worker, signal.SIGCONT)


def _cut(attempt: Attempt, crew: Crew) -> None:
    for _ in range(attempt.rng.randrange(1, 5)):
        attempt.rng.choice(crew.detours).cut(attempt.rng.uniform(0.0, 4.0))
        time.sleep(attempt.rng.uniform(0.0, 2.0))


def _fill_worker(attempt: Attempt, crew: Crew) -> None:
    """Leave neither a byte nor room for another file, and take for some time what a guest that ends gives back."""
    folder, until_s = crew.folder(attempt.rng.choice(NAMES)), time.monotonic() + FILLING_S
    fill(folder / "filler", 0)
    number = 0
    while time.monotonic() < until_s:
        try:
            (folder / f"filler-{number}").touch()
            number += 1
        except OSError:
            time.sleep(0.0001)


def _fill_runs(attempt: Attempt, crew: Crew) -> None:
    fill(attempt.filler, attempt.rng.randrange(0, 1 << 16))


def _kill_soak(attempt: Attempt, crew: Crew) -> None:
    assert attempt.process is not None
    attempt.process.kill()


def _nothing(attempt: Attempt, crew: Crew) -> None:
    """It was broken from the beginning."""


@dataclass(frozen=True, slots=True)
class Breakage:
    """A way to break a fleet: what is done, which exit code the soak has then, what it must say (a pattern).

    ``moments``: between which it is done, as of :meth:`Attempt.wait_for_moment`; ``goes_on``: by itself; ``detoured``,
    ``other``: as of :meth:`Crew.begin`; ``small``: which folders have a small file system of their own;
    ``rigs``: some trials cannot be run; ``times_longer``: how much longer its soak is than others.
    """

    name: str
    do: Callable[[Attempt, Crew], None]
    says: str = ""
    code: int = 1
    goes_on: bool = True
    detoured: bool = False
    other: str = ""
    small: tuple[str, ...] = ()
    moments: tuple[float, float] = (0.0, 1.0)
    rigs: bool = False
    times_longer: int = 1


KINDS = {
    kind.name: kind
    for kind in (
        Breakage("worker-killed", _kill, "worker w. has ended|its blocks are run again"),
        Breakage(
            "scheduler-killed", _kill_scheduler, "scheduler is gone; --resume|no scheduler", code=4, goes_on=False
        ),
        Breakage("worker-stopped", _stop, "has not answered for 30 s: its blocks are run again", times_longer=4),
        Breakage("connection-cut", _cut, detoured=True),
        Breakage("another-binary", _nothing, "worker w3 is not used: .*is another one", other="w3"),
        # later: until it has found its folder for temporary files, Python takes another one that has room
        Breakage(
            "worker-full",
            _fill_worker,
            "failed 3 times in a row",
            small=tuple(f"{name}-tmp" for name in NAMES),
            moments=(0.3, 0.7),
            rigs=True,
        ),
        Breakage("runs-full", _fill_runs, "No space left|disk", code=4, goes_on=False, small=("runs",)),
        Breakage("soak-killed", _kill_soak, code=-9, goes_on=False),
    )
}


@dataclass(frozen=True, slots=True)
class Rig:
    """What the soaks are: how many trials, and of the real race or of planned faults."""

    top: Path
    trials: int
    real: bool

    def attempt(self, name: str, rng: random.Random, port: int, times_longer: int = 1) -> Attempt:
        """Make an attempt in a new folder, its fleet's scheduler at *port*; 0: in one process."""
        folder, trials = self.top / name, self.trials * times_longer
        (folder / "journals").mkdir(parents=True)
        builds = (REAL if self.real else PLANNED).format(qemu=QEMU)
        hammer = "[{command: info registers -a, via: hmp, rate: max}]" if self.real else "[]"
        config = folder / "config.yaml"
        accel = "kvm" if self.real else "tcg"
        config.write_text(CONFIG.format(builds=builds, accel=accel, hammer=hammer, trials=trials))
        asked = (str(config), *(("--fleet", f"tcp://127.0.0.1:{port}") if port else ()))
        return Attempt(folder, rng, trials, asked, environ={JOURNALS_VARIABLE: str(folder / "journals")})


def written(attempt: Attempt) -> Counter[int]:
    """Return of how many findings of each trial a worker wrote the journal."""
    numbers: Counter[int] = Counter()
    for path in (attempt.folder / "journals").iterdir():
        with suppress(ValueError, IndexError):  # half written by one that was killed: then it told nobody
            verdict = json.loads(path.read_bytes().splitlines()[-1]).get("verdict", {})
            numbers[int(path.name.split("-")[0])] += verdict.get("outcome") in ("hang", "restart")
    return +numbers


def broken(kind: Breakage, attempt: Attempt, crew: Crew, *, real: bool) -> bool:
    """Start a soak on a fleet and break it; note what is wrong. Return whether the moment came before the end."""
    crew.begin(detoured=kind.detoured, other=kind.other)
    process = attempt.begin()
    try:
        if not attempt.wait_for_moment(attempt.rng.uniform(*kind.moments), BOOT_S):
            if process.returncode not in (0, 1):
                sys.exit(f"a soak that nobody broke: exit code {process.returncode}: {attempt.said()}")
            return False
        kind.do(attempt, crew)
        process.wait(PATIENCE_S)
    finally:
        process.kill()
    expected = None if real else attempt.planned()
    if kind.rigs and expected is not None:  # they are recorded as such, never counted, and not run again
        expected |= {number: "rig" for number, outcome in attempt.outcomes().items() if outcome == "rig"}
    exits = frozenset({kind.code}) if kind.code == -signal.SIGKILL or not real else frozenset({kind.code, 0})
    whole = attempt.check_end(exits, kind.says, expected, whole=kind.goes_on)
    first = attempt.fleet()
    attempt.check_left("qemu-system", LET_GO_S)
    if not whole:
        crew.end()
        crew.begin()
        attempt.resume(expected, frozenset({0, 1}) if real else frozenset({1}))
        attempt.check_left("qemu-system")
    crew.end()
    attempt.check_left()
    found, told = attempt.found(), written(attempt)
    attempt.wrong += [f"finding {number}: written {told[number]} times, {found[number]} in the run"
                      for number in found.keys() | told.keys() if not 1 <= found[number] <= told[number]]  # fmt: skip
    counts = {"findings": len(found), "again": found.total() - len(found), "never_told": (told - found).total()}
    print(json.dumps({"kind": kind.name, "trials": attempt.trials, **counts, "fleet": first}), flush=True)
    return True


def same_verdicts(rig: Rig) -> bool:
    """Run the same trials with no worker, one, two and three; return whether all end as they were planned."""
    same = True
    for workers in range(len(NAMES) + 1):
        port = _free_port() if workers else 0
        attempt = rig.attempt(f"workers-{workers}", random.Random(0), port)
        crew = Crew(attempt, port)
        if workers:
            crew.begin(NAMES[:workers])
        try:
            attempt.begin()
            alike = attempt.check_end(frozenset({1}), "", None, whole=True) and attempt.outcomes() == attempt.planned()
        finally:
            crew.end()
        attempt.check_left()
        lost = sum(outcome == "hang" for outcome in attempt.outcomes().values())
        planned = "as planned" if alike else "NOT as planned"
        print(
            f"{workers} workers: {len(attempt.outcomes())} trials, {lost} lost APs,",
            planned,
            *attempt.wrong,
            flush=True,
        )
        same = same and alike and not attempt.wrong
        clear(attempt)
    return same


def main() -> int:
    """Do what the command line asks; return 1 where anything was wrong."""
    made = argparse.ArgumentParser(prog="python -m tools.kill_workers", description=__doc__)
    made.add_argument("--kind", action="append", choices=list(KINDS), help="repeatable (default: all)")
    made.add_argument("--times", type=int, default=3, help="how often each kind (default 3)")
    made.add_argument("--trials", type=int, default=2000, help="of each soak (default 2000)")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--real", action="store_true", help="the race itself, under KVM")
    made.add_argument("--workers", action="store_true", help="compare the verdicts with no worker, one, two, three")
    asked = made.parse_args()
    mounts_of_our_own()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that nothing is left
    rig, bad = Rig(Path(tempfile.mkdtemp(prefix="qstress-kill-")), asked.trials, asked.real), 0
    if asked.workers:
        return int(not same_verdicts(rig))
    for kind in [KINDS[name] for name in asked.kind or KINDS]:
        done, wrong, seed = 0, 0, asked.seed
        while done < asked.times:
            port, rng = _free_port(), random.Random(f"{kind.name} {seed}")
            attempt = rig.attempt(f"{kind.name}-{seed}", rng, port, kind.times_longer)
            mounted = [attempt.folder / name for name in kind.small]
            for path in mounted:
                small_file_system(path)
            crew = Crew(attempt, port)
            try:
                if broken(kind, attempt, crew, real=asked.real):
                    done, wrong = done + 1, wrong + bool(attempt.wrong)
                    told = "; ".join(attempt.wrong) or f"ok, {len(attempt.kept)} kept"
                    print(f"{kind.name} {seed}: {told}", flush=True)
            finally:
                crew.end()
            clear(attempt, *mounted)
            seed += 1
        print(json.dumps({"kind": kind.name, "times": done, "wrong": wrong, "real": asked.real}), flush=True)
        bad += wrong
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

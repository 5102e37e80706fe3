"""A soak whose trials run on an emulated host, while plan, store, statistics, signals and reports stay on this machine.

So the run's folder is an ordinary one: SQLite's WAL cannot live on 9p ("disk I/O error": it maps shared memory there),
and a finding is on this machine's disk before the next trial begins inside, whatever becomes of the host.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from qstress.config.binary import qemu_version
from qstress.config.kvm import KvmFacts, probe
from qstress.config.schema import HostEntry
from qstress.config.settings import HostSettings
from qstress.emulated.command import Machine
from qstress.emulated.fetch import find
from qstress.emulated.host import EmulatedHost, HostLost, Streams, booted
from qstress.emulated.kernel import Kernel
from qstress.errors import RigError
from qstress.host.facts import host_facts
from qstress.model import Trial
from qstress.observe.hostlog import KMSG
from qstress.run.remote import RemoteTrials
from qstress.run.runner import RunProcess
from qstress.trial.context import Coordinator, TrialContext

QEMU = "qemu-system-x86_64"
#: In so many hosts, one after the other, a soak is tried before it is given up.
MOST_HOSTS = 5
_END_S = 3.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where trials run: what KVM can do there, on how many cores, what is recorded of it, how a process-run is run
    there (None: by this process), and where its kernel's log is read. ``settings`` is None on this machine,
    ``workers`` how many there are of a fleet. Of several ``hosts`` each runs the trials of the build of its name."""

    kvm: KvmFacts
    cores: int
    facts: Mapping[str, object]
    run_process: RunProcess | None = None
    kernel_log: Path = KMSG
    settings: HostSettings | None = None
    workers: int = 1
    hosts: Mapping[str, Place] = field(default_factory=dict)

    @property
    def host_settings(self) -> tuple[tuple[str, HostSettings], ...]:
        """The settings of each of several hosts, by name."""
        return tuple((name, place.settings) for name, place in self.hosts.items() if place.settings)


def this_machine() -> Place:
    """Return this machine as the place where trials run."""
    kvm = probe()
    return Place(kvm, len(os.sched_getaffinity(0)), host_facts(kvm))


@contextmanager
def place_of(entry: HostEntry | HostSettings | None, say: Callable[[str], None]) -> Iterator[Place]:
    """Return where trials run: this machine (None), or an emulated host, which is booted and ends with the block.

    :param say: told what happens, for people.
    :raises RigError: the host cannot be had; :class:`~qstress.emulated.host.HostLost`: it died before it was up, twice.
    """
    if entry is None:
        yield this_machine()
        return
    size = entry.emulated if isinstance(entry, HostEntry) else entry
    memory_bytes = size.memory_bytes if isinstance(size, HostSettings) else size.memory
    kernel, machine = find(size.kernel, say), Machine(size.cpus, memory_bytes)
    say(f"booting an emulated host: kernel {kernel.release}")
    with ExitStack() as stack:
        try:
            host, facts = _up(kernel, machine, stack)
        except HostLost as error:  # nothing is lost with it
            say(f"{error}; booting another one")
            host, facts = _up(kernel, machine, stack)
        version = qemu_version(Path(host.qemu), {})
        settings = HostSettings(size.kernel, size.cpus, memory_bytes, kernel.release, kernel.sha256, version)
        with _serving(host) as (trials, kernel_log):
            yield Place(_kvm(facts), size.cpus, facts, trials.run_process, kernel_log, settings)


@contextmanager
def places_of(
    entries: Mapping[str, HostEntry] | Mapping[str, HostSettings], say: Callable[[str], None]
) -> Iterator[Place]:
    """Return several emulated hosts as one place, where a trial runs on the host that its build is named after; they
    are booted one after the other, and all end with the block.

    :param say: told what happens, for people.
    :raises RigError: as :func:`place_of`, or their KVMs differ in what matters to every guest.
    """
    with ExitStack() as stack:
        hosts: dict[str, Place] = {}
        for name, entry in entries.items():
            hosts[name] = stack.enter_context(place_of(entry, lambda line, name=name: say(f"{name}: {line}")))  # type: ignore[misc]
        yield _together(hosts)


def _together(hosts: Mapping[str, Place]) -> Place:
    first = next(iter(hosts.values()))
    kinds = {name: (place.kvm.usable, place.kvm.kind, place.kvm.smm) for name, place in hosts.items()}
    if len(set(kinds.values())) > 1:
        told = "; ".join(f"{name}: usable {usable}, {kind}, SMM {smm}" for name, (usable, kind, smm) in kinds.items())
        raise RigError(f"hosts whose KVMs differ cannot be compared: {told}", reason="emulated-host")

    async def run_process(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
        run = hosts[trials[0].cell.build.name].run_process
        assert run is not None
        await run(trials, context, coordinator)

    kernels = ", ".join(dict.fromkeys(str(place.facts["kernel"]) for place in hosts.values()))
    facts = {**first.facts, "kernel": kernels, "hosts": {name: dict(place.facts) for name, place in hosts.items()}}
    cores = min(place.cores for place in hosts.values())
    kvm = replace(first.kvm, max_vcpus=min(place.kvm.max_vcpus for place in hosts.values()))
    return Place(kvm, cores, facts, run_process, hosts=hosts)


def _up(kernel: Kernel, machine: Machine, stack: ExitStack) -> tuple[EmulatedHost, dict[str, object]]:
    host = stack.enter_context(booted(kernel, machine, qemu=QEMU))
    return host, host.facts()


def _kvm(facts: Mapping[str, object]) -> KvmFacts:
    """Return what KVM can do in a host, from what that says of itself."""
    told: Any = facts["kvm"]
    known = {each.name for each in fields(KvmFacts)}
    return KvmFacts(**{key: value for key, value in told.items() if key in known})


@contextmanager
def _serving(host: EmulatedHost) -> Iterator[tuple[RemoteTrials, Path]]:
    """Have *host* serve trials, from a thread; yield them, and where the records of its kernel's log come out."""
    to_server, from_us = os.pipe()
    to_us, from_server = os.pipe()
    log_out, log_in = os.pipe()
    os.set_blocking(log_in, False)
    died: list[RigError] = []

    def on_kernel(record: bytes) -> None:
        with suppress(OSError):  # nobody reads fast enough: a gap in the sequence numbers tells
            os.write(log_in, record)

    def serve() -> None:
        try:
            argv = [sys.executable, "-m", "qstress.run.served"]
            status = host.execute(argv, Streams(to_server, from_server, 2))
            died.append(RigError(f"the server of trials ended with status {status}", reason="emulated-host"))
        except RigError as error:
            died.append(error)
        finally:
            os.close(from_server)  # whoever waits for it, or writes to it, learns that it is gone
            os.close(to_server)

    def why_gone() -> RigError:
        thread.join()
        return died[0]

    host.on_kernel = on_kernel
    thread = threading.Thread(target=serve, name="emulated-host", daemon=True)
    thread.start()
    try:
        yield RemoteTrials(to_us, from_us, why_gone), Path(f"/dev/fd/{log_out}")
    finally:
        os.close(from_us)  # the server ends with its input
        thread.join(_END_S)
        host.kill()
        thread.join()
        for fd in (to_us, log_out, log_in):
            os.close(fd)


def may_try_again(error: RigError | None, hosts: int) -> bool:
    """Return whether a soak that ended with *error*, in its *hosts*-th host, goes on in a new one."""
    return isinstance(error, HostLost) and hosts < MOST_HOSTS

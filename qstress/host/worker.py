"""What a fleet must know of each worker's host, and which ones cannot be used. Values in and out."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from qstress import __version__
from qstress.config.binary import sha256_of
from qstress.config.settings import Settings
from qstress.host.doctor import DoctorReport, examine_host
from qstress.model import Accel, Smm

#: Names this host in a fleet, where its own name says nothing (a container's).
HOST_VARIABLE = "QSTRESS_HOST"


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """One worker's host: ``binaries`` holds the sha256 of each QEMU by its path (empty: there is none), ``code`` that
    of qstress itself, ``clock_s`` the Unix time there."""

    host: str
    kernel: str
    cores: int
    python: str
    qstress: str
    code: str
    clock_s: float
    load: float
    binaries: dict[str, str]
    doctor: DoctorReport


def look_at_worker(binaries: Sequence[str] = ()) -> WorkerFacts:
    """Return what this host is, as a worker; never raises for what it finds. Takes a second or two."""
    report = examine_host(binaries)
    return WorkerFacts(
        host=os.environ.get(HOST_VARIABLE) or socket.gethostname(),
        kernel=platform.release(),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        qstress=__version__,
        code=code_sha256(),
        clock_s=time.time(),
        load=os.getloadavg()[0],
        binaries={path: sha256_of(Path(path)) if os.access(path, os.R_OK) else "" for path in binaries},
        doctor=report,
    )


def unfit(worker: WorkerFacts, settings: Settings) -> Iterator[str]:
    """Yield why *worker* cannot run the trials of *settings*, each with its remedy."""
    if worker.qstress != __version__ or worker.code != code_sha256():
        yield f"qstress {worker.qstress} ({worker.code[:12]}) is not this one: install the same one there"
    if worker.python.split(".")[:2] != platform.python_version().split(".")[:2]:
        yield f"Python {worker.python} is not {platform.python_version()}: use the same minor version there"
    for build in settings.builds:
        there = worker.binaries.get(build.binary, "")
        if not there:
            yield f"builds.{build.name}: {build.binary} is missing: put the same file there, under the same path"
        elif there != build.sha256:
            yield f"builds.{build.name}: {build.binary} is another one (sha256 {there[:12]}, not {build.sha256[:12]})"
    yield from _unable(worker.doctor, settings)


def _unable(report: DoctorReport, settings: Settings) -> Iterator[str]:
    for check in report.checks:
        if check.status == "fail":
            yield f"{check.name}: {check.detail}{f': {check.remedy}' if check.remedy else ''}"
    if settings.strata[0].shape.accel is not Accel.KVM:
        return
    kvm, largest = report.kvm, max(stratum.shape.smp for stratum in settings.strata)
    if not kvm.usable:
        yield f"KVM cannot be used: {kvm.reason}: mend that, or set guest.accel: tcg"
    elif 0 < kvm.max_vcpus < largest:
        yield f"its KVM runs at most {kvm.max_vcpus} vCPUs, and guest.smp has {largest}"
    elif any(build.smm is not Smm.PRETENDED and (build.smm is Smm.REAL) is not kvm.smm for build in settings.builds):
        yield f"its KVM has {'' if kvm.smm else 'no '}SMM, unlike that of the others: make it a fleet of its own"


@cache
def code_sha256() -> str:
    """Return the SHA-256, in hex, of all sources of this qstress: its version may stand for several of them."""
    digest = hashlib.sha256()
    for name, source in sorted(_sources(resources.files("qstress"), "")):
        digest.update(f"{name}\0".encode() + source.read_bytes())
    return digest.hexdigest()


def _sources(folder: Traversable, at: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{at}{entry.name}/")
        elif entry.name.endswith((".py", ".c", ".sql")):
            yield f"{at}{entry.name}", entry

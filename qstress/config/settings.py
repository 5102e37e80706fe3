"""The settings of a run: a configuration resolved on one host, its JSON form and its digest.

Saved with each run; the digest says whether two runs are the same experiment, and whether one can be resumed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, cast

from qstress.firmware.base import ApFault
from qstress.model import Build, FindingClass, Stratum

#: ``gate.baseline``: the newest run of the same configuration that passed, instead of a build of this run.
LAST_GOOD = "last-good"
#: The settings that do not make another experiment.
LEFT_OUT_OF_DIGEST = frozenset({
    "runs_dir", "record_max_bytes", "metrics_listen", "metrics_textfile", "accel_note", "workers", "fleet",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Compare:
    """Which builds are compared; *alpha* is split by the statistics, *confidence* is that of the shown intervals.
    ``classes`` None stands for all, or for what the gate asks."""

    baseline: str
    candidates: tuple[str, ...]
    alpha: float
    confidence: float
    classes: tuple[FindingClass, ...] | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """What makes the run pass. ``classes`` None stands for all, ``baseline`` is a build or :data:`LAST_GOOD`."""

    build: str
    max_hang_rate: float | None
    classes: tuple[FindingClass, ...] | None
    better_than: str | None
    baseline: str | None = None
    min_trials: int | None = None


@dataclass(frozen=True, slots=True)
class HostSettings:
    """An emulated host. ``kernel`` is as configured (auto, a version or a path), ``release`` and ``sha256`` what that
    means here; ``qemu`` is the version of the QEMU that it runs in."""

    kernel: str
    cpus: int
    memory_bytes: int
    release: str
    sha256: str
    qemu: str

    @property
    def wording(self) -> str:
        """What a person must know of numbers made there, in one clause."""
        return (
            f"on an emulated host: kernel {self.release} (sha256 {self.sha256[:12]}) run by QEMU {self.qemu}'s TCG; "
            "KVM (SVM) and SMM are real, the timing is not a machine's"
        )


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files with which a fleet's scheduler and its clients know each other: paths of PEM files."""

    ca: str
    cert: str
    key: str


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """An existing scheduler of dask's, whose workers run the trials; ``tls`` is None on this machine only."""

    scheduler: str
    tls: TlsFiles | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration resolved on this host: everything a campaign needs to know."""

    name: str
    builds: tuple[Build, ...]
    strata: tuple[Stratum, ...]
    stop_trials: int | None
    stop_duration_s: float | None
    stop_decided: bool
    compare: Compare | None
    gate: Gate | None
    lanes: int
    seed: int
    runs_dir: Path
    metrics_listen: tuple[str, int] | None
    metrics_textfile: Path | None
    accel_note: str
    record_max_bytes: int | None = None  # of evidence; None: any number
    host: HostSettings | None = None  # None: this machine
    workers: int = 1  # processes that run the trials; 1: this one; with a fleet, how many it had at first
    fleet: FleetSettings | None = None
    hosts: tuple[tuple[str, HostSettings], ...] = ()  # by name; then these are the builds: one binary on each of them

    @property
    def asked_classes(self) -> tuple[FindingClass, ...] | None:
        """The classes that the run's question is about: compare's, else the gate's; None: any finding."""
        if self.compare is not None and self.compare.classes is not None:
            return self.compare.classes
        return self.gate.classes if self.gate is not None else None


def resolved_document(settings: Settings) -> dict[str, object]:
    """Return *settings* as JSON-able values, for ``qstress config show`` and ``run.json``."""
    document = _json_value(settings)
    assert isinstance(document, dict)
    for stratum in document["strata"]:
        del stratum["host"]  # which one runs a block no plan says
    return document


def digest(settings: Settings) -> str:
    """Return the SHA-256, in hex, of what makes two runs the same experiment.

    Where a run is recorded, how much of its evidence is kept, where its metrics go and which processes run its trials
    do not count, nor does the note on the accelerator, whose wording is the host's. Lanes do: they change the rates
    (docs/architecture.md, "What is counted"), and so does an emulated host: its numbers are not mixed with those of
    another host.
    """
    kept = {key: value for key, value in resolved_document(settings).items() if key not in LEFT_OUT_OF_DIGEST}
    if isinstance(asked := kept["compare"], dict) and asked["classes"] is None:
        del asked["classes"]  # runs recorded before it could be asked are the same experiment
    for key in ("host", "hosts"):
        if not kept[key]:
            del kept[key]  # as before there were emulated ones
    for build in cast(list[Any], kept["builds"]):
        if build["fault"] == ApFault.NEVER_WOKEN:
            del build["fault"]  # as before there were others
    for shape in (stratum["shape"] for stratum in cast(list[Any], kept["strata"])):
        for key in ("linux", "pflash"):
            if not shape[key]:
                del shape[key]  # as before guests could boot a kernel, or from flash
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _json_value(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _json_value(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (tuple, list)):
        return [_json_value(item) for item in value]
    if isinstance(value, Enum):
        return value.name.lower() if isinstance(value, IntEnum) else value.value
    return str(value) if isinstance(value, Path) else value

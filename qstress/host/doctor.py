"""``qstress doctor``: can this host do the main job, and what would it find here? Values in and out, no printing."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from qstress.config.kvm import KvmFacts, probe
from qstress.config.layers import QEMU, UNDER_TEST
from qstress.host import checks
from qstress.host.checks import Check


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All checks, in the order of asking, and what KVM can do."""

    checks: tuple[Check, ...]
    kvm: KvmFacts

    @property
    def can_run(self) -> bool:
        """Whether the main job (``qstress soak`` with the shipped configurations) can run here."""
        return all(check.status != "fail" for check in self.checks)


@dataclass(frozen=True, slots=True)
class HostPaths:
    """Where the host is asked."""

    kvm: str = "/dev/kvm"
    modules: Path = Path("/sys/module")
    cpuinfo: Path = Path("/proc/cpuinfo")
    kernel_log: Path = Path("/dev/kmsg")
    loadavg: Path = Path("/proc/loadavg")
    root: Path = Path("/")


def examine_host(builds: Sequence[str] = (), *, places: HostPaths | None = None) -> DoctorReport:
    """Look at this host; never raises for what it finds. Takes about a second and starts no guest.

    :param builds: QEMU binaries beside the one under test (``QEMU_TEST_QEMU_BINARY``, else the one on PATH), as names
        or paths relative to the current folder.
    """
    places = places or HostPaths()
    kvm = probe(places.kvm, modules=places.modules, cpuinfo=places.cpuinfo)
    found = (
        *checks.emulated(),
        Check("python", "ok", platform.python_version()),
        *checks.qemus(list(dict.fromkeys((os.environ.get(UNDER_TEST) or QEMU, *builds)))),
        checks.ovmf(places.root),
        checks.setpriv(),
        checks.interposer(kvm),
        *checks.kvm(kvm),
        *checks.refusals(),
        *checks.resource_limits(),
        checks.cores(places.loadavg),
        checks.kernel_log(places.kernel_log),
    )
    return DoctorReport(found, kvm)


def doctor_json(report: DoctorReport) -> dict[str, object]:
    """Return *report* as JSON-able values: ``can_run``, ``checks`` and ``kvm``."""
    shown = [asdict(check) for check in report.checks]
    return {"can_run": report.can_run, "checks": shown, "kvm": asdict(report.kvm)}


def render_text(report: DoctorReport) -> str:
    """Return *report* for people, one line a check with its remedy below; the verdict comes last."""
    width = max(len(check.name) for check in report.checks)
    lines = []
    for check in report.checks:
        lines.append(f"{check.status:<4}  {check.name:<{width}}  {check.detail}")
        if check.remedy:
            lines.append(f"{'':<{width + 8}}-> {check.remedy}")
    if not report.can_run:
        lines.append("The main job cannot run here: see what failed above.")
    elif report.kvm.usable:
        lines.append("The main job can run here, under KVM.")
    else:
        lines.append("The main job can run here, under TCG only: the race itself cannot occur there.")
    return "\n".join(lines)

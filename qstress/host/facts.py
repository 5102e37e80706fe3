"""What a run's numbers depend on in this host, as recorded with each run."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from pathlib import Path

from qstress.config.kvm import KvmFacts, cpu_words
from qstress.observe.usage import memory_bytes

#: Where an emulated host says that it is one, and what it runs in; there is none elsewhere.
EMULATED_HOST = Path("/run/qstress-emulated.json")


def emulated_host(path: Path = EMULATED_HOST) -> dict[str, object] | None:
    """Return what this emulated host runs in: its kernel's sha256, outer QEMU and size; None where it is none."""
    try:
        about = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) else None


def host_facts(kvm: KvmFacts) -> dict[str, object]:
    """Return system, kernel, processor, cores, memory, load and what KVM can do, as JSON-able values."""
    return {
        "os": _os_name(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu": cpu_words(Path("/proc/cpuinfo"), "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory_bytes(),
        "loadavg": list(os.getloadavg()),
        "python": platform.python_version(),
        "kvm": asdict(kvm),
        **({"emulated": about} if (about := emulated_host()) else {}),
    }


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"

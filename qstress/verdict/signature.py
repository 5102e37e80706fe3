"""What tells two findings of a class apart, and nothing that differs between two equal ones (no ids, no addresses)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from qstress.model import FindingClass, Milestone, VcpuState


def state_word(vcpu: VcpuState) -> str:
    """Return a vCPU's state in one word: ``reset-vector``, ``halted`` or ``running``."""
    if vcpu.at_reset_vector:
        return "reset-vector"
    return "halted" if vcpu.halted else "running"


def finding_signature(finding: FindingClass, vcpus: Iterable[VcpuState], milestone: Milestone, *extra: str) -> str:
    """Return the signature of a finding: its class, how many vCPUs are in which state, and how far the boot came."""
    counts = Counter(state_word(vcpu) for vcpu in vcpus)
    states = ",".join(f"{word}={counts[word]}" for word in sorted(counts))
    return "/".join([finding.value, milestone.name.lower(), *([states] if states else []), *extra])

"""An explanation as text for people and as JSON for scripts (docs/reference.md, "Explanations as JSON")."""

from __future__ import annotations

from qstress.verdict.explain.picture import Explanation
from qstress.verdict.vcpu import VcpuLook


def explanation_json(explanation: Explanation) -> dict[str, object]:
    """Return *explanation* as JSON-able values. Unknown is null; an EIP that was not in the text is ``"unknown"``."""
    return {
        "verdict": str(explanation.verdict),
        "confidence": str(explanation.confidence),
        "vcpus": [_vcpu(look) for look in explanation.vcpus],
        "because": list(explanation.because),
        "ask_for": list(explanation.ask_for),
    }


def explanation_text(explanation: Explanation) -> str:
    """Return *explanation* for people: the verdict, a line a vCPU, the reasons, what to collect next."""
    lines = [f"{explanation.verdict} ({explanation.confidence})"]
    lines += [_line(look) for look in explanation.vcpus]
    lines += ["because", *(f"  - {reason}" for reason in explanation.because)]
    if explanation.ask_for:
        lines += ["to settle it, collect", *(f"  - {wish}" for wish in explanation.ask_for)]
    return "\n".join(lines)


def _vcpu(look: VcpuLook) -> dict[str, object]:
    base = None if look.cs_base is None else f"{look.cs_base:0{16 if look.long else 8}x}"
    return {
        "index": look.index,
        "role": str(look.role),
        "state": str(look.activity),
        "eip": look.eip_text or "unknown",
        "cs_base": base,
        "hlt": look.halted,
    }


def _line(look: VcpuLook) -> str:
    shown = _vcpu(look)
    base = f" CS base {shown['cs_base']}" if shown["cs_base"] is not None else ""
    halted = "" if look.halted is None else f" HLT={look.halted:d}"
    name = f"CPU#{look.index}" if look.numbered else "CPU ?"
    where = f"  {look.where}" if look.where else ""
    return f"  {name:<6} {shown['role']:<7} {shown['state']:<12} EIP={shown['eip']}{base}{halted}{where}"

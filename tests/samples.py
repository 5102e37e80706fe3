"""Small values that many tests need."""

from __future__ import annotations

from typing import Any

from qstress.model import (
    Accel,
    Build,
    Cell,
    HammerSpec,
    Observation,
    Outcome,
    Rate,
    Shape,
    Stratum,
    Trial,
    TrialResult,
    VcpuState,
    Verdict,
)

MAX = Rate(None, "max")
REGISTERS = HammerSpec("info registers -a", "hmp", MAX)


def build(name: str = "stock", binary: str = "/usr/bin/qemu-system-x86_64", **more: Any) -> Build:
    """A build; nothing of it is run by tests that do not need QEMU."""
    return Build(name, binary, "7.2.22", "0" * 64, **more)


def shape(smp: int = 4, accel: Accel = Accel.TCG, **more: Any) -> Shape:
    """A guest's shape with the defaults of the quickstart."""
    return Shape(smp, "pc", accel, 32 << 20, **{"firmware": "seabios", **more})


def stratum(
    smp: int = 4, accel: Accel = Accel.TCG, hammers: tuple[HammerSpec, ...] = (REGISTERS,), **more: Any
) -> Stratum:
    """A stratum that hammers ``info registers -a``."""
    return Stratum(shape(smp, accel, **more), hammers)


def trial(number: int = 0, **more: Any) -> Trial:
    """One trial of one build under TCG."""
    return Trial(number, number, 0, Cell(build(), stratum()), 1, **more)


def result(of: Trial, outcome: Outcome = Outcome.OK, title: str = "") -> TrialResult:
    """A result with nothing but an outcome."""
    return TrialResult(of, Verdict(outcome, title or outcome.value), float(of.number), 1.0)


def at_reset(index: int, *, halted: bool = False) -> VcpuState:
    """A vCPU at the reset vector."""
    return VcpuState(index, 0xFFF0, 0xF000, 0xFFFF0000, halted, False, False)


def running(index: int, eip: int = 0xEE2E1, *, halted: bool = False) -> VcpuState:
    """A vCPU in SeaBIOS's 32-bit code."""
    return VcpuState(index, eip, 0x8, 0, halted, False, False)


def seen(*vcpus: VcpuState, at_s: float = 1.0) -> Observation:
    """One dump."""
    return Observation(at_s, vcpus)

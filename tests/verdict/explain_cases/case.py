from __future__ import annotations

from dataclasses import dataclass

RESET, SIPI, RUNS, IDLE, HALTED, UNKNOWN = "reset-vector", "sipi-taken", "running", "idle", "halted", "unknown"


@dataclass(frozen=True, slots=True)
class Case:
    """What a text shows, and the text; ``states`` by ascending vCPU."""

    name: str
    verdict: str
    confidence: str
    states: tuple[str, ...]
    text: str

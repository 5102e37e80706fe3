"""The types of ``summary.json``, format 2 (docs/reference.md, "summary.json"), for programs that read one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict


class HostDocument(TypedDict):
    """Where guests ran."""

    kind: Literal["this", "emulated", "worker"]
    name: str
    kernel: str


class RateDocument(TypedDict):
    """A rate with its limits; None where there is no trial that counts."""

    estimate: float | None
    lower: float | None
    upper: float | None
    confidence: float


class ClassDocument(TypedDict):
    """How often a class of findings was seen, and its rate with limits of 95 %."""

    count: int
    rate: float | None
    lower: float | None
    upper: float | None


class QuantilesDocument(TypedDict):
    """Median and 99th percentile, in seconds; None without data."""

    p50: float | None
    p99: float | None


class CellDocument(TypedDict):
    """One cell: build, guest shape and hammer."""

    build: str
    smp: int
    machine: str
    accel: Literal["kvm", "tcg"]
    firmware: str
    tier: Literal["T0", "T1", "T2", "T3", "T4"]
    kvm: str | None
    nested: bool | None
    smm: Literal["real", "pretended", "none"]
    trials: int
    outcomes: Mapping[str, int]
    hammer: str
    lanes: int
    host: HostDocument
    classes: Mapping[str, ClassDocument]
    hang_rate: RateDocument
    process_runs: Mapping[str, Any]
    commands: int
    commands_per_s: float | None
    duty_cycle: float | None
    kicks: Mapping[str, Any] | None
    boot_s: QuantilesDocument
    first_hang_s: float | None
    detection_s: QuantilesDocument | None


class BugCellDocument(TypedDict):
    """How often a bug was seen in one build at one size."""

    build: str
    smp: int
    host: HostDocument
    count: int


#: One bug with its variants; ``evidence`` are folders below the run's.
BugDocument = TypedDict(
    "BugDocument",
    {
        "class": str,
        "title": str,
        "count": int,
        "cells": list[BugCellDocument],
        "signatures": list[str],
        "evidence": list[str],
        "repro": str,
    },
)

Decided = Literal["candidate-better", "candidate-worse", "no-difference-shown", "inconclusive"]


class ContrastDocument(TypedDict):
    """Two builds compared in one class, or over all that decide; more keys where trials share a process."""

    evalue_log10: float
    fisher_p: float | None
    decision: Decided
    candidate_rate_upper: float
    permutation_p: NotRequired[float | None]
    process_runs: NotRequired[Mapping[str, Any]]
    baseline_dispersion: NotRequired[float | None]
    candidate_dispersion: NotRequired[float | None]


class ComparisonDocument(ContrastDocument):
    """A candidate against the baseline."""

    baseline: str
    candidate: str
    by_class: Mapping[str, ContrastDocument]
    sentence: str
    exposures: list[Mapping[str, Any]]


#: One host against all others in one class; ``p`` is exact and two-sided, and there are as many tests as these.
HostContrastDocument = TypedDict(
    "HostContrastDocument",
    {
        "host": str,
        "kernel": str,
        "class": str,
        "found": int,
        "trials": int,
        "others_found": int,
        "others_trials": int,
        "p": float,
    },
)


class SummaryDocument(TypedDict):
    """The whole; ``comparisons`` where there are several candidates, ``hosts`` where there are several hosts."""

    format: int
    run: str
    name: str
    started: str
    finished: str | None
    reason: str
    exit_code: int
    host: Mapping[str, Any]
    cells: list[CellDocument]
    findings: list[BugDocument]
    compare: ComparisonDocument | None
    comparisons: NotRequired[list[ComparisonDocument]]
    host_log: NotRequired[Mapping[str, Any]]
    fleet: NotRequired[Mapping[str, Any]]
    hosts: NotRequired[list[HostContrastDocument]]

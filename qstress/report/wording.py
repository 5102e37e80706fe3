"""The words that every report shares: rates as ``k/n (lower-upper %)``, cells, classes, durations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from qstress.model import Cell, FindingClass
from qstress.stats.intervals import clopper_pearson, lower_limit, upper_limit


def rate(k: int, n: int, confidence: float = 0.95) -> str:
    """Return *k* of *n* with its exact interval: ``31/248 (8.6-17.3 %)``.

    No event, or nothing but events, gives a one-sided limit: ``0/251 (<1.2 %)``, ``38/38 (>92.4 %)``. No trial has no
    limits: ``0/0``. Limits are rounded outwards, so that what is printed holds.
    """
    if n == 0:
        return "0/0"
    if k == 0:
        return f"0/{n} (<{percent_up(upper_limit(0, n, 1.0 - confidence))} %)"
    if k == n:
        return f"{n}/{n} (>{percent_down(lower_limit(n, n, 1.0 - confidence))} %)"
    limits = clopper_pearson(k, n, confidence)
    return f"{k}/{n} ({percent_down(limits.lower)}-{percent_up(limits.upper)} %)"


def percent_up(share: float) -> str:
    """Return *share* in percent, rounded up: one decimal, or two significant digits under 1 %."""
    return _percent(share, math.ceil)


def percent_down(share: float) -> str:
    """Return *share* in percent, rounded down, otherwise as :func:`percent_up`."""
    return _percent(share, math.floor)


def _percent(share: float, rounded: Callable[[float], int]) -> str:
    percent = 100.0 * share
    decimals = 1 if percent >= 1.0 or percent <= 0.0 else 1 - math.floor(math.log10(percent))
    # Noise of the last binary digits must not push 50 to 50.1.
    return f"{rounded(round(percent * 10**decimals, 6)) / 10**decimals:.{decimals}f}"


def per_s(rate_hz: float) -> str:
    """Return a rate of commands for people: ``1,410``, ``62.5``."""
    return f"{rate_hz:,.0f}" if rate_hz >= 100 else f"{rate_hz:.3g}"


def evidence(log10: float) -> str:
    """Return the odds of an e-value: ``10^7.1 : 1``. Rounded down: never more than there is."""
    return f"10^{math.floor(log10 * 10.0) / 10.0:.1f} : 1"


def classes_text(classes: Iterable[FindingClass] | None) -> str:
    """Return classes in words: ``lost-init or replayed-init``; ``any finding`` for None."""
    return "any finding" if classes is None else " or ".join(classes)


def duration(seconds: float) -> str:
    """Return a duration for people: ``0.45 s``, ``12 s``, ``3 min 10 s``, ``2 h 5 min``."""
    if seconds < 9.95:
        return f"{seconds:.2g} s" if seconds < 0.995 else f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest_s} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest_s} s"


def shape_text(cell: Cell) -> str:
    """Return what tells a cell from the others of its build: ``smp 4 pc kvm, info registers -a @ max, T1``."""
    shape = cell.stratum.shape
    firmware = "" if shape.firmware == "seabios" else f" {shape.firmware}"
    return f"smp {shape.smp} {shape.machine} {shape.accel}{firmware}, {cell.stratum.hammer_label}, {cell.tier}"


def printable(text: str) -> str:
    """Return *text* on one line without control characters: titles quote QEMU, which may send escape sequences."""
    return "".join(c if c.isprintable() else " " for c in text)

"""The words that every report shares: rates as ``k/n (lower-upper %)``, cells, classes, durations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from qstress.firmware import firmware_of, tier_of
from qstress.model import Cell, FindingClass
from qstress.stats.clusters import widened
from qstress.stats.compare import Comparison, Contrast, Decision, Effect
from qstress.stats.exposure import Exposure
from qstress.stats.intervals import Interval, lower_limit, upper_limit


def rate(k: int, n: int, *, dispersion: float | None = None) -> str:
    """Return *k* of *n* with its exact interval: ``31/248 (8.6-17.3 %)``.

    No event, or nothing but events, gives a one-sided limit: ``0/251 (<1.2 %)``, ``38/38 (>92.4 %)``. No trial has no
    limits: ``0/0``. Limits are rounded outwards, so that what is printed holds.

    :param dispersion: of trials that share processes; above 1 they are worth fewer, so the limits are wider
        (:func:`qstress.stats.clusters.widened`).
    """
    limits = limits_shown(k, n, dispersion)
    if n == 0:
        return "0/0"
    if k == 0:
        return f"0/{n} (<{percent_up(limits.upper)} %)"
    if k == n:
        return f"{n}/{n} (>{percent_down(limits.lower)} %)"
    return f"{k}/{n} ({percent_down(limits.lower)}-{percent_up(limits.upper)} %)"


def limits_shown(k: int, n: int, dispersion: float | None) -> Interval:
    """Return the limits that :func:`rate` prints: one-sided for no event or nothing else."""
    if 0 < k < n or not n:
        return widened(k, n, dispersion)
    worth = max(1.0, dispersion or 1.0)
    return Interval(lower_limit(k / worth, n / worth, 0.05), upper_limit(k / worth, n / worth, 0.05))


def percent_up(share: float) -> str:
    """Return *share* in percent, rounded up: one decimal, or two significant digits under 1 %."""
    return _percent(share, math.ceil)


def percent_down(share: float) -> str:
    """Return *share* in percent, rounded down, otherwise as :func:`percent_up`."""
    return _percent(share, math.floor)


def _percent(share: float, rounded: Callable[[float], int]) -> str:
    percent = 100.0 * share
    decimals = 1 if percent >= 1.0 or percent < 1e-9 else 1 - math.floor(math.log10(percent))
    # Noise of the last binary digits must not push 50 to 50.1.
    return f"{rounded(round(percent * 10**decimals, 6)) / 10**decimals:.{decimals}f}"


def per_s(rate_hz: float) -> str:
    """Return a rate, or a mean, for people: ``1,410``, ``62.5``."""
    return f"{rate_hz:,.0f}" if rate_hz >= 100 else f"{rate_hz:.3g}"


def evidence(log10: float) -> str:
    """Return the odds of an e-value: ``10^7.1 : 1``. Rounded down: never more than there is."""
    return f"10^{math.floor(log10 * 10.0) / 10.0:.1f} : 1"


def decision_text(contrast: Contrast) -> str:
    """Return what is decided and on how much evidence: ``candidate-better, evidence 10^7.1 : 1``, or how much there is
    of what it takes: ``undecided: 10^2.5 of 10^3 needed``."""
    if contrast.decision.decided:
        return f"{contrast.decision}, evidence {evidence(contrast.reached_log10)}"
    reached, needed, toward = nearest_decision(contrast)
    return f"undecided: {power(reached)} of {power_up(needed)} needed{toward}"


def nearest_decision(contrast: Contrast) -> tuple[float, float, str]:
    """Return log10 of the evidence, and of what is needed, for the decision that is nearer, and whether it would be
    the other way round: an empty text, or `` for worse``."""
    better = contrast.reached_log10, contrast.needed_log10, ""
    worse = contrast.reached_worse_log10, contrast.needed_worse_log10, " for worse"
    return worse if worse[0] * better[1] > better[0] * worse[1] else better


def power(log10: float) -> str:
    """Return evidence as a power of ten, rounded down: ``10^2.5``."""
    return evidence(log10).removesuffix(" : 1")


def power_up(log10: float) -> str:
    """Return what evidence has to reach, rounded up: ``10^3``, ``10^3.4``."""
    return f"10^{math.ceil(round(log10 * 10.0, 6)) / 10.0:g}"


def classes_text(classes: Iterable[FindingClass] | None) -> str:
    """Return classes in words: ``lost-init or replayed-init``; ``any finding`` for None."""
    return "any finding" if classes is None else " or ".join(classes)


def effect_text(of_class: FindingClass, contrast: Contrast) -> str:
    """Return what a candidate does to a class: ``leaves replayed-init, 14/900 against 12/880``, candidate first.

    A cure needs no numbers: they stand with the verdict. What rests on too little says so.
    """
    table, effect = contrast.table, contrast.effect
    if effect is Effect.CURES:
        return f"{effect} {of_class}"
    open_ = effect is Effect.BRINGS and contrast.decision is not Decision.WORSE
    more = " (which may be chance)" if open_ else ""
    return f"{effect} {of_class}, {table.k_b}/{table.n_b} against {table.k_a}/{table.n_a}{more}"


def verdict_sentence(comparison: Comparison) -> str:
    """Return what a candidate does, class by class, in one sentence: ``patched cures lost-init; leaves replayed-init,
    14/900 against 12/880; brings nothing new``. It begins with the classes that were asked about; a new class is always
    named, whatever the decision."""
    if not (comparison.overall.table.n_a and comparison.overall.table.n_b):
        return f"{comparison.candidate} has not been compared with {comparison.baseline} yet"
    asked, by_effect = comparison.classes or (), dict[Effect, list[str]]()
    for of_class, contrast in comparison.by_class.items():
        if of_class not in asked:
            by_effect.setdefault(contrast.effect, []).append(effect_text(of_class, contrast))
    said = [effect_text(c, contrast) for c, contrast in comparison.by_class.items() if c in asked]
    said += [text for effect in Effect if effect is not Effect.ABSENT for text in by_effect.get(effect, [])]
    if not any(contrast.effect is Effect.BRINGS for contrast in comparison.by_class.values()):
        said.append(f"{Effect.BRINGS} nothing new")
    return f"{comparison.candidate} {'; '.join(said)}"


def exposure_text(comparison: Comparison, exposure: Exposure) -> str:
    """Return how much of the hammer both arms saw, for one that :attr:`~qstress.stats.exposure.Exposure.differs`."""
    measured = (
        f"{exposure.measure} {per_s(exposure.candidate)} against {per_s(exposure.baseline)} "
        f"({shape_text(exposure.cell)})"
    )
    if exposure.less:
        return f"the candidate was less exposed: {comparison.candidate} had {measured}; fewer hangs may mean just that"
    return f"the candidate was more exposed: {comparison.candidate} had {measured}"


def runs_text(contrast: Contrast) -> str:
    """Return the units of the evidence where trials share a process, else nothing: ``, in 31 of 40 process-runs
    against 0 of 40 (dispersion 3.1)``, baseline first. Both arms' indices are told where they differ."""
    if contrast.runs is None:
        return ""
    table, runs = contrast.table, contrast.runs
    arms = [
        dispersion_text(contrast.dispersion_a, table.n_a, runs.n_a, known=table.events > 0),
        dispersion_text(contrast.dispersion_b, table.n_b, runs.n_b, known=table.events > 0),
    ]
    said = " and ".join(dict.fromkeys(arms))
    return f", in {runs.k_a} of {runs.n_a} process-runs against {runs.k_b} of {runs.n_b} (dispersion {said})"


def dispersion_text(index: float | None, n: int, runs: int, *, known: bool) -> str:
    """Return an index of dispersion of *n* trials in so many *runs*: ``1.6``; ``unknown, taken as 4`` where no build
    has shown anything that could tell it (not *known*): then it is the most that it can be, the trials of a run."""
    if index is None or not runs:
        return "unknown"
    return f"{index:.2g}" if known or index < n / runs else f"unknown, taken as {index:.3g}"


def times(count: int) -> str:
    """Return how often something was seen: ``once``, ``31 times``."""
    return "once" if count == 1 else f"{count:,} times"


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
    """Return what tells a cell from the others of its build: ``smp 4 pc kvm, info registers -a @ max, T1``; and of
    several hosts ``on rack-7``."""
    shape = cell.stratum.shape
    label = " ".join(filter(None, (str(shape.accel), firmware_of(shape).label(shape))))
    on = f", on {printable(cell.stratum.host.name)}" if cell.stratum.host else ""
    return f"smp {shape.smp} {shape.machine} {label}, {cell.stratum.hammer_label}, {tier_of(cell)}{on}"


def printable(text: str) -> str:
    """Return *text* on one line without control characters: titles quote QEMU, which may send escape sequences."""
    return "".join(c if c.isprintable() else " " for c in text)

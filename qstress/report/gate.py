"""The gate: whether a run passes, why, and the exit code that says so (interface.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qstress.model import FindingClass
from qstress.report.wording import classes_text, percent_down, percent_up, rate, shape_text
from qstress.stats.cells import CellTally
from qstress.stats.compare import Comparison, Decision
from qstress.stats.intervals import lower_limit, upper_limit
from qstress.stats.tally import Tally

PASSED, FAILED, INCONCLUSIVE = 0, 1, 5


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether the gate passed (None: too few valid trials to tell), and one line for each of its rules."""

    passed: bool | None
    lines: tuple[str, ...]


def gate(
    tally: Tally,
    comparisons: Sequence[Comparison] = (),
    *,
    build: str,
    max_hang_rate: float | None = None,
    better_than: str | None = None,
    classes: tuple[FindingClass, ...] | None = None,
    confidence: float = 0.95,
) -> GateResult:
    """Judge *build* by the configuration's gate; one failed rule fails it, one open rule leaves it open.

    :param max_hang_rate: the greatest rate of *classes* that any cell may have; None for *classes* counts hangs and
        restarts. It passes when every cell's one-sided upper limit is at most that, fails when some cell's lower
        limit is above it.
    :param better_than: the baseline that one of *comparisons* must have found *build* better than. Which classes that
        is about was settled when the tally was made.
    :raises ValueError: neither rule is given.
    """
    verdicts: list[tuple[bool | None, str]] = []
    if max_hang_rate is not None:
        verdicts.append(_absolute(tally.build(build), max_hang_rate, classes, 1.0 - confidence))
    if better_than is not None:
        verdicts.append(_relative(comparisons, better_than, build))
    if not verdicts:
        raise ValueError("a gate needs max_hang_rate or better_than")
    words = {True: "passed", False: "FAILED", None: "inconclusive"}
    each = [passed for passed, _ in verdicts]
    overall = False if False in each else None if None in each else True
    return GateResult(overall, tuple(f"gate: {build}: {why}: {words[passed]}" for passed, why in verdicts))


def exit_code(tally: Tally, comparisons: Sequence[Comparison], result: GateResult | None) -> int:
    """Return 0, 1 or 5 for a run that ended by its stop rule.

    A gate rules alone. Without one, a comparison passes when it decides, whichever way, and a run of one build fails
    on any finding, counted or not; a run without a valid trial has shown nothing.
    """
    if result is not None:
        return {True: PASSED, False: FAILED, None: INCONCLUSIVE}[result.passed]
    if comparisons:
        return PASSED if all(c.overall.decision.decided for c in comparisons) else INCONCLUSIVE
    if tally.findings:
        return FAILED
    return PASSED if any(cell.n for cell in tally.cells) else INCONCLUSIVE


def _absolute(
    cells: Sequence[CellTally], limit: float, classes: tuple[FindingClass, ...] | None, alpha: float
) -> tuple[bool | None, str]:
    """Judge the worst cell: the one surest to be above the limit, else the one that might be highest."""
    what = "hang or restart" if classes is None else classes_text(classes)
    judged = []
    for cell in cells:
        k = cell.hangs if classes is None else cell.found(classes)
        judged.append((lower_limit(k, cell.n, alpha), upper_limit(k, cell.n, alpha), k, cell))
    failed = any(lower > limit for lower, *_ in judged)
    lower, upper, k, worst = max(judged, key=lambda j: j[0] if failed else j[1])
    passed = False if failed else True if upper <= limit else None
    bound = f"at least {percent_down(lower)} %" if failed else f"at most {percent_up(upper)} %"
    return passed, (
        f"{what} {rate(k, worst.n)} in its worst cell ({shape_text(worst.cell)}), "
        f"{bound} with {100 * (1 - alpha):g} % confidence; limit {100 * limit:g} %"
    )


def _relative(comparisons: Sequence[Comparison], baseline: str, build: str) -> tuple[bool | None, str]:
    found = [c for c in comparisons if (c.baseline, c.candidate) == (baseline, build)]
    if not found:
        return None, f"better than {baseline}: not compared"
    decision = found[0].overall.decision
    passed = {Decision.BETTER: True, Decision.WORSE: False}.get(decision)
    return passed, f"better than {baseline} in {classes_text(found[0].classes)}: {decision}"

"""Two builds compared, class by class: the evidence that may be looked at any time, and exact figures beside it.

"Better" is decided at alpha (E >= 1/alpha), "worse" is tested apart at alpha/2 (E >= 2/alpha); design.md, decision 10.
Fisher's p and the limits are those of one look: shown, never used to stop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from qstress.model import FindingClass
from qstress.stats.cells import CellTally
from qstress.stats.evalue import fewest_trials
from qstress.stats.exact import Table
from qstress.stats.intervals import upper_limit
from qstress.stats.strata import stratified_greater
from qstress.stats.tally import Question, Tally

#: Compared in every run, seen or not.
ALWAYS = (FindingClass.LOST_INIT, FindingClass.REPLAYED_INIT)


class Decision(StrEnum):
    """What a comparison says (``decision`` of summary.json)."""

    BETTER = "candidate-better"
    WORSE = "candidate-worse"
    NO_DIFFERENCE = "no-difference-shown"
    INCONCLUSIVE = "inconclusive"

    @property
    def decided(self) -> bool:
        """Whether it names a winner."""
        return self in (Decision.BETTER, Decision.WORSE)


@dataclass(frozen=True, slots=True)
class Contrast:
    """One question put to two builds: ``table`` is the baseline (a) against the candidate (b), summed over strata.

    ``evalue_log10`` speaks for "the candidate is better", ``worse_log10`` for "it is worse"; ``fisher_p`` is the exact
    one-sided p of the first (stratified); ``candidate_rate_upper`` a one-sided limit.
    """

    table: Table
    evalue_log10: float
    worse_log10: float
    fisher_p: float
    decision: Decision
    candidate_rate_upper: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate against its baseline: over all findings of ``classes`` (None: any), and by class."""

    baseline: str
    candidate: str
    classes: tuple[FindingClass, ...] | None
    overall: Contrast
    by_class: dict[FindingClass, Contrast]


def compare(
    tally: Tally, baseline: str, candidate: str, *, alpha: float, confidence: float = 0.95, complete: bool = False
) -> Comparison:
    """Compare two builds of *tally* over the strata they share.

    :param complete: all planned trials ran. Then ``no-difference-shown`` is said where nothing was decided though
        there were enough valid trials to decide (:func:`qstress.stats.evalue.fewest_trials` in each arm); in every
        other case an open question is ``inconclusive``.
    :param confidence: of ``candidate_rate_upper``.
    :raises KeyError: the tally was not told of this pair.
    """
    strata = [(tally.cells[s.baseline], tally.cells[s.candidate]) for s in tally.pairs[baseline, candidate]]

    def contrast(question: Question) -> Contrast:
        asked = tally.classes if question is None else (question,)
        tables = [_table(a, b, asked) for a, b in strata]
        total = Table(*map(sum, zip(*tables, strict=True))) if tables else Table(0, 0, 0, 0)
        better, worse = tally.evidence_log10(baseline, candidate, question)
        return Contrast(
            table=total,
            evalue_log10=better,
            worse_log10=worse,
            fisher_p=stratified_greater(tables),
            decision=_decide(better, worse, total, alpha, complete),
            candidate_rate_upper=upper_limit(total.k_b, total.n_b, 1.0 - confidence),
        )

    seen = {c for arms in strata for arm in arms for c, count in arm.classes.items() if count}
    by_class = {c: contrast(c) for c in FindingClass if c in seen or c in ALWAYS}
    return Comparison(baseline, candidate, tally.classes, contrast(None), by_class)


def decided(tally: Tally, baseline: str, candidate: str, alpha: float) -> bool:
    """Whether the evidence on the run's classes names a winner by now; valid after every block.

    :raises KeyError: the tally was not told of this pair.
    """
    return _winner(*tally.evidence_log10(baseline, candidate), alpha) is not None


def _winner(better: float, worse: float, alpha: float) -> Decision | None:
    if worse >= -math.log10(alpha / 2.0):
        return Decision.WORSE
    return Decision.BETTER if better >= -math.log10(alpha) else None


def _decide(better: float, worse: float, table: Table, alpha: float, complete: bool) -> Decision:
    if (winner := _winner(better, worse, alpha)) is not None:
        return winner
    enough = min(table.n_a, table.n_b) >= fewest_trials(alpha)
    return Decision.NO_DIFFERENCE if complete and enough else Decision.INCONCLUSIVE


def _table(baseline: CellTally, candidate: CellTally, classes: Sequence[FindingClass] | None) -> Table:
    return Table(baseline.found(classes), baseline.n, candidate.found(classes), candidate.n)

"""Two builds compared, class by class: the evidence that may be looked at any time, and exact figures beside it.

"Better" is decided at alpha (E >= 1/alpha), "worse" is tested apart at alpha/2 (E >= 2/alpha); docs/architecture.md,
"What is counted". What E has once reached stays decided (:class:`qstress.stats.tally.PairedBuilds`). Where several
candidates share a baseline, each question is put to all of them together and answered by Holm's procedure on their
e-values (:func:`qstress.stats.evalue.holm`), so that alpha is the chance of any wrong answer to it. Each question (a
class, or all classes the run is gated on) has its own alpha.

Rates are per trial. Where trials share a process, evidence counts process-runs (one unit each), intervals are widened
by the index of dispersion, and the p-value comes from exchanging whole arms of blocks instead of Fisher's test. Both
p-values and the limits are those of one look: shown, never used to stop.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from qstress.model import FindingClass
from qstress.stats.cells import CellTally
from qstress.stats.evalue import fewest_runs, holm
from qstress.stats.exact import Table
from qstress.stats.exposure import Exposure, ExposureMeasure, exposure_of_arms
from qstress.stats.intervals import upper_limit
from qstress.stats.permute import permutation_greater
from qstress.stats.strata import stratified_greater
from qstress.stats.tally import PairedStratum, Question, Tally

#: Compared in every run, seen or not.
ALWAYS = (FindingClass.LOST_INIT, FindingClass.REPLAYED_INIT)

Arms = tuple[CellTally, CellTally]


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


class Effect(StrEnum):
    """What a candidate does to one class, as a verb."""

    CURES = "cures"  # shown to be better, and never seen in the candidate
    LOWERS = "lowers"  # shown to be better, yet still there
    LEAVES = "leaves"  # seen in both, no difference shown
    OPEN = "leaves open"  # seen in the baseline only, too few to say that it is cured
    RAISES = "raises"  # shown to be worse, and was there before
    BRINGS = "brings"  # seen in the candidate only, whether or not that is shown to be more than chance
    ABSENT = "shows no"  # seen in neither


@dataclass(frozen=True, slots=True)
class Contrast:
    """One question put to two builds: ``table`` is the baseline (a) against the candidate (b), trials over all strata.

    ``evalue_log10`` speaks for "the candidate is better", ``worse_log10`` for "it is worse"; ``reached_log10`` is the
    most that the one behind the decision has been (the first, unless it is worse), ``reached_worse_log10`` the most
    that the second has been, and ``needed_log10`` and ``needed_worse_log10`` are what decides. ``fisher_p`` is the
    exact one-sided p of the first (stratified); ``candidate_rate_upper`` a one-sided limit.

    Where trials share a process, ``runs`` is the same table in process-runs that showed it, as the evidence counts
    them, ``permutation_p`` stands in place of ``fisher_p`` (which is None), and ``dispersion_a`` and ``dispersion_b``
    are the arms' indices of dispersion (:func:`qstress.stats.clusters.pooled_index`).
    """

    table: Table
    evalue_log10: float
    worse_log10: float
    fisher_p: float | None
    decision: Decision
    candidate_rate_upper: float
    reached_log10: float
    reached_worse_log10: float
    needed_log10: float
    needed_worse_log10: float
    runs: Table | None = None
    permutation_p: float | None = None
    dispersion_a: float | None = None
    dispersion_b: float | None = None

    @property
    def effect(self) -> Effect:
        """What the candidate does to this class; a class that only the candidate shows is never called anything else
        than brought."""
        k_a, k_b = self.table.k_a, self.table.k_b
        if not k_a:
            return Effect.BRINGS if k_b else Effect.ABSENT
        if self.decision is Decision.BETTER:
            return Effect.LOWERS if k_b else Effect.CURES
        if self.decision is Decision.WORSE:
            return Effect.RAISES
        return Effect.LEAVES if k_b else Effect.OPEN


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate against its baseline: over all findings of ``classes`` (None: any), and by class, those first.

    ``exposures`` says for each shared stratum how much of the hammer both arms saw.
    """

    baseline: str
    candidate: str
    classes: tuple[FindingClass, ...] | None
    overall: Contrast
    by_class: dict[FindingClass, Contrast]
    exposures: tuple[Exposure, ...] = ()

    @property
    def shown_worse(self) -> list[FindingClass]:
        """The classes among ``classes`` in which the candidate is shown to be worse, whatever the others do."""
        asked = self.by_class if self.classes is None else [c for c in self.by_class if c in self.classes]
        return [c for c in asked if self.by_class[c].decision is Decision.WORSE]


def compare(
    tally: Tally, baseline: str, candidate: str, *, alpha: float, confidence: float = 0.95, complete: bool = False
) -> Comparison:
    """Compare two builds of *tally* over the strata they share, within hosts, beside all other pairs of the tally.

    :param complete: all planned trials ran. Then ``no-difference-shown`` is said where nothing was decided though
        there were enough process-runs to decide (:func:`qstress.stats.evalue.fewest_runs` in each arm); in every
        other case an open question is ``inconclusive``.
    :param confidence: of ``candidate_rate_upper``.
    :raises KeyError: the tally was not told of this pair.
    """
    pair = baseline, candidate
    paired = tally.pairs[pair].strata
    strata = tally.arms(*pair)
    clustered = any(cell.clustered for arms in strata for cell in arms)

    def contrast(question: Question) -> Contrast:
        asked = tally.classes if question is None else (question,)
        tables = [_table(a, b, asked) for a, b in strata]
        total, runs = Table.total(tables), Table.total(_runs(s, question) for s in paired)
        winners = _winners(tally, question, alpha)
        winner = winners[pair]
        if winner is None:
            enough = min(runs.n_a, runs.n_b) >= fewest_runs(alpha / len(tally.pairs))
            winner = Decision.NO_DIFFERENCE if complete and enough else Decision.INCONCLUSIVE
        better, worse = tally.evidence_log10(*pair, question)
        reached = tally.reached_log10(*pair, question)
        undecided = max(1, sum(one is None for one in winners.values()))
        spread = [tally.dispersion([arms[i] for arms in strata], asked) for i in (0, 1)]
        worth = max(1.0, spread[1] or 1.0)
        return Contrast(
            table=total,
            evalue_log10=better,
            worse_log10=worse,
            fisher_p=None if clustered else stratified_greater(tables),
            decision=winner,
            candidate_rate_upper=upper_limit(total.k_b / worth, total.n_b / worth, 1.0 - confidence),
            reached_log10=reached[winner is Decision.WORSE],
            reached_worse_log10=reached[1],
            needed_log10=math.log10(undecided / alpha),
            needed_worse_log10=math.log10(2.0 * undecided / alpha),
            runs=runs if clustered else None,
            permutation_p=permutation_greater(_blocks(strata, asked)) if clustered else None,
            dispersion_a=spread[0],
            dispersion_b=spread[1],
        )

    seen = {c for arms in strata for arm in arms for c, count in arm.classes.items() if count}
    by_class = {c: contrast(c) for c in asked_first(FindingClass, tally.classes) if c in seen or c in ALWAYS}
    return Comparison(
        baseline, candidate, tally.classes, contrast(None), by_class,
        exposures=tuple(one for arms in strata for one in _exposures(*arms)),
    )  # fmt: skip


def asked_first(classes: Iterable[FindingClass], asked: Sequence[FindingClass] | None) -> list[FindingClass]:
    """Return *classes* with those that the run's question is about (*asked*; None: any) before the others."""
    return sorted(classes, key=lambda c: asked is not None and c not in asked)


def winner_so_far(tally: Tally, baseline: str, candidate: str, alpha: float) -> Decision | None:
    """Return what the evidence on the run's classes has decided by now, None for nothing yet; valid after every block.

    :raises KeyError: the tally was not told of this pair.
    """
    return _winners(tally, None, alpha)[baseline, candidate]


def _winners(tally: Tally, question: Question, alpha: float) -> dict[tuple[str, str], Decision | None]:
    """Return what is decided on *question* for each pair of *tally*, all pairs taken together."""
    reached = [tally.reached_log10(*pair, question) for pair in tally.pairs]
    better = holm([e for e, _ in reached], alpha)
    worse = holm([e for _, e in reached], alpha / 2.0)
    return {
        pair: Decision.WORSE if w else Decision.BETTER if b else None
        for pair, b, w in zip(tally.pairs, better, worse, strict=True)
    }


def _table(baseline: CellTally, candidate: CellTally, classes: Sequence[FindingClass] | None) -> Table:
    return Table(baseline.found(classes), baseline.n, candidate.found(classes), candidate.n)


def _runs(stratum: PairedStratum, question: Question) -> Table:
    process = stratum.of(question).better
    return Table(process.hung_a, process.runs_a, process.hung_b, process.runs_b)


def _blocks(strata: Sequence[Arms], classes: Sequence[FindingClass] | None) -> Iterator[Table]:
    """Yield the two arms of every block that has both."""
    for a, b in strata:
        other = dict(zip(b.by_run.blocks, zip(b.by_run.found(classes), b.by_run.trials, strict=True), strict=True))
        for block, k_a, n_a in zip(a.by_run.blocks, a.by_run.found(classes), a.by_run.trials, strict=True):
            if block in other:
                yield Table(k_a, n_a, *other[block])


def _exposures(baseline: CellTally, candidate: CellTally) -> list[Exposure]:
    """Return the measures that both arms of a stratum have."""
    measured = [
        exposure_of_arms(ExposureMeasure.DUTY, candidate.cell, baseline.duty, candidate.duty),
        exposure_of_arms(ExposureMeasure.COMMANDS, candidate.cell, baseline.commands_ok, candidate.commands_ok),
    ]
    return [one for one in measured if one is not None]

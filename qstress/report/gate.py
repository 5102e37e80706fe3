"""The gate: whether a run passes, why, and the exit code that says so (docs/reference.md, "Exit codes")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qstress.config.settings import LAST_GOOD, Compare, Gate
from qstress.model import FindingClass, Outcome
from qstress.report.wording import classes_text, decision_text, effect_text, percent_down, percent_up, rate, shape_text
from qstress.stats.cells import HANGS, CellTally, total
from qstress.stats.compare import Comparison, Decision, Effect, winner_so_far
from qstress.stats.counts import Counts, above, at_most, rate_limits
from qstress.stats.intervals import Interval
from qstress.stats.tally import Tally

PASSED, FAILED, INCONCLUSIVE = 0, 1, 5

CONFIDENCE = 0.95
ALPHA = 1.0 - CONFIDENCE

#: What a decision says of a build that must not be shown to be worse.
_NO_WORSE = {
    Decision.BETTER: Decision.BETTER.value, Decision.WORSE: Decision.WORSE.value,
    Decision.NO_DIFFERENCE: "not shown to be worse", Decision.INCONCLUSIVE: "too few trials to show it",
}  # fmt: skip

Classes = tuple[FindingClass, ...] | None
#: The cells of a build as planned, each as what its hosts counted: one where hosts are not told apart.
Planned = Sequence[Sequence[CellTally]]


@dataclass(frozen=True, slots=True)
class GateRule:
    """One rule of a gate: its key in the configuration, and what of it where there are two; what it says; whether that
    holds (None: too little to tell)."""

    name: str
    passed: bool | None
    why: str


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether the gate passed (None: too few valid trials to tell), and one line for each of its ``rules``."""

    passed: bool | None
    lines: tuple[str, ...]
    rules: tuple[GateRule, ...] = ()


@dataclass(frozen=True, slots=True)
class PastRun:
    """An earlier run that passed: its name, and what the gated build's cells counted, in planned order, all hosts
    together."""

    run: str
    cells: tuple[Counts, ...]


def gate(
    tally: Tally, comparisons: Sequence[Comparison], ruled: Gate, *, control: str | None = None,
    past: PastRun | None = None, every_look: bool = False,
) -> GateResult:  # fmt: skip
    """Judge a build by the rules of the configuration's gate; one failed rule fails it, one open rule leaves it open.

    ``max_hang_rate``: the greatest rate of its classes that any cell may have; without classes hangs and restarts
    count. It passes when every cell's upper limit is at most that, fails when some cell's lower limit is above it, at
    a level shared by all cells.
    ``better_than``: the baseline that one of *comparisons* must have found the build better than. Which classes that
    is about was settled when the tally was made. A class in which it is shown to be worse fails the gate, whatever
    the others do.
    ``baseline``: the build that one of *comparisons* must not have found it worse than, given enough trials to find
    that; or :data:`LAST_GOOD`: some cell shown to be worse than in *past* fails. Without a past run there is nothing
    to be worse than.
    ``min_trials``: with fewer valid trials in some cell of the build nothing passes.

    A cell here is one of the plan: all hosts that ran it together.

    :param control: the build whose rate has to be shown above ``max_hang_rate`` in some cell, or nothing was tested.
    :param every_look: the run may have been stopped by what it saw, so limits are confidence sequences.
    :raises ValueError: no rule is given, or *past* has other cells.
    """
    build, cells = ruled.build, tally.by_plan(ruled.build)
    asked = _Asked(tally, ruled.classes, every_look)
    rules: list[GateRule] = []
    if ruled.max_hang_rate is not None:
        rules.append(_absolute(asked, cells, ruled.max_hang_rate))
        if control is not None:
            rules.append(_control(asked, control, ruled.max_hang_rate))
    if ruled.better_than is not None:
        rules.append(_better(comparisons, ruled.better_than, build))
    if ruled.baseline == LAST_GOOD:
        rules.append(_history(asked, cells, past))
    elif ruled.baseline is not None:
        rules.append(_no_worse(comparisons, ruled.baseline, build))
    if not rules:
        raise ValueError("a gate needs max_hang_rate, better_than or baseline")
    if ruled.min_trials is not None:
        fewest = min((total(each, None).n for each in cells), default=0)
        why = f"at least {ruled.min_trials} valid trials in each cell, fewest {fewest}"
        rules.append(GateRule("min_trials", True if fewest >= ruled.min_trials else None, why))
    words = {True: "passed", False: "FAILED", None: "inconclusive"}
    each = [rule.passed for rule in rules]
    overall = False if False in each else None if None in each else True
    return GateResult(overall, tuple(f"gate: {build}: {r.why}: {words[r.passed]}" for r in rules), tuple(rules))


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


def control_of(compared: Compare | None, ruled: Gate | None, *, every_look: bool) -> str | None:
    """Return the build that must be shown above the gate's limit: the baseline, where a run ends once it decides.

    A gate in a run of a fixed length is about its build alone, and so is that of a run that compares nothing.
    """
    if not every_look or compared is None or ruled is None or ruled.max_hang_rate is None:
        return None
    return None if compared.baseline == ruled.build else compared.baseline


def answered(tally: Tally, compared: Compare | None, ruled: Gate | None) -> bool:
    """Whether a run with ``stop: {decided: true}`` may end now; cheap, and valid after every block.

    A gate with ``max_hang_rate`` asks whether its build is shown to be below that, with the baseline (if the run
    compares) shown above it; it has its answer, too, once the build is shown above it. Anything else asks which build
    of each pair is better. A run with both kinds of rule needs both answers, unless one has failed.
    """
    asks_winner = compared is not None
    if ruled is not None and (limit := ruled.max_hang_rate) is not None:
        asked = _Asked(tally, ruled.classes, every_look=True)
        cells = tally.by_plan(ruled.build)
        passed = asked.holds(cells, limit)
        if passed is False:
            return True
        control = control_of(compared, ruled, every_look=True)
        seen = control is None or asked.exceeds(tally.by_plan(control), limit)
        if not passed or not seen or any(total(each, None).n < (ruled.min_trials or 0) for each in cells):
            return False
        asks_winner = ruled.better_than is not None or ruled.baseline not in (None, LAST_GOOD)
        if not asks_winner:
            return True
    if compared is None or not asks_winner:
        return False
    return all(winner_so_far(tally, compared.baseline, c, compared.alpha) is not None for c in compared.candidates)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a gate asks of cells: the rate of ``classes`` (None: hangs and restarts), at one look or at every look."""

    tally: Tally
    classes: Classes
    every_look: bool

    @property
    def what(self) -> str:
        return "hang or restart" if self.classes is None else classes_text(self.classes)

    def limits(self, counts: Counts, alpha: float) -> Interval:
        return rate_limits(counts, alpha, every_look=self.every_look)

    def counts(self, cells: Sequence[CellTally]) -> Counts:
        """Return what counts for the rate of one cell of the plan, given what its hosts counted."""
        return total(cells, self.classes)

    def exceeds(self, cells: Planned, limit: float) -> bool:
        """Whether some cell is shown above *limit*: each at its part of :data:`ALPHA`, for any of them would do."""
        return self._above([self.counts(each) for each in cells], limit)

    def _above(self, counts: Sequence[Counts], limit: float) -> bool:
        return any(above(one, limit, ALPHA / len(counts), every_look=self.every_look) for one in counts)

    def holds(self, cells: Planned, limit: float) -> bool | None:
        """Whether every cell is at most *limit*: each at all of :data:`ALPHA`, for all of them have to; False if some
        exceeds."""
        counts = [self.counts(each) for each in cells]
        if self._above(counts, limit):
            return False
        below = all(at_most(one, limit, ALPHA, every_look=self.every_look) for one in counts)
        return True if below and counts else None

    def rate_of(self, cells: Sequence[CellTally]) -> str:
        """Return the rate of one cell of the plan in words."""
        counts = self.counts(cells)
        of_hangs = self.classes is None
        spread = self.tally.hang_dispersion(cells) if of_hangs else self.tally.dispersion(cells, self.classes)
        runs = f" in {counts.runs} process-runs" if cells[0].clustered else ""
        return f"{rate(counts.k, counts.n, dispersion=spread)}{runs}"


def past_run(summary: Mapping[str, Any], build: str, classes: Classes) -> PastRun | None:
    """Return what a ``summary.json`` of an earlier run says of *build*.

    None if that run did not pass (exit 0), or was written by a version that did not count process-runs.
    """
    cells = [cell for cell in summary["cells"] if cell["build"] == build]
    if summary["exit_code"] != PASSED or not all("process_runs" in cell for cell in cells):
        return None
    planned: dict[tuple[object, ...], list[Counts]] = {}  # without the host, which is none of the plan
    for cell in cells:
        planned.setdefault(tuple(cell[key] for key in ("smp", "machine", "hammer")), []).append(_counts(cell, classes))
    return PastRun(str(summary["run"]), tuple(Counts.total(hosts) for hosts in planned.values()))


def _counts(cell: Mapping[str, Any], classes: Classes) -> Counts:
    outcomes, runs = cell["outcomes"], cell["process_runs"]
    n = sum(count for outcome, count in outcomes.items() if Outcome(outcome).counted)
    if classes is None:
        return Counts(sum(outcomes[o] for o in HANGS), n, runs["hang_shares"], runs["count"])
    k = sum(cell["classes"][c]["count"] for c in classes if c in cell["classes"])
    return Counts(k, n, sum(runs["class_shares"].get(c, 0.0) for c in classes), runs["count"])


def _absolute(asked: _Asked, cells: Planned, limit: float) -> GateRule:
    """Judge the worst cell: the one surest to be above the limit, else the one that might be highest."""
    passed = asked.holds(cells, limit)
    alpha = ALPHA / len(cells) if passed is False else ALPHA
    edges = [(asked.limits(asked.counts(each), alpha), each) for each in cells]
    edge, worst = max(edges, key=lambda e: e[0].lower if passed is False else e[0].upper)
    bound = f"at least {percent_down(edge.lower)} %" if passed is False else f"at most {percent_up(edge.upper)} %"
    looks = " at every look" if asked.every_look else ""
    return GateRule(
        "max_hang_rate",
        passed,
        f"{asked.what} {asked.rate_of(worst)} in its worst cell ({shape_text(worst[0].cell.on(None))}), "
        f"{bound} with {100 * CONFIDENCE:g} % confidence{looks}; limit {100 * limit:g} %",
    )


def _control(asked: _Asked, build: str, limit: float) -> GateRule:
    cells = asked.tally.by_plan(build)
    edges = [(asked.limits(asked.counts(each), ALPHA / len(cells)).lower, each) for each in cells]
    lower, worst = max(edges, key=lambda e: e[0])
    return GateRule(
        "max_hang_rate, control",
        True if asked.exceeds(cells, limit) else None,
        f"these trials could have shown it: {build} {asked.rate_of(worst)} in its worst cell "
        f"({shape_text(worst[0].cell.on(None))}), at least {percent_down(lower)} %, has to be above {100 * limit:g} %",
    )


def _better(comparisons: Sequence[Comparison], baseline: str, build: str) -> GateRule:
    found = _found(comparisons, baseline, build)
    if found is None:
        return GateRule("better_than", None, f"better than {baseline}: not compared")
    decision, worse = found.overall.decision, found.shown_worse
    passed = False if worse else {Decision.BETTER: True, Decision.WORSE: False}.get(decision)
    said = decision if decision.decided else decision_text(found.overall)
    why = f"better than {baseline} in {classes_text(found.classes)}: {said}{_also(found)}"
    return GateRule("better_than", passed, why)


def _no_worse(comparisons: Sequence[Comparison], baseline: str, build: str) -> GateRule:
    found = _found(comparisons, baseline, build)
    if found is None:
        return GateRule("baseline", None, f"no worse than {baseline}: not compared")
    overall = found.overall
    failed = bool(found.shown_worse) or overall.decision is Decision.WORSE
    passed = False if failed else None if overall.decision is Decision.INCONCLUSIVE else True
    why = (
        f"no worse than {baseline} in {classes_text(found.classes)}: {_NO_WORSE[overall.decision]}{_also(found)}; "
        f"a rate up to {percent_up(overall.candidate_rate_upper)} % is possible"
    )
    return GateRule("baseline", passed, why)


def _history(asked: _Asked, cells: Planned, past: PastRun | None) -> GateRule:
    """Judge by the cell that is furthest above its past one. Worse is where the limits do not meet.

    Each has half of the cell's part of *alpha*: stricter than one test of both rates, for this is asked every night.
    """
    if past is None:
        return GateRule(
            "baseline", True, f"{LAST_GOOD}: there is no earlier run that passed, this one begins the history"
        )
    if len(past.cells) != len(cells):
        raise ValueError(f"{past.run} has {len(past.cells)} cells of this build, not {len(cells)}")
    alpha = ALPHA / (2 * len(cells))
    gaps = []
    for each, before in zip(cells, past.cells, strict=True):
        lower = asked.limits(asked.counts(each), alpha).lower
        gaps.append((lower - asked.limits(before, alpha).upper, each, before))
    gap, worst, before = max(gaps, key=lambda g: g[0])
    return GateRule(
        "baseline",
        False if gap > 0 else True if all(asked.counts(each).n for each in cells) else None,
        f"no worse than {past.run} ({LAST_GOOD}): {asked.what} {asked.rate_of(worst)} against "
        f"{before.k}/{before.n} then, in the cell that differs most ({shape_text(worst[0].cell.on(None))})",
    )


def _found(comparisons: Sequence[Comparison], baseline: str, build: str) -> Comparison | None:
    return next((c for c in comparisons if (c.baseline, c.candidate) == (baseline, build)), None)


def _also(found: Comparison) -> str:
    """Return what the candidate brings or raises, gated or not, so that a pass never hides it."""
    bad = [effect_text(c, one) for c, one in found.by_class.items() if one.effect in (Effect.RAISES, Effect.BRINGS)]
    return f"; it {', '.join(bad)}" if bad else ""

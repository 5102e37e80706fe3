"""The top of a report: the verdict as a sentence, the figures it rests on, and what must be known before using them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qstress.model import FindingClass
from qstress.report.gate import GateRule
from qstress.report.html.markup import Content, Markup, join, raised, tag
from qstress.report.html.run import Shown
from qstress.report.html.tables import TableData, table
from qstress.report.text import build_rates, exposure_notes, meaning, notes
from qstress.report.wording import (
    classes_text,
    duration,
    evidence,
    nearest_decision,
    power,
    power_up,
    rate,
    runs_text,
    verdict_sentence,
)
from qstress.stats.compare import Comparison, Contrast, Decision

#: How an exit code looks: a class of the style sheet, and a sign for those who do not see colours.
_LOOKS = {0: ("good", "✓"), 1: ("bad", "✗"), 4: ("bad", "✗")}

_DECISIONS = {
    Decision.BETTER: "better",
    Decision.WORSE: "worse",
    Decision.NO_DIFFERENCE: "undecided",
    Decision.INCONCLUSIVE: "undecided",
}


def verdict_header(run: Shown) -> Markup:
    """Return the verdict of *run*: what ended it, the sentence, the table behind it, the gate, and the caveats."""
    comparisons = run.standing.comparisons
    sentences = [f"{verdict_sentence(comparison)}." for comparison in comparisons] or [
        f"{name}: {said}." for name, said in build_rates(run.tally).items()
    ]
    look, sign = _LOOKS.get(run.facts.exit_code, ("open", "?"))
    said = meaning(run.facts.exit_code, run.standing.gate is not None, bool(comparisons))
    status = tag("p", tag("b", f"{sign} exit {run.facts.exit_code}"), f" {said}", class_=f"status {look}")
    gate = run.standing.gate
    began = run.facts.started.replace("T", " ").replace("+00:00", " UTC")
    caveats = [*notes(run.tally), *exposure_notes(comparisons), *_kernel_reports(run.host_log)]
    return tag(
        "header",
        tag("p", f"qstress report · {run.facts.name} · {began}", class_="kicker"),
        tag("ul", [_rule(rule) for rule in gate.rules], class_="gate") if gate else None,
        tag("h1", [tag("span", sentence) for sentence in sentences], class_=look),
        status,
        [tag("p", _in_words(comparison, run), class_="lede") for comparison in comparisons],
        [_table(comparison) for comparison in comparisons],
        [tag("p", caveat, class_="caveat") for caveat in caveats],
    )


def _kernel_reports(log: Mapping[str, Any]) -> list[str]:
    reports = log.get("reports", ())
    return [f"the host's kernel complained, {r['count']} times: {r['title']} ({r['confidence']})" for r in reports]


def _rule(rule: GateRule) -> Markup:
    look, sign, word = {True: ("good", "✓", "passed"), False: ("bad", "✗", "failed"), None: ("open", "?", "open")}[
        rule.passed
    ]
    return tag("li", tag("b", f"{sign} gate {word}", class_=look), f" {rule.why}")


def _in_words(comparison: Comparison, run: Shown) -> Markup:
    """Return the question that the run asked and its answer: both rates, the evidence, and after how long."""
    overall = comparison.overall
    counted = overall.table
    after = f"{'decided' if run.facts.reason == 'decided' else 'ended'} after {duration(run.duration_s)}"
    baseline = rate(counted.k_a, counted.n_a, dispersion=overall.dispersion_a)
    candidate = rate(counted.k_b, counted.n_b, dispersion=overall.dispersion_b)
    return join(
        f"{classes_text(comparison.classes)}: {comparison.baseline} {baseline} of bring-ups, {comparison.candidate} ",
        f"{candidate}{runs_text(overall)}: {_decided(overall)}",
        _evidence(overall),
        f", {after} and {run.tally.trials:,} trials.",
    )


def _decided(contrast: Contrast) -> str:
    decided = contrast.decision.decided
    return f"candidate {_DECISIONS[contrast.decision]}, evidence " if decided else "undecided: "


def _evidence(contrast: Contrast) -> Markup:
    """Return the odds of what is decided, else how much evidence there is of what it takes."""
    if contrast.decision.decided:
        return raised(evidence(contrast.reached_log10))
    reached, needed, toward = nearest_decision(contrast)
    return join(raised(power(reached)), " of ", raised(power_up(needed)), f" needed{toward}")


def _table(comparison: Comparison) -> Markup:
    rows = [_row(of_class, contrast) for of_class, contrast in comparison.by_class.items()]
    clustered = comparison.overall.runs is not None
    columns = (
        "class", f"{comparison.baseline} (baseline)", comparison.candidate, "effect", "candidate is",
        f"{'permutation' if clustered else 'Fisher'} p (information)",
    )  # fmt: skip
    caption = f"{comparison.candidate} against {comparison.baseline}, class by class"
    return table(TableData(columns, rows, frozenset({0, 3, 4})), caption)


def _row(of_class: FindingClass, contrast: Contrast) -> tuple[Content, ...]:
    table = contrast.table
    p = contrast.fisher_p if contrast.runs is None else contrast.permutation_p
    return (
        of_class,
        rate(table.k_a, table.n_a, dispersion=contrast.dispersion_a),
        rate(table.k_b, table.n_b, dispersion=contrast.dispersion_b),
        contrast.effect,
        join(_DECISIONS[contrast.decision], ", " if contrast.decision.decided else ": ", _evidence(contrast)),
        "" if p is None else f"{p:.2g}",
    )

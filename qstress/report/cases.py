"""A run as cases for machines that run tests: one for each gate rule, each comparison and each cell.

``junit`` and ``tap`` write them down. They never contradict the exit code: what the gate or the comparison leaves open
is skipped, what failed is a failure, and trouble with the host or with qstress itself is an error. A cell fails by its
findings only where neither a gate nor a comparison says what they mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from qstress.report.bugs import bugs
from qstress.report.standing import Standing
from qstress.report.summary import RunFacts, repro_line
from qstress.report.text import meaning
from qstress.report.wording import decision_text, rate, shape_text, verdict_sentence
from qstress.stats.cells import CellTally
from qstress.stats.tally import Tally


class CaseEnd(StrEnum):
    """What became of a case, in JUnit's words; ``PASSED`` has none there."""

    PASSED = ""
    FAILURE = "failure"
    ERROR = "error"
    SKIPPED = "skipped"


class Case(NamedTuple):
    """``why`` says why it did not pass, or why a rule did; ``seen`` is what was seen, in lines."""

    group: str
    name: str
    end: CaseEnd
    why: str
    seen: str


def cases(facts: RunFacts, tally: Tally, standing: Standing) -> list[Case]:
    """Return the cases of a run; their groups and names, but for a leading ``run`` where the host ended it, are those
    that the run has before its first trial."""
    judged = standing.gate is not None or bool(standing.comparisons)
    before = [*_run(facts, standing), *_rules(standing), *_comparisons(standing)]
    return before + [_cell(facts, tally, cells, judged) for cells in tally.by_plan()]


def _run(facts: RunFacts, standing: Standing) -> list[Case]:
    """Return the case of a run that the host ended."""
    if facts.exit_code != 4:
        return []
    why = meaning(4, standing.gate is not None, bool(standing.comparisons))
    return [Case("run", "the host can do it", CaseEnd.ERROR, why, "")]


def _rules(standing: Standing) -> list[Case]:
    rules = standing.gate.rules if standing.gate else ()
    ends = {True: CaseEnd.PASSED, False: CaseEnd.FAILURE, None: CaseEnd.SKIPPED}
    return [Case("gate", rule.name, ends[rule.passed], rule.why, rule.why) for rule in rules]


def _comparisons(standing: Standing) -> list[Case]:
    if standing.gate is not None:  # it says what they mean
        return []
    made = []
    for each in standing.comparisons:
        sentence = verdict_sentence(each)
        end = CaseEnd.PASSED if each.overall.decision.decided else CaseEnd.SKIPPED
        why = f"{decision_text(each.overall)}: {sentence}"
        made.append(Case("compare", f"{each.candidate} against {each.baseline}", end, why, sentence))
    return made


def _cell(facts: RunFacts, tally: Tally, cells: Sequence[CellTally], judged: bool) -> Case:
    """Return the case of a cell of the plan: what its hosts counted, together."""
    planned = cells[0].cell.on(None)
    build, name = planned.build.name, shape_text(planned)
    reasons: Counter[str] = Counter()
    for cell in cells:
        reasons.update(cell.rig_reasons)
    rigs = ", ".join(f"{count} rig ({reason})" for reason, count in reasons.items())
    found = bugs(finding for finding in tally.findings if finding.cell.on(None) == planned)
    hangs, n = sum(cell.hangs for cell in cells), sum(cell.n for cell in cells)
    lines = [f"hang or restart {rate(hangs, n, dispersion=tally.hang_dispersion(cells))}"]
    lines += [f"not counted: {rigs}"] if rigs else []
    lines += [f"{f.finding_class}: {f.title}: {repro_line(f, facts) or 'no evidence was kept'}" for f in found]
    end, why = CaseEnd.PASSED, ""
    if reasons and not n:
        end, why = CaseEnd.ERROR, f"no trial could be run: {rigs}"
    elif not n:
        end, why = CaseEnd.SKIPPED, "no valid trial"
    elif found and not judged:
        classes = ", ".join(dict.fromkeys(f.finding_class for f in found))
        end, why = CaseEnd.FAILURE, f"{sum(f.count for f in found)} findings: {classes}"
    return Case(f"cell.{build}", name, end, why, "\n".join(lines))

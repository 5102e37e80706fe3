"""``junit.xml`` for CI servers: a suite for the run, a case for each gate rule, each comparison and each cell.

It never contradicts the exit code: what the gate or the comparison leaves open is ``<skipped>``, what failed is a
``<failure>``, and trouble with the host or with qstress itself is an ``<error>``. A cell fails by its findings only
where neither a gate nor a comparison says what they mean.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple
from xml.etree import ElementTree

from qstress.model import Outcome
from qstress.report.bugs import bugs
from qstress.report.standing import Standing
from qstress.report.summary import RunFacts, repro_line
from qstress.report.text import meaning
from qstress.report.wording import decision_text, printable, rate, shape_text, verdict_sentence
from qstress.stats.cells import CellTally
from qstress.stats.tally import Tally


class Case(NamedTuple):
    """``verdict`` is "failure", "error", "skipped" or, of what passed, empty; ``why`` says why, ``seen`` is what was
    seen."""

    group: str
    name: str
    verdict: str
    why: str
    seen: str


def junit(facts: RunFacts, tally: Tally, standing: Standing, duration_s: float) -> str:
    """Return the document; *duration_s* is how long the run took."""
    judged = standing.gate is not None or bool(standing.comparisons)
    cases = [*_run(facts, standing), *_rules(standing), *_comparisons(standing)]
    cases += [_cell(facts, tally, cell, judged) for cell in tally.cells]
    ends = Counter(case.verdict for case in cases)
    counts = {"tests": str(len(cases)), "failures": str(ends["failure"]), "errors": str(ends["error"])}
    time = {"time": f"{duration_s:.3f}"}
    root = ElementTree.Element("testsuites", {"name": "qstress", **counts, **time})
    skipped = {"skipped": str(ends["skipped"])}
    head = {"name": _clean(facts.name), **counts, **skipped, **time, "timestamp": facts.started}
    suite = ElementTree.SubElement(root, "testsuite", head)
    properties = ElementTree.SubElement(suite, "properties")
    for key in ("run", "reason", "exit_code", "lanes"):
        ElementTree.SubElement(properties, "property", {"name": key, "value": _clean(str(getattr(facts, key)))})
    for group, name, verdict, why, seen in cases:
        classname = _clean(f"{facts.name}.{group}")
        case = ElementTree.SubElement(suite, "testcase", {"classname": classname, "name": _clean(name), "time": "0"})
        if verdict:
            said = {"message": _clean(why)} | ({} if verdict == "skipped" else {"type": group})
            ElementTree.SubElement(case, verdict, said)
        if seen:
            ElementTree.SubElement(case, "system-out").text = "\n".join(map(_clean, seen.splitlines()))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _run(facts: RunFacts, standing: Standing) -> list[Case]:
    """Return the case of a run that the host ended."""
    if facts.exit_code != 4:
        return []
    why = meaning(4, standing.gate is not None, bool(standing.comparisons))
    return [Case("run", "the host can do it", "error", why, "")]


def _rules(standing: Standing) -> list[Case]:
    rules = standing.gate.rules if standing.gate else ()
    verdicts = {True: "", False: "failure", None: "skipped"}
    return [Case("gate", rule.name, verdicts[rule.passed], rule.why, rule.why) for rule in rules]


def _comparisons(standing: Standing) -> list[Case]:
    if standing.gate is not None:  # it says what they mean
        return []
    cases = []
    for each in standing.comparisons:
        sentence, verdict = verdict_sentence(each), "" if each.overall.decision.decided else "skipped"
        why = f"{decision_text(each.overall)}: {sentence}"
        cases.append(Case("compare", f"{each.candidate} against {each.baseline}", verdict, why, sentence))
    return cases


def _cell(facts: RunFacts, tally: Tally, cell: CellTally, judged: bool) -> Case:
    build, name = cell.cell.build.name, shape_text(cell.cell)
    rigs = ", ".join(f"{count} rig ({reason})" for reason, count in cell.rig_reasons.items())
    found = bugs(finding for finding in tally.findings if finding.cell == cell.cell)
    lines = [f"hang or restart {rate(cell.hangs, cell.n, dispersion=tally.hang_dispersion([cell]))}"]
    lines += [f"not counted: {rigs}"] if rigs else []
    lines += [f"{f.finding_class}: {f.title}: {repro_line(f, facts) or 'no evidence was kept'}" for f in found]
    verdict, why = "", ""
    if cell.outcomes[Outcome.RIG] and not cell.n:
        verdict, why = "error", f"no trial could be run: {rigs}"
    elif not cell.n:
        verdict, why = "skipped", "no valid trial"
    elif found and not judged:
        classes = ", ".join(dict.fromkeys(f.finding_class for f in found))
        verdict, why = "failure", f"{sum(f.count for f in found)} findings: {classes}"
    return Case(f"cell.{build}", name, verdict, why, "\n".join(lines))


def _clean(text: str) -> str:
    """XML 1.0 has no control characters, not even as references, and no lone surrogates."""
    return printable(text).encode(errors="replace").decode()

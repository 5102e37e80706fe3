"""What GitHub Actions shows of a run: a few ``::error`` lines at the commit, a table on the job's summary page.

Source: GitHub, "Workflow commands for GitHub Actions": at most 10 error annotations are shown for a step.
"""

from __future__ import annotations

from qstress.report.bugs import Bug, bugs
from qstress.report.standing import Standing
from qstress.report.summary import RunFacts, repro_line
from qstress.report.text import meaning, notes
from qstress.report.wording import decision_text, printable, rate, shape_text, times, verdict_sentence
from qstress.stats.compare import ALWAYS, asked_first
from qstress.stats.tally import Tally

ERRORS_MAX = 8
#: More cells than this make no table that anybody reads.
CELLS_MAX = 50


def error_lines(facts: RunFacts, tally: Tally, standing: Standing) -> list[str]:
    """Return at most ``ERRORS_MAX`` lines ``::error …``; none for a run that passed.

    First the gate's rules that failed, then the bugs of what was gated, the most frequent first.
    """
    if facts.exit_code == 0:
        return []
    compared, gate = bool(standing.comparisons), standing.gate
    failed = [rule for rule in (gate.rules if gate else ()) if rule.passed is not True]
    lines = [error_line(f"gate {rule.name}", rule.why) for rule in failed]
    if not lines:
        lines.append(error_line(facts.name, meaning(facts.exit_code, gate is not None, compared)))
    baselines = {comparison.baseline for comparison in standing.comparisons}
    lines += [_bug(bug, facts) for bug in bugs(f for f in tally.findings if f.cell.build.name not in baselines)]
    return lines[:ERRORS_MAX]


def step_summary(facts: RunFacts, tally: Tally, standing: Standing) -> str:
    """Return the run as Markdown: the verdict, a table of its cells, its findings."""
    said = meaning(facts.exit_code, standing.gate is not None, bool(standing.comparisons))
    lines = [f"### qstress {_escaped(facts.name)}: {said}", ""]
    if standing.gate:
        lines += [*(f"- {_escaped(line)}" for line in standing.gate.lines), ""]
    for comparison in standing.comparisons:
        lines += [f"**{_escaped(verdict_sentence(comparison))}** ({decision_text(comparison.overall)})", ""]
    lines += [f"- {_escaped(note)}" for note in notes(tally)]
    classes = [c for c in asked_first(ALWAYS, tally.classes) if any(cell.classes[c] for cell in tally.cells)]
    lines += ["", f"| build | cell | hung or restarted |{''.join(f' {c} |' for c in classes)} not counted |"]
    lines.append(f"|---|---|{'---:|' * (len(classes) + 2)}")
    for cell in tally.cells[:CELLS_MAX]:
        columns = [_escaped(cell.cell.build.name), _escaped(shape_text(cell.cell)), rate(cell.hangs, cell.n)]
        columns += [rate(cell.classes[c], cell.n) for c in classes]
        lines.append(f"| {' | '.join([*columns, str(cell.trials - cell.n)])} |")
    if len(tally.cells) > CELLS_MAX:
        lines += ["", f"and {len(tally.cells) - CELLS_MAX} more cells"]
    shown = [bug for bug in bugs(tally.findings) if bug.evidence]
    if shown:
        lines += ["", "```", *(printable(repro_line(bug, facts)) for bug in shown[:ERRORS_MAX]), "```"]
    return "\n".join(lines) + "\n"


def _bug(bug: Bug, facts: RunFacts) -> str:
    cells = ", ".join(f"{build} smp {smp}" for build, smp in bug.sizes)
    line = repro_line(bug, facts)
    words = f"{cells}, seen {times(bug.count)}: {bug.title}"
    return error_line(bug.finding_class, f"{words}: {line}" if line else words)


def error_line(title: str, message: str) -> str:
    """Return one annotation; ``%`` and, in a property, ``:`` and ``,`` are escaped as the runner undoes it."""
    escaped_title = _percent(title).replace(":", "%3A").replace(",", "%2C")
    return f"::error title={escaped_title}::{_percent(message)}"


def _percent(text: str) -> str:
    return printable(text).replace("%", "%25")


def _escaped(text: str) -> str:
    """Return *text* as Markdown that shows it as it is, also within a table."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|~" else c for c in printable(text))

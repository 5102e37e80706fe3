"""The text summary: the verdict first, what it does not say, the cells, the findings, the exit code last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from qstress.hostlog.lines import is_loud, kernel_log_lines
from qstress.model import Accel, Build, FindingClass, Outcome, Smm
from qstress.report.bugs import Bug, bugs
from qstress.report.gate import GateResult
from qstress.report.hosts import host_lines
from qstress.report.summary import RunFacts, repro_line
from qstress.report.wording import (
    classes_text,
    decision_text,
    dispersion_text,
    duration,
    exposure_text,
    per_s,
    printable,
    rate,
    runs_text,
    shape_text,
    times,
    verdict_sentence,
)
from qstress.stats.cells import CellTally
from qstress.stats.compare import ALWAYS, Comparison, Contrast, Decision, asked_first
from qstress.stats.tally import Tally

#: More bugs than this are counted, not listed; summary.json has them all.
BUGS_SHOWN = 20

NO_RACE = "the race itself cannot occur under TCG"


def run_text(
    facts: RunFacts, tally: Tally, comparisons: Sequence[Comparison] = (), gate_result: GateResult | None = None,
    *, host_log: Mapping[str, Any] = MappingProxyType({}), colour: bool = False,
) -> str:  # fmt: skip
    """Return the summary as lines of plain text, newline at the end.

    The gate is told first, then the question that was asked, then everything else.

    :param colour: colour the gate, the verdicts and the end as ANSI terminals do.
    :param host_log: ``host_log`` of ``summary.json``; empty where nobody knows of the host kernel's log.
    """
    painted = _painter(colour)
    end = f"exit {facts.exit_code}: {meaning(facts.exit_code, gate_result is not None, bool(comparisons))}"
    heard = kernel_log_lines(host_log) if host_log else []
    loud = bool(host_log) and is_loud(host_log)
    gated = zip(gate_result.lines, gate_result.rules, strict=True) if gate_result else ()
    verdicts = [painted(line, rule.passed) for line, rule in gated] + _verdicts(tally, comparisons, painted)
    last = painted(end, {0: True, 1: False, 4: False}.get(facts.exit_code))
    if _under_tcg(tally):
        verdicts[0], last = f"{verdicts[0]} ({NO_RACE})", f"{last} ({NO_RACE})"
    sections = [
        heard if loud else [],
        verdicts,
        [f"note: {line}" for line in (*notes(tally), *exposure_notes(comparisons))],
        [f"run {facts.run}: {tally.trials} trials, ended by: {facts.reason}"],
        [*fleet_lines(facts.fleet), *host_lines(tally)],
        [f"cell: {_cell(tally, cell)}" for cell in tally.cells],
        _not_counted(tally.cells),
        _findings(bugs(tally.findings), facts),
        [] if loud else heard,
        [last],
    ]
    return "".join(f"{line}\n" for lines in sections for line in lines)


def fleet_lines(fleet: Mapping[str, Any]) -> list[str]:
    """Return how the workers of a run did, if it had any: in one line, and one more for each that failed."""
    workers = fleet.get("workers", [])
    if not workers:
        return []
    lines = [f"workers: {len(workers)}, {sum(worker['blocks'] for worker in workers)} blocks"]
    for worker in workers:
        lost = [f"lost {times(worker['lost'])}, its blocks were run again"] if worker["lost"] else []
        refused = [f"not used: {worker['refused']}"] if worker["refused"] else []
        if lost or refused:
            lines.append(printable(f"worker {worker['name']}: {'; '.join(lost + refused)}"))
    return lines


def _painter(colour: bool) -> Callable[[str, bool | None], str]:
    """Return what colours a line green for True, red for False and yellow for None, or leaves it as it is."""
    codes = {True: 32, False: 31, None: 33}
    return lambda line, passed: f"\x1b[{codes[passed]}m{line}\x1b[0m" if colour else line


def meaning(exit_code: int, gated: bool, compared: bool) -> str:
    """Return what an exit code says of this run."""
    passed = "the gate passed" if gated else "the comparison decided" if compared else "no finding"
    failed = "the gate failed" if gated else "there are findings"
    return {
        0: passed,
        1: failed,
        3: "an internal error of qstress",
        4: "the environment cannot do it; what was found is saved",
        5: "inconclusive: too few valid trials to decide",
        130: "stopped by SIGINT; what was found is saved",
        143: "stopped by SIGTERM; what was found is saved",
    }.get(exit_code, "see the log")


def notes(tally: Tally) -> list[str]:
    """Return what a reader must know of the arms before trusting a number: pretended, imitated, injected, TCG."""
    builds = list(dict.fromkeys(cell.cell.build for cell in tally.cells))
    lines = []
    if pretended := [build.name for build in builds if build.smm is Smm.PRETENDED]:
        lines.append(
            f"SMM was pretended: QEMU was told that KVM has SMM ({', '.join(pretended)}); "
            "what it writes back is its own code's choice"
        )
    if imitated := [build.name for build in builds if build.fix_imitated]:
        lines.append(
            f"fix imitated, no patched QEMU: in {', '.join(imitated)} "
            "the interposer keeps SMM state out of run-time writes"
        )
    lines += [
        f"injected fault: one AP is lost in {100 * build.lost_ap_share:g} % of {build.name}'s trials"
        for build in builds
        if build.lost_ap_share
    ]
    lines += [_held_text(build) for build in builds if build.held]
    if _under_tcg(tally):
        lines.append(NO_RACE + _injected_text(tally))
    return lines


def exposure_notes(comparisons: Sequence[Comparison]) -> list[str]:
    """Return where the arms of a comparison were not under the same fire."""
    return [exposure_text(c, exposure) for c in comparisons for exposure in c.exposures if exposure.differs]


def _held_text(build: Build) -> str:
    kept = [(build.hold_write_s, "written back"), (build.hold_read_s, "read")]
    each = " and ".join(f"{seconds * 1e3:g} ms before their state was {what}" for seconds, what in kept if seconds)
    return f"held (tier T2): in {build.name} the interposer kept APs {each}; no rate here is production's"


def _under_tcg(tally: Tally) -> bool:
    return any(cell.cell.stratum.shape.accel is Accel.TCG for cell in tally.cells)


def _injected_text(tally: Tally) -> str:
    """Return whose lost INITs these were; one that nobody injected is a false alarm or a fault not known yet."""
    lost = sum(cell.classes[FindingClass.LOST_INIT] for cell in tally.cells)
    ours = sum(cell.lost_init_injected for cell in tally.cells)
    if lost > ours:
        return f", yet {lost - ours} of {lost} lost-init were not injected: look at their evidence"
    return ": every lost-init here was injected" if lost else ""


def contrast_line(comparison: Comparison, asked: str, contrast: Contrast) -> str:
    """Return one comparison as a sentence: both rates, the decision, the evidence for it."""
    table = contrast.table
    return (
        f"{asked}: {comparison.baseline} {rate(table.k_a, table.n_a, dispersion=contrast.dispersion_a)}, "
        f"{comparison.candidate} {rate(table.k_b, table.n_b, dispersion=contrast.dispersion_b)}{runs_text(contrast)}: "
        f"{decision_text(contrast)}"
    )


def _verdicts(tally: Tally, comparisons: Sequence[Comparison], painted: Callable[[str, bool | None], str]) -> list[str]:
    better = {Decision.BETTER: True, Decision.WORSE: False}
    lines = [
        painted(contrast_line(c, classes_text(c.classes), c.overall), better.get(c.overall.decision))
        for c in comparisons
    ]
    lines += [f"  {verdict_sentence(c)}" for c in comparisons]
    for comparison in comparisons:
        for found, contrast in comparison.by_class.items():
            if comparison.classes != (found,):
                lines.append("  " + contrast_line(comparison, found.value, contrast))
    return lines or [f"{name}: {said}" for name, said in build_rates(tally).items()]


def build_rates(tally: Tally) -> dict[str, str]:
    """Return, for a run that compares nothing, each build's rates: first of the classes that were asked about."""
    rates = {}
    for name in tally.builds:
        cells = tally.build(name)
        n, hangs = sum(cell.n for cell in cells), sum(cell.hangs for cell in cells)
        others = sum(cell.found(None) for cell in cells) - hangs
        said = [f"hang or restart {rate(hangs, n, dispersion=tally.hang_dispersion(cells))}"]
        if tally.classes is not None:
            found, index = sum(cell.found(tally.classes) for cell in cells), tally.dispersion(cells, tally.classes)
            said.insert(0, f"{classes_text(tally.classes)} {rate(found, n, dispersion=index)}")
        said += [f"other findings {rate(others, n)}"] if others else []
        rates[name] = ", ".join(said)
    return rates


def _cell(tally: Tally, cell: CellTally) -> str:
    shown = [c for c in asked_first(cell.classes, tally.classes) if cell.classes[c] or c in ALWAYS]
    parts = [", ".join(f"{c} {rate(cell.classes[c], cell.n, dispersion=tally.dispersion([cell], [c]))}" for c in shown)]
    if cell.clustered:
        index = dispersion_text(
            tally.dispersion([cell], None), cell.n, cell.runs, known=any(other.found(None) for other in tally.cells)
        )
        parts.append(f"{cell.runs} process-runs, dispersion of findings {index}")
    if cell.hammered_s:
        sent, due = cell.sent / cell.hammered_s, cell.due / cell.hammered_s
        asked = f" of {per_s(due)} asked" if due > 1.01 * sent else ""
        parts.append(f"{per_s(sent)} commands/s{asked}")
    if cell.duty_cycle is not None:
        parts.append(f"D {cell.duty_cycle:.2g}")
    p50, p99 = cell.boot.quantile(0.5), cell.boot.quantile(0.99)
    if p50 is not None and p99 is not None:
        parts.append(f"boot p50 {duration(p50)}, p99 {duration(p99)}")
    missing = [f"{cell.outcomes[o]} {o}" for o in (Outcome.RIG, Outcome.UNKNOWN) if cell.outcomes[o]]
    if missing:
        parts.append(f"not counted: {', '.join(missing)}")
    return f"{cell.cell.build.name}, {shape_text(cell.cell)}: {'; '.join(parts)}"


def _not_counted(cells: Sequence[CellTally]) -> list[str]:
    """Return one line on rig and unknown trials, with the rig's reasons; none where every trial counts."""
    unknown = sum(cell.outcomes[Outcome.UNKNOWN] for cell in cells)
    reasons: Counter[str] = Counter()
    for cell in cells:
        reasons.update(cell.rig_reasons)
    parts = [f"{count} rig ({reason})" for reason, count in reasons.most_common()]
    parts += [f"{unknown} unknown"] if unknown else []
    return [f"not counted as passed or failed: {', '.join(parts)}"] if parts else []


def _findings(found: Sequence[Bug], facts: RunFacts) -> list[str]:
    """Return a line for each bug and, where several cells showed it, one below it for each build."""
    lines = []
    for bug in found[:BUGS_SHOWN]:
        by_build: dict[str, list[str]] = {}
        for (build, smp), count in bug.sizes.items():
            by_build.setdefault(build, []).append(f"smp {smp}" if len(bug.sizes) == 1 else f"smp {smp} {times(count)}")
        where = "" if len(bug.sizes) > 1 else "".join(f"{build} {sizes[0]}, " for build, sizes in by_build.items())
        uncounted = f" ({bug.uncounted} in no rate: block not finished)" if bug.uncounted else ""
        lines.append(
            f"finding: {bug.finding_class}, {where}seen {times(bug.count)}{uncounted}: {printable(bug.title)}: "
            f"{repro_line(bug, facts) or 'no evidence was kept'}"
        )
        if not where:
            lines += [f"  {build}: {', '.join(sizes)}" for build, sizes in by_build.items()]
    if len(found) > BUGS_SHOWN:
        lines.append(f"finding: and {len(found) - BUGS_SHOWN} more: see summary.json")
    return lines

"""Two runs side by side: whether they may be compared at all, and the figures of one look if so (pure).

Two runs are not interleaved, so whatever changed between them looks like a difference of the builds (with drift and no
effect, A-then-B said "fixed" in 42 % of simulated sessions: docs/background/statistics.md, "Interleaving"). So there is
no evidence that grows, and no decision: rates with their exact intervals, and exact p-values at a fixed number of
trials.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from qstress.config.settings import Settings
from qstress.errors import ConfigError
from qstress.firmware import tier_of
from qstress.model import FindingClass, Host, Shape, Stratum
from qstress.report.summary import rounded
from qstress.report.wording import rate
from qstress.stats.cells import CellTally
from qstress.stats.clusters import widened
from qstress.stats.compare import ALWAYS
from qstress.stats.exact import Table
from qstress.stats.strata import stratified_greater
from qstress.stats.tally import Tally

#: Of the host's facts those that make it another host class: rates depend on them.
HOST_KEYS = ("cpu", "cores", "machine", "kernel")

NOT_INTERLEAVED = (
    "two runs are not interleaved: whatever else changed between them (load, temperature, the host itself) looks like "
    "a difference of the builds; these are the figures of one look, and nothing is decided"
)


#: Strata of the first run, and those of the second that they are compared with.
Match: TypeAlias = tuple[tuple[Stratum, ...], tuple[Stratum, ...]]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs: its name, what was asked for, the facts of its host, what it adds up to."""

    run: str
    settings: Settings
    host: Mapping[str, Any]
    tally: Tally


@dataclass(frozen=True, slots=True)
class RunContrast:
    """One class, baseline (a) against candidate (b): trials over all strata, and where trials share a process the same
    in process-runs that showed it.

    ``p_better`` is the exact one-sided p of "the candidate's rate is lower", ``p_worse`` that of "it is higher".
    """

    table: Table
    runs: Table | None
    dispersion_a: float | None
    dispersion_b: float | None
    p_better: float
    p_worse: float


@dataclass(frozen=True, slots=True)
class Across:
    """A build of the first run against a build of the second, class by class."""

    baseline: str
    candidate: str
    by_class: dict[FindingClass, RunContrast]


def obstacles(first: Side, second: Side) -> list[str]:
    """Return why the two runs cannot be compared, one line a reason; nothing where they can.

    Strata that only one of them has are no reason, as long as there are some that both have.
    """
    reasons = _differences(_of_run(first), _of_run(second))
    if not set(first.settings.strata) & set(second.settings.strata):
        reasons += _differences(_of_strata(first), _of_strata(second)) or ["no stratum is in both runs"]
    return reasons


def compared(first: Side, second: Side) -> list[Across]:
    """Compare the first run's baseline with the second run's candidates; without those, builds of the same name, or
    the only build of each.

    Strata are matched as they are, and within them hosts, where both runs had the same ones; where no stratum is in
    both (the runs were not comparable, and somebody insisted), all those with as many vCPUs together.

    :raises ConfigError: there is nothing to compare.
    """
    pairs, matches = _pairs(first.settings, second.settings), _matched(first.settings, second.settings)
    if not pairs:
        raise ConfigError(
            "nothing to compare: the runs share no build name, and do not name a baseline and a candidate"
        )
    if not matches:
        raise ConfigError("nothing to compare: the runs share no number of vCPUs")
    return [_across(first.tally, second.tally, a, b, matches) for a, b in pairs]


def across_text(first: Side, second: Side, found: Sequence[Across], forced: Sequence[str]) -> str:
    """Return *found* for a person; *forced* are the obstacles that were ignored."""
    lines = [f"warning: not comparable: {reason}" for reason in forced]
    lines += [f"first:  {first.run}", f"second: {second.run}"]
    for across in found:
        lines.append(f"{across.candidate} of the second run against {across.baseline} of the first:")
        for of_class, look in across.by_class.items():
            t = look.table
            baseline = rate(t.k_a, t.n_a, dispersion=look.dispersion_a)
            candidate = rate(t.k_b, t.n_b, dispersion=look.dispersion_b)
            runs = ""
            if look.runs is not None:
                runs = f" ({look.runs.k_b} of {look.runs.n_b} process-runs against {look.runs.k_a} of {look.runs.n_a})"
            lines.append(
                f"  {of_class}: {candidate} against {baseline}{runs}: "
                f"p {look.p_better:.2g} for lower, {look.p_worse:.2g} for higher"
            )
    return "\n".join([*lines, f"note: {NOT_INTERLEAVED}"]) + "\n"


def across_document(first: Side, second: Side, found: Sequence[Across], forced: Sequence[str]) -> dict[str, object]:
    """Return the same as JSON-able values."""
    return {
        "format": 1,
        "first": first.run,
        "second": second.run,
        "interleaved": False,
        "not_comparable": list(forced),
        "pairs": [
            {
                "baseline": across.baseline,
                "candidate": across.candidate,
                "by_class": {c.value: _as_values(look) for c, look in across.by_class.items()},
            }
            for across in found
        ],
    }


def _as_values(look: RunContrast) -> dict[str, object]:
    table, runs = look.table, look.runs
    return {
        "baseline": _arm(table.k_a, table.n_a, look.dispersion_a),
        "candidate": _arm(table.k_b, table.n_b, look.dispersion_b),
        "process_runs": None if runs is None else runs._asdict(),
        "p_better": rounded(look.p_better),
        "p_worse": rounded(look.p_worse),
    }


def _arm(k: int, n: int, spread: float | None) -> dict[str, object]:
    limits = widened(k, n, spread)
    share = rounded(k / n) if n else None
    return {"count": k, "trials": n, "rate": share, "lower": rounded(limits.lower), "upper": rounded(limits.upper)}


def _of_run(side: Side) -> dict[str, str]:
    """Return what has to be alike in two runs: host class, lanes, tier, and whether SMM was real."""
    kvm = side.host.get("kvm")
    kinds = [str(kvm.get(key)) for key in ("kind", "nested")] if isinstance(kvm, Mapping) else []
    return {
        **{f"host's {key}": str(side.host.get(key, "unknown")) for key in HOST_KEYS},
        "host's KVM (kind, nested)": ", ".join(kinds) or "unknown",
        "hosts (kernel)": _listed(f"{host.name} ({host.kernel})" for host in side.tally.hosts) or "not told apart",
        "lanes": str(side.settings.lanes),
        "tier": _listed(tier_of(cell.cell) for cell in side.tally.cells),
        "SMM": _listed(build.smm for build in side.settings.builds),
    }


def _of_strata(side: Side) -> dict[str, str]:
    """Return what has to be alike in some stratum of two runs: the guest's shape, and what hammers it."""
    shapes = [stratum.shape for stratum in side.settings.strata]
    found = {
        field.name.replace("_", " "): _listed(getattr(shape, field.name) for shape in shapes) for field in fields(Shape)
    }
    return {**found, "hammer": _listed(stratum.hammer_label for stratum in side.settings.strata)}


def _differences(first: Mapping[str, str], second: Mapping[str, str]) -> list[str]:
    return [
        f"{name}: {first[name]} in the first run, {second[name]} in the second"
        for name in first
        if first[name] != second[name]
    ]


def _listed(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in values}))


def _pairs(first: Settings, second: Settings) -> list[tuple[str, str]]:
    if first.compare and second.compare:
        return [(first.compare.baseline, candidate) for candidate in second.compare.candidates]
    names = [build.name for build in first.builds], [build.name for build in second.builds]
    if len(names[0]) == len(names[1]) == 1:
        return [(names[0][0], names[1][0])]
    return [(name, name) for name in names[0] if name in names[1]]


def _matched(first: Settings, second: Settings) -> list[Match]:
    if shared := [stratum for stratum in first.strata if stratum in second.strata]:
        return [((stratum,), (stratum,)) for stratum in shared]
    sizes = dict.fromkeys(stratum.shape.smp for stratum in first.strata)
    by_size = [tuple(tuple(s for s in run.strata if s.shape.smp == smp) for run in (first, second)) for smp in sizes]
    return [(a, b) for a, b in by_size if b]


def _across(first: Tally, second: Tally, baseline: str, candidate: str, matches: Sequence[Match]) -> Across:
    same: list[Host | None] = [*first.hosts] if set(first.hosts) == set(second.hosts) else []
    arms = [
        (_cells(first, baseline, a, host), _cells(second, candidate, b, host))
        for a, b in matches
        for host in same or [None]
    ]
    seen = {c for c in FindingClass for pair in arms for arm in pair for cell in arm if cell.classes[c]}
    return Across(
        baseline, candidate, {c: _look((first, second), arms, c) for c in FindingClass if c in seen or c in ALWAYS}
    )


def _cells(tally: Tally, build: str, strata: Sequence[Stratum], host: Host | None) -> list[CellTally]:
    """Return the cells of *build* in some planned *strata* on *host*; on None: on all hosts."""
    return [
        cell
        for cell in tally.build(build)
        if cell.cell.on(None).stratum in strata and host in (None, cell.cell.stratum.host)
    ]


def _look(
    runs: tuple[Tally, Tally], arms: Sequence[tuple[list[CellTally], list[CellTally]]], of_class: FindingClass
) -> RunContrast:
    every = [[cell for pair in arms for cell in pair[side]] for side in (0, 1)]
    clustered = any(cell.clustered for cells in every for cell in cells)
    trials = [Table(*_trials(a, of_class), *_trials(b, of_class)) for a, b in arms]
    units = [Table(*_runs(a, of_class), *_runs(b, of_class)) for a, b in arms] if clustered else trials
    spread = [tally.dispersion(cells, [of_class]) for tally, cells in zip(runs, every, strict=True)]
    return RunContrast(
        table=Table.total(trials),
        runs=Table.total(units) if clustered else None,
        dispersion_a=spread[0],
        dispersion_b=spread[1],
        p_better=stratified_greater(units),
        p_worse=stratified_greater([table.swapped for table in units]),
    )


def _trials(cells: Sequence[CellTally], of_class: FindingClass) -> tuple[int, int]:
    return sum(cell.classes[of_class] for cell in cells), sum(cell.n for cell in cells)


def _runs(cells: Sequence[CellTally], of_class: FindingClass) -> tuple[int, int]:
    """Return how many process-runs showed the class, and how many there were: what is independent of each other."""
    showed = sum(
        sum(found > 0 for found in cell.by_run.found([of_class])) if cell.clustered else cell.classes[of_class]
        for cell in cells
    )
    return showed, sum(cell.runs for cell in cells)

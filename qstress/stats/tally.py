"""The tally of a run: results in, counters, findings and evidence out, block by block in planned order.

The evidence of a comparison grows with each block (hangs end later than oks, so results must not enter one by one as
they come), and one e-process is kept per pair of builds, stratum, question and direction. A question is a class, or
``None``: any finding of the classes the run is gated on. A class that no block of a stratum has shown yet shares the
process of all such classes, so its earlier blocks are not forgotten when it shows up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qstress.model import Cell, FindingClass, TrialResult, Verdict
from qstress.stats.cells import CellTally, class_of, counts_as
from qstress.stats.evalue import EProcess

Question = FindingClass | None


@dataclass(slots=True)
class Finding:
    """What one cell showed under one signature.

    ``uncounted`` of the ``count`` sightings lie in blocks that were never finished and enter no rate. ``evidence`` is
    the first folder that was kept, relative to the run; empty if none was.
    """

    cell: Cell
    finding_class: FindingClass
    signature: str
    title: str
    count: int = 0
    uncounted: int = 0
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Directions:
    """Both one-sided processes of a question: the baseline hangs more (``better``), the candidate does (``worse``)."""

    better: EProcess = EProcess()
    worse: EProcess = EProcess()

    def update(self, hangs_a: int, n_a: int, hangs_b: int, n_b: int) -> Directions:
        """Return both after one more block of baseline (a) and candidate (b)."""
        return Directions(self.better.update(hangs_a, n_a, hangs_b, n_b), self.worse.update(hangs_b, n_b, hangs_a, n_a))


@dataclass(slots=True)
class PairedStratum:
    """The evidence of one stratum that two builds share: the places of its two cells, and the processes."""

    baseline: int
    candidate: int
    unseen: Directions = Directions()
    seen: dict[Question, Directions] = field(default_factory=dict)

    def of(self, question: Question) -> Directions:
        """Return the evidence on *question*."""
        return self.seen.get(question, self.unseen)

    def update(self, arms: Mapping[int, list[Verdict]], classes: tuple[FindingClass, ...] | None) -> None:
        """Add one block: the counted verdicts of each cell, by its place."""
        a, b = arms.get(self.baseline, []), arms.get(self.candidate, [])
        if not a and not b:
            return
        for verdict in (*a, *b):
            if (found := class_of(verdict)) is not None:
                self.seen.setdefault(found, self.unseen)
                if counts_as(verdict, classes):
                    self.seen.setdefault(None, self.unseen)
        for question, evidence in self.seen.items():
            asked = classes if question is None else (question,)
            hangs = [sum(counts_as(verdict, asked) for verdict in arm) for arm in (a, b)]
            self.seen[question] = evidence.update(hangs[0], len(a), hangs[1], len(b))
        self.unseen = self.unseen.update(0, len(a), 0, len(b))


class Tally:
    """All counters of a run.

    :param cells: the plan's cells; ``Trial.cell_index`` is a place in them.
    :param pairs: (baseline, candidate) names of the builds to compare.
    :param classes: what the overall comparison counts, None for any finding.
    :raises ValueError: a pair names a build that no cell has.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        pairs: Sequence[tuple[str, str]] = (),
        classes: tuple[FindingClass, ...] | None = None,
    ) -> None:
        self.cells = [CellTally(cell) for cell in cells]
        self.classes = classes
        self.blocks = 0
        self.pairs = {pair: _paired_strata(cells, *pair) for pair in pairs}
        self._findings: dict[tuple[int, FindingClass, str], Finding] = {}

    def add_block(self, results: Sequence[TrialResult], evidence: Mapping[int, str | None] | None = None) -> None:
        """Add a finished block; blocks come in planned order.

        :param evidence: the folders of its findings by trial number, relative to the run.
        """
        arms: dict[int, list[Verdict]] = {}
        for result in results:
            trial, verdict = result.trial, result.verdict
            self.cells[trial.cell_index].add(result)
            if verdict.outcome.counted:
                arms.setdefault(trial.cell_index, []).append(verdict)
            self.add_finding(verdict, trial.cell_index, (evidence or {}).get(trial.number))
        for strata in self.pairs.values():
            for stratum in strata:
                stratum.update(arms, self.classes)
        self.blocks += 1

    def add_finding(self, verdict: Verdict, cell_index: int, evidence: str | None, *, counted: bool = True) -> None:
        """List *verdict* if it is a finding.

        Called with ``counted=False`` for a finding of a block that was never finished: it enters no rate.
        """
        found = class_of(verdict)
        if found is None:
            return
        new = Finding(self.cells[cell_index].cell, found, verdict.signature, verdict.title)
        finding = self._findings.setdefault((cell_index, found, verdict.signature), new)
        finding.count += 1
        finding.uncounted += not counted
        finding.evidence = finding.evidence or evidence or ""

    @property
    def findings(self) -> list[Finding]:
        """All findings, by class in the order of :class:`FindingClass`, the most frequent first."""
        order = list(FindingClass)
        return sorted(self._findings.values(), key=lambda f: (order.index(f.finding_class), -f.count))

    def build(self, name: str) -> list[CellTally]:
        """Return the cells of one build, in planned order."""
        return [cell for cell in self.cells if cell.cell.build.name == name]

    def evidence_log10(self, baseline: str, candidate: str, question: Question = None) -> tuple[float, float]:
        """Return log10 of E for "the candidate is better" and for "it is worse", multiplied over strata.

        :raises KeyError: the pair is not one of this tally's.
        """
        found = [stratum.of(question) for stratum in self.pairs[baseline, candidate]]
        return sum(d.better.log10 for d in found), sum(d.worse.log10 for d in found)


def _paired_strata(cells: Sequence[Cell], baseline: str, candidate: str) -> list[PairedStratum]:
    for name in (baseline, candidate):
        if not any(cell.build.name == name for cell in cells):
            raise ValueError(f"no cell is of a build named {name!r}")
    places = {cell.stratum: i for i, cell in enumerate(cells) if cell.build.name == candidate}
    return [
        PairedStratum(i, places[cell.stratum])
        for i, cell in enumerate(cells)
        if cell.build.name == baseline and cell.stratum in places
    ]

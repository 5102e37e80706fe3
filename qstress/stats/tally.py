"""The tally of a run: results in, counters, findings and evidence out, block by block in planned order.

The evidence of a comparison grows with each block (hangs end later than oks, so results must not enter one by one as
they come), and one e-process is kept per pair of builds, stratum, question and direction. A question is a class, or
``None``: any finding of the classes the run is gated on. A class that no block of a stratum has shown yet shares the
process of all such classes, so its earlier blocks are not forgotten when it shows up.

The unit of evidence is the arm of a block: whether a process-run showed what is asked for at least once. Both arms of
a block are judged by as many trials, the first ones that count in each: an arm that lost some to the rig would show
less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from qstress.model import Cell, FindingClass, Host, StormCount, Stratum, TrialResult, Verdict
from qstress.stats.cells import CellTally, both_storms, class_of
from qstress.stats.clusters import Spread, pooled_index, spread
from qstress.stats.evalue import EProcess

Question = FindingClass | None


@dataclass(slots=True)
class CellFinding:
    """What one cell showed under one signature.

    ``uncounted`` of the ``count`` sightings lie in blocks that were never finished and enter no rate. ``evidence``
    holds the folders that were kept, relative to the run.
    """

    cell: Cell
    finding_class: FindingClass
    signature: str
    title: str
    count: int = 0
    uncounted: int = 0
    evidence: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Directions:
    """Both one-sided processes of a question: the baseline hangs more (``better``), the candidate does (``worse``)."""

    better: EProcess = EProcess()
    worse: EProcess = EProcess()

    def update(self, block: int, a: bool | None, b: bool | None) -> Directions:
        """Return both after one more block of baseline (a) and candidate (b); see :meth:`EProcess.update`."""
        return Directions(self.better.update(block, a, b), self.worse.update(block, b, a))


@dataclass(slots=True)
class PairedStratum:
    """The evidence of one stratum that two builds share: the places of its two cells in the plan, and the processes.

    Blocks of all hosts enter the same processes. That is right whatever the hosts' rates are: both arms of a block have
    the same host, and the rates may change from block to block (:mod:`qstress.stats.evalue`). A process for each host
    would have to learn the rates anew on each, which costs trials.
    """

    baseline: int
    candidate: int
    unseen: Directions = Directions()
    seen: dict[Question, Directions] = field(default_factory=dict)

    def of(self, question: Question) -> Directions:
        """Return the evidence on *question*."""
        return self.seen.get(question, self.unseen)

    def update(
        self, block: int, arms: Mapping[int, Sequence[Verdict]], classes: tuple[FindingClass, ...] | None
    ) -> None:
        """Add one block: the counted verdicts of each cell's process-run, by its place.

        :raises ValueError: the block is not after those before.
        """
        a, b = arms.get(self.baseline, ()), arms.get(self.candidate, ())
        if not a and not b:
            return
        alike = min(len(a), len(b)) or max(len(a), len(b))
        a, b = a[:alike], b[:alike]
        found = [{c for verdict in arm if (c := class_of(verdict)) is not None} for arm in (a, b)]
        for of_class in found[0] | found[1]:
            self.seen.setdefault(of_class, self.unseen)
            if classes is None or of_class in classes:
                self.seen.setdefault(None, self.unseen)

        def shown(arm: int, question: Question) -> bool | None:
            if not (a, b)[arm]:
                return None
            if question is not None:
                return question in found[arm]
            return bool(found[arm]) if classes is None else not found[arm].isdisjoint(classes)

        for question, evidence in self.seen.items():
            self.seen[question] = evidence.update(block, shown(0, question), shown(1, question))
        self.unseen = self.unseen.update(block, False if a else None, False if b else None)


@dataclass(slots=True)
class PairedBuilds:
    """The evidence of two builds over the strata they share.

    ``peaks`` holds the most there ever was of each question and direction (natural logarithms, strata multiplied). A
    decision rests on it: Ville's inequality bounds the chance that E *ever* reaches 1/alpha, and blocks that other
    lanes had under way when it did must not take the decision back.
    """

    strata: list[PairedStratum]
    peaks: dict[Question, tuple[float, float]] = field(default_factory=dict)
    _now: dict[Question, tuple[float, float]] = field(default_factory=dict)
    _at: dict[int, PairedStratum] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for stratum in self.strata:
            self._at[stratum.baseline] = self._at[stratum.candidate] = stratum

    def update(
        self, block: int, arms: Mapping[int, Sequence[Verdict]], classes: tuple[FindingClass, ...] | None
    ) -> None:
        """Add one block, as :meth:`PairedStratum.update`."""
        stratum = next((self._at[place] for place in arms if place in self._at), None)
        if stratum is None:
            return
        before = {question: stratum.of(question) for question in self._now}
        stratum.update(block, arms, classes)
        for question, was in before.items():
            is_now, (better, worse) = stratum.of(question), self._now[question]
            better += is_now.better.log_e - was.better.log_e
            worse += is_now.worse.log_e - was.worse.log_e
            self._keep(question, better, worse)
        for question in stratum.seen.keys() - before.keys():
            each = [one.of(question) for one in self.strata]
            self._keep(question, sum(d.better.log_e for d in each), sum(d.worse.log_e for d in each))

    def _keep(self, question: Question, better: float, worse: float) -> None:
        best = self.peaks.get(question, (0.0, 0.0))  # E is 1 before the first block
        self._now[question] = better, worse
        self.peaks[question] = max(best[0], better), max(best[1], worse)


@dataclass(slots=True)
class _Planned:
    """A stratum of the plan: the places of its cells, and the hosts that ran blocks of it, the first one first."""

    places: list[int] = field(default_factory=list)
    ran_on: list[Host | None] = field(default_factory=list)


class Tally:
    """All counters of a run.

    ``cells`` begins with those of the plan, in its order. What one of them counts on a second host has a cell of its
    own behind these: rates are within hosts. Evidence is within hosts, too, for a block runs on one host whole; its
    factors are multiplied over blocks as they are over strata, whatever the host
    (docs/architecture.md, "What is counted").

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
        self._last = -1
        self.pairs = {pair: PairedBuilds(_paired_strata(cells, *pair)) for pair in pairs}
        self._planned = tuple(cells)
        strata: dict[Stratum, _Planned] = {}
        for place, cell in enumerate(cells):
            strata.setdefault(cell.stratum, _Planned()).places.append(place)
        self._strata = [strata[cell.stratum] for cell in cells]  # by place in the plan; cells of a stratum share theirs
        self._places: dict[tuple[int, Host | None], int] = {}  # by place in the plan
        self._grouped: dict[str | None, list[list[CellTally]]] = {}  # what by_plan returns
        self._early_kicks: dict[tuple[int, Host | None], StormCount] = {}
        self._pooled: dict[tuple[FindingClass, ...] | None, tuple[int, Spread]] = {}  # each with the blocks it is of
        self._findings: dict[tuple[int, Host | None, FindingClass, str], CellFinding] = {}

    def open(self, cell_index: int, host: Host | None) -> int:
        """Return the place in ``cells`` of what a cell of the plan counts on *host*, opened if that is new.

        The first host to run a stratum takes the plan's own places; those of any further one come behind all others.
        """
        if (place := self._places.get((cell_index, host))) is not None:
            return place
        stratum = self._strata[cell_index]
        for planned in stratum.places:
            cell = self._planned[planned].on(host)
            if stratum.ran_on:
                self._places[planned, host] = len(self.cells)
                self.cells.append(CellTally(cell))
            else:
                self._places[planned, host] = planned
                self.cells[planned].cell = cell
            if (kicks := self._early_kicks.pop((planned, host), None)) is not None:
                self.cells[self._places[planned, host]].kicks = kicks
        stratum.ran_on.append(host)
        self._grouped.clear()
        return self._places[cell_index, host]

    @property
    def opened(self) -> list[tuple[int, Host | None]]:
        """What :meth:`open` was asked for, one for each host of each stratum, in an order that gives the same places
        again."""
        asked = [place for place in self._places if place[0] == self._strata[place[0]].places[0]]
        return sorted(asked, key=self._places.__getitem__)

    @property
    def hosts(self) -> list[Host]:
        """The hosts that ran finished blocks, where those were told apart."""
        return [host for host in dict.fromkeys(host for _, host in self._places) if host]

    def by_plan(self, build: str | None = None) -> list[list[CellTally]]:
        """Return the cells of *build* (None: all) in planned order, those of one cell of the plan together: there is
        one for each host that ran it."""
        if build not in self._grouped:  # asked after every block, and seldom another answer
            self._grouped[build] = [
                [self.cells[self._places[place, host]] for host in self._strata[place].ran_on] or [self.cells[place]]
                for place, cell in enumerate(self._planned)
                if build in (None, cell.build.name)
            ]
        return self._grouped[build]

    def arms(self, baseline: str, candidate: str) -> list[tuple[CellTally, CellTally]]:
        """Return the cells of two builds that are compared with each other: of the same stratum, on the same host.

        :raises KeyError: the pair is not one of this tally's.
        """
        together = self.by_plan()
        return [
            pair
            for stratum in self.pairs[baseline, candidate].strata
            for pair in zip(together[stratum.baseline], together[stratum.candidate], strict=True)
        ]

    def add_block(self, results: Sequence[TrialResult], evidence: Mapping[int, str | None] | None = None) -> None:
        """Add a finished block: all its results, each arm's in the order in which they ran, all from one host.

        :param evidence: the folders of its findings by trial number, relative to the run.
        :raises ValueError: the results are of several blocks, or their block is not after all before it, or an arm has
            more trials than a process-run: trials that share a process enter together, as one unit, once.
        """
        if not results:
            return
        block, host = results[0].trial.block, results[0].host
        if any(result.trial.block != block for result in results):
            raise ValueError(f"these are results of several blocks, not only of block {block}")
        if block <= self._last:
            raise ValueError(
                f"block {block} comes after block {self._last}: it enters as a whole and in planned order, for trials "
                "that share a process are one unit and cannot enter one by one"
            )
        runs: dict[int, list[TrialResult]] = {}
        for result in results:
            runs.setdefault(result.trial.cell_index, []).append(result)
            if result.verdict.outcome.finding:
                folder = (evidence or {}).get(result.trial.number)
                self.add_finding(result.verdict, result.trial.cell_index, folder, host=host)
        for planned, run in runs.items():
            self.cells[self.open(planned, host)].add_run(block, run)
        arms = {planned: [r.verdict for r in run if r.verdict.outcome.counted] for planned, run in runs.items()}
        for pair in self.pairs.values():
            pair.update(block, arms, self.classes)
        self.blocks += 1
        self._last = block

    def add_kicks(self, cell_index: int, count: StormCount, host: Host | None = None) -> None:
        """Add what moved and kicked the vCPUs of one guest of a cell of the plan on *host*, in this session."""
        place = self._places.get((cell_index, host), None if host else cell_index)
        if place is None:  # no block of that host has finished yet: it has no cell before
            early = self._early_kicks.get((cell_index, host))
            self._early_kicks[cell_index, host] = count if early is None else both_storms(early, count)
            return
        cell = self.cells[place]
        cell.kicks = count if cell.kicks is None else both_storms(cell.kicks, count)

    def add_finding(
        self, verdict: Verdict, cell_index: int, evidence: str | None, *, counted: bool = True, host: Host | None = None
    ) -> None:
        """List *verdict* if it is a finding, made on *host*.

        Called with ``counted=False`` for a finding of a block that was never finished: it enters no rate.
        """
        found = class_of(verdict)
        if found is None:
            return
        new = CellFinding(self._planned[cell_index].on(host), found, verdict.signature, verdict.title)
        finding = self._findings.setdefault((cell_index, host, found, verdict.signature), new)
        finding.count += 1
        finding.uncounted += not counted
        if evidence:
            finding.evidence.append(evidence)

    @property
    def findings(self) -> list[CellFinding]:
        """All findings, by class in the order of :class:`FindingClass`, the most frequent first."""
        order = list(FindingClass)
        return sorted(self._findings.values(), key=lambda f: (order.index(f.finding_class), -f.count))

    @property
    def trials(self) -> int:
        """All trials of finished blocks, whatever became of them."""
        return sum(cell.trials for cell in self.cells)

    @property
    def builds(self) -> list[str]:
        """The names of the builds, in planned order."""
        return list(dict.fromkeys(cell.cell.build.name for cell in self.cells))

    def build(self, name: str) -> list[CellTally]:
        """Return the cells of one build, in planned order."""
        return [cell for cell in self.cells if cell.cell.build.name == name]

    def dispersion(self, cells: Iterable[CellTally], classes: Iterable[FindingClass] | None) -> float | None:
        """Return the index of dispersion that widens the interval of *classes* (None: any finding) in *cells*.

        It is pooled over all cells of this tally (:func:`qstress.stats.clusters.pooled_index`); None where trials
        share no process.
        """
        asked = tuple(FindingClass if classes is None else classes)
        return self._index(cells, asked, lambda cell: cell.by_run.found(asked))

    def hang_dispersion(self, cells: Iterable[CellTally]) -> float | None:
        """Return the same for hangs and restarts."""
        return self._index(cells, None, lambda cell: cell.by_run.hangs)

    def _index(
        self, cells: Iterable[CellTally], key: tuple[FindingClass, ...] | None,
        found: Callable[[CellTally], Sequence[int]],
    ) -> float | None:  # fmt: skip
        at, pooled = self._pooled.get(key, (-1, Spread()))
        if at != self.blocks:
            pooled = spread((found(cell), cell.by_run.trials) for cell in self.cells)
            self._pooled[key] = self.blocks, pooled
        return pooled_index(spread((found(cell), cell.by_run.trials) for cell in cells), pooled)

    def evidence_log10(self, baseline: str, candidate: str, question: Question = None) -> tuple[float, float]:
        """Return log10 of E for "the candidate is better" and for "it is worse", multiplied over strata.

        :raises KeyError: the pair is not one of this tally's.
        """
        found = [stratum.of(question) for stratum in self.pairs[baseline, candidate].strata]
        return sum(d.better.log10 for d in found), sum(d.worse.log10 for d in found)

    def reached_log10(self, baseline: str, candidate: str, question: Question = None) -> tuple[float, float]:
        """Return the most that :meth:`evidence_log10` has ever been, which is what decisions rest on; at least 0.

        :raises KeyError: the pair is not one of this tally's.
        """
        better, worse = self.pairs[baseline, candidate].peaks.get(question, (0.0, 0.0))
        return better / math.log(10.0), worse / math.log(10.0)


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

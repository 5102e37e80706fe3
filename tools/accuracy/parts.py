"""The parts of a run: each kind, with and without hogs, on so many lanes, until enough of its trials are booked."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import anyio

from qstress.config.layers import JOURNALS_VARIABLE
from qstress.model import Accel, Verdict
from qstress.trial.context import EvidenceQuota, TrialContext
from tools.accuracy.kind import Batch, Kind
from tools.accuracy.load import OVERSUBSCRIBED, hogs
from tools.accuracy.table import Grade, Row, Truth, line, said

#: How often progress is told and kept, and how many verdicts that were not right are told in full, for each row.
TELL_EVERY_S, TOLD = 30.0, 5
#: Some trials do not count (a fault came too late, a race was lost): there are so many times more at most.
TRIES = 4


@dataclass(slots=True)
class Part:
    """Some trials of one kind, all with hogs (*loaded*) or all without. ``row`` is to hold ``wanted`` of them, and
    ``beside`` those that come with them; ``keep`` is given what was booked since it was called last."""

    kind: Kind
    loaded: bool
    wanted: int
    row: Row
    beside: Row
    keep: Callable[[Sequence[Row]], None] = lambda rows: None
    _new: tuple[Row, Row] = (Row(""), Row(""))  # as row and beside, not kept yet
    _kept_s: float = 0.0
    _first: int = 0  # the number of the first trial
    _batch: int = 1
    _begun: int = 0  # batches
    _most: int = 0
    _under_way: int = 0  # trials that may yet be booked

    @property
    def lanes(self) -> int:
        """How many batches there are at a time."""
        return self.kind.lanes_loaded if self.loaded else self.kind.lanes

    async def run(self) -> None:
        """Carry out batches on all lanes until enough trials are booked."""
        if self.row.n >= self.wanted:
            return
        self._first, self._kept_s = self.row.n, time.monotonic()
        self._batch = min(self.kind.batch, -(-(self.wanted - self.row.n) // self.lanes))  # so that no lane is idle
        self._most = TRIES * -(-(self.wanted - self.row.n) // self._batch)
        self._renew()
        took_s = self.row.took_s
        try:
            with hogs(OVERSUBSCRIBED if self.loaded else 0):
                async with anyio.create_task_group() as tasks:
                    for lane in range(self.lanes):
                        tasks.start_soon(self._lane, lane)
        finally:
            self._keep()
        tell(line(self.row), f"took {self.row.took_s - took_s:.1f} s")

    async def _lane(self, lane: int) -> None:
        context = TrialContext(
            lane=lane, env=self.kind.env(), evidence=EvidenceQuota(0), journals=os.environ.get(JOURNALS_VARIABLE, "")
        )
        while many := self._next():
            first = self._first + self._begun * self._batch
            self._begun += 1
            self._under_way += many
            await self.kind.carry_out(Batch(self.row.name, first, many, context, self.book))
            self._under_way -= many

    def _next(self) -> int:
        """Return how many trials the next batch has; 0: there is none."""
        if self._begun >= self._most:
            return 0
        return max(0, min(self._batch, self.wanted - self.row.n - self._under_way))

    def book(self, true: Truth, verdict: Verdict, detection_s: float | None, *, beside: bool = False) -> None:
        """Take in one trial; tell of it when its verdict is not right, and of all now and then."""
        row = self.beside if beside else self.row
        grade = row.add(true, verdict, detection_s)
        self._new[beside].add(true, verdict, detection_s)
        if grade is not Grade.RIGHT and row.n - row.grades[Grade.RIGHT] <= TOLD:
            tell(f"{grade}: {row.name}: {said(verdict)} ({verdict.confidence})", *verdict.because)
        if time.monotonic() > self._kept_s + TELL_EVERY_S:
            self._keep()
            tell(f"{self.row.name}: {self.row.n}/{self.wanted}")

    def _renew(self) -> None:
        self._new = (self.row.empty(), self.beside.empty())

    def _keep(self) -> None:
        now_s = time.monotonic()
        self._new[0].took_s = now_s - self._kept_s
        self.row.took_s += self._new[0].took_s
        self._kept_s = now_s
        self.keep([row for row in self._new if row.n or row.took_s])
        self._renew()


def parts_of(
    kinds: Iterable[Kind], scale: float, share: float, *, kvm: bool, rows: Mapping[str, Row] = MappingProxyType({}),
    keep: Callable[[Sequence[Row]], None] = lambda rows: None,
) -> list[Part]:  # fmt: skip
    """Return what there is to do; what this host cannot do is told. *rows* are what was booked before, by name."""
    parts: list[Part] = []
    known = dict(rows)
    for kind in kinds:
        impossible = kind.impossible or ("no usable KVM" if kind.accel is Accel.KVM and not kvm else "")
        if impossible:
            tell(f"skipped: {kind.name}: {impossible}")
            continue
        for loaded, wanted in kind.parts(scale, share):
            own, beside = (f"{name}, 8x load" if name and loaded else name for name in (kind.name, kind.beside))
            row = known.setdefault(own, Row(own, kind.group, kind.fault, loaded))
            shared = known.setdefault(beside, Row(beside, kind.group, loaded=loaded))
            parts.append(Part(kind, loaded, wanted, row, shared, keep))
    return parts


def rows_of(parts: Sequence[Part]) -> list[Row]:
    """Return the rows of *parts*, each once."""
    return list({row.name: row for part in parts for row in (part.row, part.beside)}.values())


def tell(*lines: str) -> None:
    """Print on stderr, what belongs to the first line indented."""
    print("\n    ".join(lines), file=sys.stderr, flush=True)

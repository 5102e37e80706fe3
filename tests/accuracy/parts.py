"""The parts of a run: each kind, with and without hogs, on so many lanes, until enough of its trials are booked."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import anyio

from qstress.bringup import Bench
from qstress.model import Accel, Verdict
from tests.accuracy.kind import LOADED, Batch, Kind
from tests.accuracy.load import hogs
from tests.accuracy.table import Grade, Row, Truth, line, said

#: How often progress is told, and how many verdicts that were not right are told in full, for each row.
TELL_EVERY_S, TOLD = 30.0, 5
#: Some trials do not count (a fault came too late, a race was lost): there are so many times more at most.
TRIES = 4


@dataclass(slots=True)
class Part:
    """Some trials of one kind, all with hogs (*loaded*) or all without. ``beside`` is the row of those that come with
    them."""

    kind: Kind
    loaded: bool
    wanted: int
    row: Row
    beside: Row
    _told_s: float = 0.0
    _begun: int = 0  # batches
    _under_way: int = 0  # trials that may yet be booked

    async def run(self) -> None:
        """Carry out batches on all lanes until enough trials are booked."""
        began_s = self._told_s = time.monotonic()
        with hogs(self.loaded):
            async with anyio.create_task_group() as tasks:
                for lane in range(LOADED if self.loaded else self.kind.lanes):
                    tasks.start_soon(self._lane, lane)
        tell(line(self.row), f"took {time.monotonic() - began_s:.1f} s")

    async def _lane(self, lane: int) -> None:
        bench = Bench(lane=lane, env=self.kind.env(), wants_evidence=lambda result: False)
        while many := self._next():
            first = self._begun * self.kind.batch
            self._begun += 1
            self._under_way += many
            await self.kind.carry_out(Batch(self.row.name, first, many, bench, self.book))
            self._under_way -= many

    def _next(self) -> int:
        """Return how many trials the next batch has; 0: there is none."""
        if self._begun >= TRIES * -(-self.wanted // self.kind.batch):
            return 0
        return max(0, min(self.kind.batch, self.wanted - self.row.n - self._under_way))

    def book(self, true: Truth, verdict: Verdict, detection_s: float | None, *, beside: bool = False) -> None:
        """Take in one trial; tell of it when its verdict is not right, and of all now and then."""
        row = self.beside if beside else self.row
        grade = row.add(true, verdict, detection_s)
        if grade is not Grade.RIGHT and row.n - row.grades[Grade.RIGHT] <= TOLD:
            tell(f"{grade}: {row.name}: {said(verdict)} ({verdict.confidence})", *verdict.because)
        if time.monotonic() > self._told_s + TELL_EVERY_S:
            self._told_s = time.monotonic()
            tell(f"{self.row.name}: {self.row.n}/{self.wanted}")


def parts_of(kinds: Iterable[Kind], scale: float, share: float, *, kvm: bool) -> list[Part]:
    """Return what there is to do; what this host cannot do is told."""
    parts: list[Part] = []
    rows: dict[str, Row] = {}
    for kind in kinds:
        impossible = kind.impossible or ("no usable KVM" if kind.accel is Accel.KVM and not kvm else "")
        if impossible:
            tell(f"skipped: {kind.name}: {impossible}")
            continue
        for loaded, wanted in kind.parts(scale, share):
            own, beside = (f"{name}, 8x load" if name and loaded else name for name in (kind.name, kind.beside))
            shared = rows.setdefault(beside, Row(beside, kind.group))
            parts.append(Part(kind, loaded, wanted, Row(own, kind.group), shared))
    return parts


def rows_of(parts: Sequence[Part]) -> list[Row]:
    """Return the rows of *parts*, each once."""
    return list({row.name: row for part in parts for row in (part.row, part.beside)}.values())


def tell(*lines: str) -> None:
    """Print on stderr, what belongs to the first line indented."""
    print("\n    ".join(lines), file=sys.stderr, flush=True)

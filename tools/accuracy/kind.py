"""What a kind of labelled trials is: its name, its size, and what carries a batch of it out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol, TypedDict

from qstress.model import Accel, Trial, TrialResult, Verdict
from qstress.trial.context import Coordinator, FinishedTrial, TrialContext
from tests.live.rig import HAMMER, planned
from tools.accuracy.load import CORES
from tools.accuracy.table import Truth

#: Lanes where guests mostly wait, and where they compute.
WAITING, COMPUTING = 8 * CORES, CORES
#: Lanes while the hogs run: these have most of the CPUs in any case, so lanes hardly take any from each other.
LOADED = 4 * CORES


class Lanes(TypedDict):
    """How many lanes, and whether what comes of it is a latency."""

    lanes: int
    timed: bool


def lanes(smp: int) -> Lanes:
    """Return on how many lanes a fault is injected: what it takes at -smp 4 is measured, on an idle host."""
    return {"lanes": 1, "timed": True} if smp == 4 else {"lanes": COMPUTING, "timed": False}


class Load(Enum):
    """Whether trials run on the host as it is, with the hogs, or a share of them with the hogs."""

    NEVER = "never"
    SHARE = "share"
    ALWAYS = "always"


class Book(Protocol):
    """Takes in one trial: the truth, what was said, the detection latency in seconds. *beside*: it is not one of the
    kind's own, but came with them."""

    def __call__(self, true: Truth, verdict: Verdict, detection_s: float | None, *, beside: bool = False) -> None: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """What one lane is to do next: *many* of the trials of a row, the first of which has number *first*.

    A trial into which the fault came too late (the guest was up already) is not booked; another takes its place.
    """

    row: str
    first: int
    many: int
    context: TrialContext
    book: Book

    @property
    def seed(self) -> str:
        """What a batch's random numbers are drawn from."""
        return f"{self.row}/{self.first}"

    def trial(self, accel: Accel, smp: int, **more: Any) -> Trial:
        """Return the first trial. Nobody hammers a KVM guest, unless *more* says so: it has real races then."""
        hammers = (HAMMER,) if accel is Accel.TCG else ()
        return planned(accel, smp, **{"hammers": hammers, "number": self.first, **more})

    def trials(self, first: Trial, many: int, *, lost_every: int = 0) -> list[Trial]:
        """Return *many* trials like *first*; every so manieth of them loses an AP."""
        lost = [lost_every > 0 and (i + 1) % lost_every == 0 for i in range(many)]
        return [replace(first, number=first.number + i, inject_lost_ap=lost[i]) for i in range(many)]


class Booking(Coordinator):
    """Books each trial of a process-run as it comes."""

    def __init__(self, book: Callable[[TrialResult], None]) -> None:
        self._book = book

    def take(self, finished: Sequence[FinishedTrial]) -> bool:
        for each in finished:
            self._book(each.result)
        return True


def _nothing() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table. ``trials``: its size at scale 1; ``batch``: how many at a time; ``lanes``: how many batches
    at once on an unloaded host, ``lanes_loaded``: with the hogs; ``timed``: without them its latencies are to be
    reported, so nothing else may run; ``group``: with which other kinds it counts towards a false-alarm rate, and
    ``fault``: towards the faults of one kind (a row is one variant of it); ``beside``: the row of trials that come with
    its own; ``env``: what its QEMU needs; ``impossible``: why this host cannot do it."""

    name: str
    trials: int
    carry_out: Callable[[Batch], Awaitable[None]]
    accel: Accel
    group: str
    batch: int = 1
    lanes: int = 1
    lanes_loaded: int = LOADED
    timed: bool = False
    fault: str = ""
    load: Load = Load.SHARE
    beside: str = ""
    env: Callable[[], Mapping[str, str]] = _nothing
    impossible: str = ""

    def parts(self, scale: float, share: float) -> list[tuple[bool, int]]:
        """Return how many trials to run without and with hogs, as ``(loaded, trials)``, at least one in all."""
        wanted = max(1, round(self.trials * scale))
        with_hogs = {Load.NEVER: 0, Load.SHARE: round(wanted * share), Load.ALWAYS: wanted}[self.load]
        return [(loaded, many) for loaded, many in ((False, wanted - with_hogs), (True, with_hogs)) if many]

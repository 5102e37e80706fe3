"""How the evidence of each pair of builds grew over a run, in no more points than a picture needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from qstress.stats.tally import Tally

POINTS_MAX = 500


class Point(NamedTuple):
    """After ``blocks`` blocks and ``trials`` trials: log10 of E for "the candidate is better", one for each pair."""

    blocks: int
    trials: int
    log10s: tuple[float, ...]


@dataclass(slots=True)
class Trace:
    """A point after every ``stride`` blocks; with too many of them every second one is dropped.

    So the points depend on the blocks alone, not on when somebody looked or whether the run was interrupted.
    """

    stride: int = 1
    points: list[Point] = field(default_factory=list)

    def note(self, tally: Tally) -> None:
        """Take note of *tally*; to be called after each of its blocks."""
        if not tally.pairs or tally.blocks % self.stride:
            return
        self.points.append(now(tally))
        if len(self.points) > POINTS_MAX:
            self.stride *= 2
            self.points = [point for point in self.points if point.blocks % self.stride == 0]

    def dump(self) -> dict[str, object]:
        """Return this trace as values that JSON can hold."""
        return {"stride": self.stride, "points": self.points}

    @classmethod
    def load(cls, content: Mapping[str, Any]) -> Trace:
        """Return the trace that :meth:`dump` made *content* of.

        :raises ValueError, KeyError, TypeError: it is not that.
        """
        points = [Point(blocks, trials, tuple(log10s)) for blocks, trials, log10s in content["points"]]
        return cls(content["stride"], points)


def now(tally: Tally) -> Point:
    """Return the point at which *tally* stands."""
    log10s = tuple(tally.evidence_log10(*pair)[0] for pair in tally.pairs)
    return Point(tally.blocks, tally.trials, log10s)

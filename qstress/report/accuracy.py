"""How often a verdict is a false alarm: what ``make accuracy`` measured of this program, not of the run in a report.

``accuracy.json`` beside this module is what ``python -m tools.accuracy --into FILE --table --figures`` wrote. Nobody
types these figures in; the README quotes :func:`sentences`, and a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from qstress.report.wording import percent_up
from qstress.stats.intervals import upper_limit

#: What the bound is sure of.
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """So many ``alarms`` in ``n`` bring-ups of healthy guests of one firmware, of which ``loaded`` ran while the host
    was oversubscribed eightfold."""

    firmware: str
    alarms: int
    n: int
    loaded: int

    @property
    def upper(self) -> float:
        """The one-sided exact upper limit of the rate, as if bring-ups that shared a QEMU were independent."""
        return upper_limit(self.alarms, self.n, 1 - CONFIDENCE)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The false alarms of each firmware, the day of the measurement, and the revisions whose verdicts were judged."""

    false_alarms: tuple[FalseAlarms, ...]
    date: str
    revisions: tuple[str, ...]


def accuracy_from_json(text: str) -> Accuracy:
    """Return what ``accuracy.json`` holds.

    :raises ValueError: *text* is something else.
    """
    try:
        held = json.loads(text)
        alarms = tuple(FalseAlarms(**each) for each in held["false_alarms"])
        return Accuracy(alarms, held["date"], tuple(held["revisions"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no figures of make accuracy: {error}") from error


@cache
def measured() -> Accuracy:
    """Return the figures that came with this program."""
    return accuracy_from_json(resources.files("qstress.report").joinpath("accuracy.json").read_text())


def sentences(accuracy: Accuracy) -> Iterator[str]:
    """Yield the false-alarm rate of each firmware in words, and where the figures come from."""
    for each in accuracy.false_alarms:
        yield (
            f"{each.firmware}: {each.alarms:,} false alarms in {each.n:,} healthy bring-ups ({each.loaded:,} of them "
            f"with the host oversubscribed 8x), so at most {percent_up(each.upper)} % "
            f"({100 * CONFIDENCE:.0f} % upper bound)"
        )
    yield (
        f"measured by make accuracy on {accuracy.date}, on the host of docs/measured.md; on another host and under "
        "another firmware nothing is known"
    )

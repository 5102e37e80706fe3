"""What was said of trials whose truth is known, and how often that was right (pure)."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from qstress.model import FindingClass, Outcome, Verdict
from qstress.stats.intervals import upper_limit
from qstress.verdict.limits import quantile

_NUMBER = re.compile(r"\d+(\.\d+)?")


class Grade(StrEnum):
    """What a verdict is worth, given the truth."""

    RIGHT = "right"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # it claims nothing: no alarm and no answer


@dataclass(frozen=True, slots=True)
class Truth:
    """What may be said of a trial: one of these outcomes, with one of these classes, and this in title or signature.

    Without classes there is no fault: whoever claims a finding raises a false alarm.
    """

    outcomes: frozenset[Outcome]
    classes: frozenset[FindingClass] = frozenset()
    says: str = ""

    def grade(self, verdict: Verdict) -> Grade:
        """Compare *verdict* with the truth."""
        of_class = not self.classes or verdict.finding_class in self.classes
        if verdict.outcome in self.outcomes and of_class and self.says in f"{verdict.title} {verdict.signature}":
            return Grade.RIGHT
        return Grade.WRONG if verdict.outcome.counted else Grade.UNKNOWN


def truth(outcome: Outcome, finding_class: FindingClass | None = None, says: str = "") -> Truth:
    """Return the truth that has one name."""
    return Truth(frozenset({outcome}), frozenset({finding_class} if finding_class else ()), says)


HEALTHY = truth(Outcome.OK)
LOST_INIT = truth(Outcome.HANG, FindingClass.LOST_INIT)


@dataclass(slots=True)
class Row:
    """The trials of one kind, with or without load (``loaded``). Those without a fault count towards the false-alarm
    rate of ``group``, all of them towards what is said of ``fault``; ``took_s`` is how long its lanes were at it."""

    name: str
    group: str = ""
    fault: str = ""
    loaded: bool = False
    took_s: float = 0.0
    faultless: int = 0
    alarms: int = 0
    grades: Counter[Grade] = field(default_factory=Counter)
    not_right: Counter[str] = field(default_factory=Counter)
    found: Counter[FindingClass] = field(default_factory=Counter)
    detections_s: array[float] = field(default_factory=lambda: array("d"))

    @property
    def n(self) -> int:
        """How many trials were judged."""
        return self.grades.total()

    def add(self, true: Truth, verdict: Verdict, detection_s: float | None) -> Grade:
        """Take in one trial; *detection_s* counts from the guest's last sign of progress to the verdict."""
        grade = true.grade(verdict)
        self.grades[grade] += 1
        if not true.classes and grade is not Grade.UNKNOWN:
            self.faultless += 1
            self.alarms += verdict.outcome.finding
        if grade is not Grade.RIGHT:
            self.not_right[f"{grade}: {said(verdict)}"] += 1
        elif verdict.finding_class is not None:
            self.found[verdict.finding_class] += 1
            if detection_s is not None:
                self.detections_s.append(detection_s)
        return grade

    def empty(self) -> Row:
        """Return the same row without trials."""
        return Row(self.name, self.group, self.fault, self.loaded)

    def take(self, other: Row) -> None:
        """Take in all trials of *other*.

        :raises ValueError: it is a row of another name.
        """
        if self.name != other.name:
            raise ValueError(f"{other.name!r} is not {self.name!r}")
        self.took_s += other.took_s
        self.faultless += other.faultless
        self.alarms += other.alarms
        self.grades += other.grades
        self.not_right += other.not_right
        self.found += other.found
        self.detections_s += other.detections_s


def said(verdict: Verdict) -> str:
    """Return a verdict in a few words, the same for two that differ in numbers only."""
    return f"{verdict.finding_class or verdict.outcome}, {_NUMBER.sub('N', verdict.title)}"


HEAD = f"{'kind':<62}{'n':>8}{'right':>8}{'wrong':>7}{'unknown':>9}{'p50 s':>8}{'p99 s':>8}"


def line(row: Row) -> str:
    """Return *row* as one line of the table; below it what was rightly found, where that is not the same in all trials,
    and each kind of verdict that was not right."""
    times = [f"{quantile(row.detections_s, q):8.3f}" if row.detections_s else f"{'-':>8}" for q in (0.5, 0.99)]
    grades = row.grades
    first = f"{row.name:<62}{row.n:>8}{grades[Grade.RIGHT]:>8}{grades[Grade.WRONG]:>7}{grades[Grade.UNKNOWN]:>9}"
    found = row.found.most_common() if len(row.found) > 1 or row.faultless else []
    more = [f"    {n} x {what}" for what, n in [*found, *row.not_right.most_common()]]
    return "\n".join([first + "".join(times), *more])


def table(rows: Iterable[Row]) -> str:
    """Return all rows that hold anything, the false-alarm rate of each group of them, and what was said of each fault.

    The bound is the one-sided exact limit at 95 %, as if trials that shared a process were independent.
    """
    shown = [row for row in rows if row.n]
    lines = [HEAD, *map(line, shown), ""]
    for group in sorted({row.group for row in shown if row.faultless}):
        members = [row for row in shown if row.group == group]
        alarms, n = sum(row.alarms for row in members), sum(row.faultless for row in members)
        under_load = sum(row.faultless for row in members if row.loaded)
        lines.append(
            f"false alarms, {group}: {alarms}/{n} ({under_load} under 8x load), "
            f"upper 95 % bound {upper_limit(alarms, n, 0.05):.2g}"
        )
    for fault in dict.fromkeys(row.fault for row in shown if row.fault):
        grades = sum((row.grades for row in shown if row.fault == fault), Counter[Grade]())
        lines.append(f"{fault}: right {grades[Grade.RIGHT]}/{grades.total()}")
    found = sum(row.found.total() for row in shown)
    wrong = sum(row.grades[Grade.WRONG] for row in shown)
    lines.append(f"{sum(row.n for row in shown)} trials, {found} faults found, {wrong} wrong verdicts")
    return "\n".join(lines)


def left(rows: Iterable[tuple[Row, int]]) -> list[str]:
    """Return what is left to do: each row with the trials it is to hold, and how long the rest takes at its pace."""
    lines, total_s, unknown = [], 0.0, 0
    for row, wanted in rows:
        rest_s = row.took_s / row.n * (wanted - row.n) if row.n else 0.0
        total_s, unknown = total_s + rest_s, unknown + (not row.n)
        pace = f"{row.took_s / row.n:.3f} s each, {rest_s / 60:.1f} min left" if row.n else "never run"
        lines.append(f"{row.name:<62}{row.n:>8} of {wanted:<7}{pace}")
    return [*lines, f"left: {total_s / 60:.0f} min" + (f", and {unknown} that have never run" if unknown else "")]

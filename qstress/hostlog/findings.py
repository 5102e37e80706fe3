"""Reports counted by title and blamed on trials (pure)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qstress.hostlog.reports import MOST_S, KernelReport
from qstress.model import Confidence, FindingClass, Outcome, Verdict

#: A line can be read this much later than it was written, so a trial that ended within it may be the one.
LATE_S = 0.1
#: How many trials one title names at most.
MOST_TRIALS = 100


@dataclass(frozen=True, slots=True)
class Blame:
    """Which trials a report may come from, and how sure that is.

    ``CERTAIN``: it names a thread of one trial's QEMU. ``LIKELY``: it names threads of several, or only one trial was
    alive. ``INCONCLUSIVE``: several were alive and it names none of them, or none was alive: something else on this
    host may be the cause.
    """

    trials: tuple[int, ...]
    confidence: Confidence


class LiveTrials:
    """Which trials are alive. A trial that shares its QEMU with the one before begins when that ends."""

    def __init__(self) -> None:
        self._alive: dict[int, tuple[float, int]] = {}
        self._ended: deque[tuple[float, int, int]] = deque(maxlen=20_000)

    def begin(self, trial: int, pid: int, at_s: float) -> None:
        """Trial number *trial* begins on the QEMU *pid* at *at_s* (monotonic)."""
        self._alive[trial] = (at_s, pid)

    def end(self, trial: int, at_s: float) -> None:
        """It is over: its QEMU is gone, or goes on to the next trial."""
        _, pid = self._alive.pop(trial)
        self._ended.append((at_s, trial, pid))
        while self._ended[0][0] < at_s - 2 * MOST_S:  # no report under way began before that
            self._ended.popleft()

    def at(self, at_s: float) -> dict[int, int]:
        """Return the QEMU's process by trial, of those that were alive at *at_s* or shortly before."""
        late = {trial: pid for ended_s, trial, pid in self._ended if ended_s >= at_s - LATE_S}
        return late | {trial: pid for trial, (began_s, pid) in self._alive.items() if began_s <= at_s}


def blame_for(report: KernelReport, alive: Mapping[int, int], owners: Mapping[int, int]) -> Blame:
    """Return which trials *report* may come from.

    :param alive: process by trial, of the trials alive when it came.
    :param owners: process by thread, of the threads it names, as far as known.
    """
    named = {owners.get(task, task) for task in report.tasks}
    theirs = tuple(sorted(trial for trial, pid in alive.items() if pid in named))
    if theirs:
        certain = len({alive[trial] for trial in theirs}) == 1
        return Blame(theirs, Confidence.CERTAIN if certain else Confidence.LIKELY)
    one = len(set(alive.values())) == 1
    return Blame(tuple(sorted(alive)), Confidence.LIKELY if one else Confidence.INCONCLUSIVE)


@dataclass(slots=True)
class HostFinding:
    """All reports of one title. ``first`` is the first of them, whole; ``trials`` are those of all, at most
    :data:`MOST_TRIALS`; ``confidence`` is the best that any of them came with."""

    first: KernelReport
    blame: Blame
    count: int = 0
    host: str = ""  # whose kernel it was, of several

    @property
    def verdict(self) -> Verdict:
        """The finding as a verdict of its own; it says nothing of the guest, so it is no trial's outcome."""
        said = ", ".join(map(str, self.blame.trials)) or "none"
        title = self.first.title
        return Verdict(
            Outcome.UNKNOWN,
            f"host kernel: {title}",
            FindingClass.HOST_KERNEL,
            f"{FindingClass.HOST_KERNEL}/{title}",
            self.blame.confidence,
            (f"the host's kernel reported it {self.count} time(s); trials alive then: {said}", *self.first.lines[:3]),
        )


class HostFindings:
    """What the kernel of *host* (empty: there is no other) has said so far, by title in order of appearance."""

    def __init__(self, host: str = "") -> None:
        self._host = host
        self.by_title: dict[str, HostFinding] = {}

    def add(self, report: KernelReport, blamed: Blame) -> HostFinding:
        """Count *report*; return its finding, whose ``count`` is 1 when the title is new."""
        finding = self.by_title.setdefault(report.title, HostFinding(report, blamed, host=self._host))
        finding.count += 1
        trials = tuple(dict.fromkeys((*finding.blame.trials, *blamed.trials)))[:MOST_TRIALS]
        best = min(finding.blame.confidence, blamed.confidence, key=list(Confidence).index)
        finding.blame = Blame(trials, best)
        return finding


def reports_text(findings: Iterable[HostFinding]) -> str:
    """Return the first report of each title, whole, for a file in the run's folder."""
    parts = []
    for finding in findings:
        report, trials = finding.first, ", ".join(map(str, finding.blame.trials)) or "none"
        where = f"{finding.host}: " if finding.host else ""
        head = f"==== {where}{report.title} ({finding.count} times; trials: {trials}; {finding.blame.confidence}) ===="
        parts.append("\n".join([head, *report.lines, ""]))
    return "\n".join(parts)

"""Findings wait here to be made smaller: each is on disk already as it was found, so nothing is lost by waiting.

While a session lasts, making findings smaller takes a bounded share of its time, because it takes long and there is
nothing new to be found by it; what is left over is done at the end. A session that goes on takes up what is left.
"""

from __future__ import annotations

from collections.abc import Callable

from qstress.fuzz.findings import Findings, FuzzFinding
from qstress.fuzz.judge import oracle_of
from qstress.fuzz.recording import Recording
from qstress.fuzz.reduce import Reduced

#: The share of a session's time that reduction may take while it lasts.
SHARE = 0.4
NOT_YET = "not counted: no replay has shown it yet"
NEVER = "not counted: most replays did not show it again"


class ReductionQueue:
    """The findings of *findings* that were not made smaller yet.

    :param reduce: makes a recording smaller; None leaves all as they were found.
    :param say: told one line for each finding that is done.
    :param over: whether reduction was cut short: that finding goes on waiting then.
    """

    def __init__(
        self,
        findings: Findings,
        reduce: Callable[[Recording], Reduced] | None,
        say: Callable[[str], None],
        over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._findings, self._reduce, self._say, self._over = findings, reduce, say, over

    @property
    def waiting(self) -> list[FuzzFinding]:
        """What is left, oldest first."""
        return [finding for finding in self._findings.all if not finding.tried] if self._reduce else []

    def next(self) -> None:
        """Make the oldest one that waits smaller, and write that down.

        :raises RigError: the host refuses.
        """
        assert self._reduce is not None
        finding = self.waiting[0]
        recording = self._findings.recording(finding)
        reduced = self._reduce(recording)
        if self._over():
            return
        finding.shown, finding.tried, finding.sure = reduced.shown, reduced.tried, reduced.note
        doubtful = oracle_of(finding.kind).must_repeat and 2 * reduced.shown <= reduced.tried
        finding.note = NEVER if doubtful else ""
        if not reduced.shown:
            self._findings.save()
            return self._say(f"{finding.title} [{finding.folder}]: {reduced.note}, {finding.repeats}")
        finding.because = reduced.because
        self._findings.take_reduced(finding, reduced.recording)
        self._say(
            f"{finding.title} [{finding.folder}]: shown again {finding.repeats}, {finding.commands} command(s): "
            f"{finding.what[:200]}"
        )

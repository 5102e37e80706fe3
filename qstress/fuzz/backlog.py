"""Findings wait here to be made smaller: each is on disk already as it was found, so nothing is lost by waiting.

While a session lasts, making findings smaller takes a bounded share of its time, because it takes long and there is
nothing new to be found by it; what is left over is done at the end. A session that goes on takes up what is left.
"""

from __future__ import annotations

from collections.abc import Callable

from qstress.fuzz.findings import Finding, Findings
from qstress.fuzz.judge import Kind
from qstress.fuzz.recording import Recording
from qstress.fuzz.reduce import Shrunk

#: The share of a session's time that reduction may take while it lasts.
SHARE = 0.4
NOT_YET = "not counted: no replay has shown it yet"
NEVER = "not counted: most replays did not show it again"


class Backlog:
    """The findings of *findings* that were not made smaller yet.

    :param shrink: makes a recording smaller; None leaves all as they were found.
    :param say: told one line for each finding that is done.
    :param over: whether reduction was cut short: that finding goes on waiting then.
    """

    def __init__(
        self,
        findings: Findings,
        shrink: Callable[[Recording], Shrunk] | None,
        say: Callable[[str], None],
        over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._findings, self._shrink, self._say, self._over = findings, shrink, say, over

    @property
    def waiting(self) -> list[Finding]:
        """What is left, oldest first."""
        return [finding for finding in self._findings.all if not finding.tried] if self._shrink else []

    def next(self) -> None:
        """Make the oldest one that waits smaller, and write that down.

        :raises RigError: the host refuses.
        """
        assert self._shrink is not None
        finding = self.waiting[0]
        recording = self._findings.recording(finding)
        shrunk = self._shrink(recording)
        if self._over():
            return
        finding.shown, finding.tried, finding.sure = shrunk.shown, shrunk.tried, shrunk.note
        doubtful = counts_only_repeated(Kind(finding.kind)) and 2 * shrunk.shown <= shrunk.tried
        finding.note = NEVER if doubtful else ""
        if not shrunk.shown:
            self._findings.save()
            return self._say(f"{finding.title} [{finding.folder}]: {shrunk.note}, {finding.repeats}")
        finding.because = shrunk.because
        self._findings.smaller(finding, shrunk.recording)
        self._say(
            f"{finding.title} [{finding.folder}]: shown again {finding.repeats}, {finding.commands} command(s): "
            f"{finding.what[:200]}"
        )


def counts_only_repeated(kind: Kind) -> bool:
    """Whether a fault counts only once a replay has shown it again: jobs and guests change things by themselves."""
    return kind in (Kind.STATE, Kind.LEAK)

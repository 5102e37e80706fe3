"""What a judge who looks after each read makes of a console: for tests of what does not depend on the reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from qstress.firmware.smpscan_console import SmpscanSeries
from qstress.firmware.streams import BootReader
from qstress.model import Accel, Outcome, Verdict
from qstress.verdict.judge import Situation, assess
from qstress.verdict.limits import limits
from tests.samples import shape

_LIMITS = limits(shape(4, Accel.KVM))
#: A guest that was just started and has just printed something.
_NOW = Situation(
    now_s=100.0, started_s=99.9, expected=4, last_output_s=100.0, returncode=None, stderr="", resets=0,
    panicked=False, silent_since_s=None,
)  # fmt: skip


def pieces(text: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut *text*."""
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[start:end] for start, end in zip(edges, edges[1:], strict=False)]


def every_byte(text: bytes) -> Iterator[bytes]:
    """Cut *text* into single bytes."""
    return (text[i : i + 1] for i in range(len(text)))


def judged(
    log: BootReader, reads: Iterable[bytes], *, resets: int = 0, accounts_for_aps: bool = False
) -> Verdict | None:
    """Return the first verdict on a guest that runs, if there is one."""
    for data in reads:
        log.feed(data)
        verdict = assess(replace(_NOW, goes_on=not accounts_for_aps, resets=resets), log, _LIMITS)
        if isinstance(verdict, Verdict):
            return verdict
    return None


def judged_series(log: SmpscanSeries, reads: Iterable[bytes]) -> tuple[int, Verdict | None]:
    """Return how many bring-ups were healthy before the first verdict on another one, as ``trial.series`` judges."""
    healthy = 0
    for data in reads:
        log.feed(data)
        while log.over:
            over = log.over.popleft()
            if not isinstance(over, int):
                verdict = assess(_NOW, over, _LIMITS)
                assert isinstance(verdict, Verdict)
                if verdict.outcome is not Outcome.OK:
                    return healthy, verdict
                over = 1
            healthy += over
        verdict = assess(_NOW, log, _LIMITS)
        if isinstance(verdict, Verdict):
            return healthy, verdict
    return healthy, None

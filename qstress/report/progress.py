"""A run under way, as values: where it is, what it has found so far, how long it may still take."""

from __future__ import annotations

from dataclasses import dataclass

from qstress.report.wording import duration, evidence, rate
from qstress.stats.tally import Tally


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """The counted trials of one build so far: ``hangs`` (hang or restart) of ``n``, and all findings.

    ``dispersion`` widens the interval where trials share processes (:meth:`qstress.stats.tally.Tally.hang_dispersion`).
    """

    name: str
    hangs: int
    n: int
    findings: int
    dispersion: float | None = None


@dataclass(frozen=True, slots=True)
class RunProgress:
    """A run at one moment. ``trials`` are done (also those of open blocks, which no rate holds yet) of
    ``trials_planned``; ``left_s`` is a guess; ``evidence_log10`` is the weakest over all candidates.
    """

    elapsed_s: float
    trials: int
    trials_planned: int | None
    left_s: float | None
    share: float | None  # of the run, 0.0 to 1.0, by whichever stop rule is nearer
    builds: tuple[BuildProgress, ...]
    evidence_log10: float | None
    lanes: int
    running: int

    @property
    def trials_per_s(self) -> float:
        """Trials a second since the run began."""
        return self.trials / self.elapsed_s if self.elapsed_s > 0 else 0.0


def run_progress(
    tally: Tally,
    *,
    elapsed_s: float,
    trials: int,
    trials_planned: int | None = None,
    duration_s: float | None = None,
    lanes: int = 1,
    running: int = 0,
) -> RunProgress:
    """Return where a run is.

    :param trials: trials done, of *trials_planned* (None: no such stop rule).
    :param duration_s: the longest that the run may take, None without that rule.
    :param running: guests alive now.
    """
    shares, left = [], []
    if trials_planned:
        shares.append(trials / trials_planned)
        if trials:
            left.append(elapsed_s / trials * (trials_planned - trials))
    if duration_s:
        shares.append(elapsed_s / duration_s)
        left.append(duration_s - elapsed_s)
    builds = []
    for name in tally.builds:
        cells = tally.build(name)
        n, hangs, findings = (
            sum(counts) for counts in zip(*((c.n, c.hangs, c.found(None)) for c in cells), strict=True)
        )
        builds.append(BuildProgress(name, hangs, n, findings, tally.hang_dispersion(cells)))
    return RunProgress(
        elapsed_s=elapsed_s,
        trials=trials,
        trials_planned=trials_planned,
        left_s=max(0.0, min(left)) if left else None,
        share=min(1.0, max(shares)) if shares else None,
        builds=tuple(builds),
        evidence_log10=min((tally.evidence_log10(*pair)[0] for pair in tally.pairs), default=None),
        lanes=lanes,
        running=running,
    )


def plain_progress(now: RunProgress) -> str:
    """Return *now* as one line for a log."""
    of = "" if now.trials_planned is None else f"/{now.trials_planned}"
    parts = [f"{now.trials}{of} trials in {duration(now.elapsed_s)} ({now.trials_per_s:.3g}/s)"]
    parts += [f"{build.name} {hung_text(build)}" for build in now.builds]
    if now.evidence_log10 is not None:
        parts.append(f"evidence {evidence(now.evidence_log10)}")
    parts.append(f"{now.running} guests in {now.lanes} lanes")
    if now.left_s is not None:
        parts.append(f"about {duration(now.left_s)} left")
    return "; ".join(parts)


def hung_text(build: BuildProgress) -> str:
    """Return a build's rate so far, and what else it has found: ``5/41 (4.0-26.3 %) hung``."""
    others = build.findings - build.hangs
    more = f" + {others} other findings" if others else ""
    return f"{rate(build.hangs, build.n, dispersion=build.dispersion)} hung{more}"

"""The window log as a second witness: why an AP was lost or ran the firmware again, and how exposed it was."""

from __future__ import annotations

from dataclasses import replace

from qstress.interposer.windows import Log, causal_line, duty_cycle, init_bracket, replayed, until_replay_ended, windows
from qstress.model import Confidence, FindingClass, Verdict

#: Pictures that a replayed INIT can leave behind, besides its own.
_LEFT_BY_A_REPLAY = {
    FindingClass.BSP_SPIN: "and CPU#0 waits for ever",
    FindingClass.RESET_LOOP: "and the guest resets again and again",
}
_OF_THE_RACES = (FindingClass.LOST_INIT, FindingClass.REPLAYED_INIT)


def add_causes(verdict: Verdict, log: Log, *, smp: int, zero_ns: int) -> Verdict:
    """Return *verdict* with what the window log says of each AP added to its reasons.

    The log sees every read and write-back, so it has the last word on the two races. A boot CPU that waits for APs
    which do not stand at the reset vector, and a guest that resets again and again, can be the work of a replayed INIT
    whose AP has gone on from there: where the log shows one, that is the finding's class. And a lost or replayed INIT
    that a whole log does not show is no more than likely: something else leaves the same picture.

    A guest that resets itself may have gone on after a replay, and lost INITs in bring-ups that nobody judges: of those
    nothing is said.

    :param zero_ns: when the guest was told to run, CLOCK_MONOTONIC.
    """
    if not verdict.outcome.finding:
        return verdict
    verdict = _by_replay(verdict, replayed(log, zero_ns))
    told = until_replay_ended(log, zero_ns) if verdict.finding_class is FindingClass.REPLAYED_INIT else log
    lines = tuple(line for vcpu in range(1, smp) if (line := causal_line(told, vcpu, zero_ns)))
    whole = bool(log.records) and not log.torn and not log.overwritten
    if verdict.finding_class in _OF_THE_RACES and whole and not lines:
        lines = ("the window log is whole and shows neither a lost nor a replayed INIT",)
        verdict = replace(verdict, confidence=Confidence.LIKELY)
    return replace(verdict, because=verdict.because + lines)


def _by_replay(verdict: Verdict, aps: tuple[int, ...]) -> Verdict:
    if not aps or verdict.finding_class not in _LEFT_BY_A_REPLAY:
        return verdict
    names = ", ".join(f"CPU#{vcpu}" for vcpu in aps)
    then = _LEFT_BY_A_REPLAY[verdict.finding_class]
    return replace(
        verdict,
        title=f"replayed INIT: {names} ran the firmware from the reset vector, {then}",
        finding_class=FindingClass.REPLAYED_INIT,
        signature=verdict.signature.replace(verdict.finding_class, FindingClass.REPLAYED_INIT, 1),
    )


def duty_cycle_until_init(log: Log, *, zero_ns: int, end_ns: int) -> float | None:
    """Return D: the share of the time in which some AP was between reading and writing back, 0.0 to 1.0.

    Counted from *zero_ns* to the first sign of the INIT, or to *end_ns* where none shows; None without any record.
    """
    if not log.records:
        return None
    bracket = init_bracket(log, zero_ns)
    until_ns = bracket.upper_ns if bracket else end_ns
    return duty_cycle(windows(log), zero_ns, until_ns) if until_ns > zero_ns else None

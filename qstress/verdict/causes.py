"""The window log as a second witness: why an AP was lost or ran the firmware again, and how exposed it was."""

from __future__ import annotations

from dataclasses import replace

from qstress.model import FindingClass, Outcome, Verdict
from qstress.windows import Log, causal_line, init_bracket, replayed, timing


def explained(verdict: Verdict, log: Log, *, smp: int, zero_ns: int) -> Verdict:
    """Return *verdict* with what the window log says of each AP added to its reasons.

    A boot CPU that waits for APs which do not stand at the reset vector (``bsp-spin``) can be the work of a replayed
    INIT whose AP has gone on from there: where the log shows one, that is the finding's class.

    :param zero_ns: when the guest was told to run, CLOCK_MONOTONIC.
    """
    if not verdict.outcome.finding:
        return verdict
    lines = tuple(line for vcpu in range(1, smp) if (line := causal_line(log, vcpu, zero_ns)))
    if verdict.finding_class is FindingClass.BSP_SPIN and (aps := replayed(log, zero_ns)):
        names = ", ".join(f"CPU#{vcpu}" for vcpu in aps)
        verdict = replace(
            verdict,
            outcome=Outcome.HANG,
            title=f"replayed INIT: {names} ran the firmware from the reset vector, and CPU#0 waits for ever",
            finding_class=FindingClass.REPLAYED_INIT,
            signature=verdict.signature.replace(FindingClass.BSP_SPIN, FindingClass.REPLAYED_INIT, 1),
        )
    return replace(verdict, because=verdict.because + lines)


def duty_cycle(log: Log, *, zero_ns: int, end_ns: int) -> float | None:
    """Return D: the share of the time in which some AP was between reading and writing back, 0.0 to 1.0.

    Counted from *zero_ns* to the first sign of the INIT, or to *end_ns* where none shows; None without any record.
    """
    if not log.records:
        return None
    bracket = init_bracket(log, zero_ns)
    until_ns = bracket.upper_ns if bracket else end_ns
    return timing(log, zero_ns, until_ns).duty_cycle if until_ns > zero_ns else None

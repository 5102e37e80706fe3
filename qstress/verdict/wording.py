"""What was seen, in the words of a verdict's reasons."""

from __future__ import annotations

from collections.abc import Sequence

from qstress.model import Observation, ThreadUsage
from qstress.verdict.signature import state_word
from qstress.verdict.wait import ApWait

#: So many vCPUs are named one by one.
_NAMED = 8


def states(seen: Observation) -> str:
    """Return how many vCPUs are in which state: ``4 vCPUs: 1 reset-vector, 3 running``."""
    words = [state_word(vcpu) for vcpu in seen.vcpus]
    return f"{len(words)} vCPUs: " + ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words)))


def waits(wait: ApWait, sipi_sent: str) -> str:
    """Return what the boot CPU waits for, and what its APIC says that it sent (empty: no SIPI)."""
    sent = f"; its APIC sent a SIPI last (ICR {sipi_sent})" if sipi_sent else ""
    return f"CPU#0 is in its firmware's wait loop: it waits for {wait.expected} vCPUs and has {wait.found}{sent}"


def threads(usage: Sequence[ThreadUsage], when: str) -> str:
    """Return the CPU time of the first vCPUs' threads, and where those that sleep do so."""
    shares = ", ".join(
        f"CPU#{thread.index} {100 * thread.share:.0f} %{f' ({thread.wchan})' if len(thread.wchan) > 1 else ''}"
        for thread in usage[:_NAMED]
    )
    wall_s = usage[0].wall_s if usage else 0.0
    return f"CPU time in the {wall_s:.3f} s {when}: {shares}{', …' if len(usage) > _NAMED else ''}"

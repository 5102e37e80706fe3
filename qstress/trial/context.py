"""What a trial is given by its surroundings, what it gives back, and whom it tells what.

A :class:`TrialContext` and a :class:`FinishedTrial` are values that pickle, so that trials can run in other processes
and on other hosts. A :class:`Coordinator` stays where it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qstress.model import Evidence, FindingClass, StormCount, Trial, TrialResult, Verdict
from qstress.observe import usage
from qstress.verdict.limits import Learned

#: What two findings of a cell have in common when evidence of a few is enough.
EvidenceKind = tuple[FindingClass | None, str]


def evidence_kind(verdict: Verdict) -> EvidenceKind:
    """Return the class and the signature of a finding."""
    return verdict.finding_class, verdict.signature


@dataclass(frozen=True, slots=True)
class EvidenceQuota:
    """Of how many findings of each kind the evidence is worth making (None: of all), and of how many of one cell it
    was made so far."""

    most: int | None = None
    made: Mapping[EvidenceKind, int] = field(default_factory=dict)

    def wants(self, verdict: Verdict, made_since: Counter[EvidenceKind]) -> bool:
        """Whether the evidence of another finding is wanted, when so much of it was made since."""
        kind = evidence_kind(verdict)
        return self.most is None or self.made.get(kind, 0) + made_since[kind] < self.most


@dataclass(frozen=True, slots=True)
class TrialContext:
    """What a trial needs from its surroundings.

    On which lane it runs, when the run began (monotonic seconds) and what the CPUs had counted then, what the
    interposer adds to QEMU's environment, whether this QEMU has a sandbox. Of its cell: what healthy bring-ups were
    like, which classes it has shown in this run, and how much evidence is wanted. ``journals`` is a folder that gets
    the journal of every trial; empty: only findings have one, in their evidence.
    """

    lane: int = 0
    run_began_s: float = 0.0
    env: Mapping[str, str] | None = None
    sandbox: bool = True
    since: usage.CpuTimes = field(default_factory=usage.cpu_times)
    learned: Learned = field(default_factory=Learned)
    known: frozenset[FindingClass | None] = frozenset()
    evidence: EvidenceQuota = field(default_factory=EvidenceQuota)
    journals: str = ""


@dataclass(frozen=True, slots=True)
class HealthyBoot:
    """What one healthy bring-up was like: its longest silence and its time to all vCPUs up, in seconds, while the host
    was *slowness* times slower than idle."""

    silence_s: float
    boot_s: float
    slowness: float

    def added_to(self, learned: Learned) -> Learned:
        """Return *learned* with this one more."""
        return learned.and_then(self.silence_s, self.boot_s, slowness=self.slowness)


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """What comes back of a trial: its result, the evidence of a finding if that is wanted, and what there is to learn
    of a healthy bring-up in a process of its own."""

    result: TrialResult
    evidence: Evidence | None = None
    healthy: HealthyBoot | None = None


class Coordinator:
    """Whom a process-run tells of its trials. This one does not listen; a run overrides what it needs."""

    def began(self, trial: Trial, pid: int) -> None:
        """*trial* begins, now, on the QEMU with process id *pid*."""

    def ended(self, trial: Trial) -> None:
        """*trial* is over: its QEMU is gone, or goes on to the next trial."""

    def kicked(self, cell_index: int, count: StormCount) -> None:
        """*count* is what moved and kicked the vCPUs of one QEMU of that cell."""

    def take(self, finished: Sequence[FinishedTrial]) -> bool:
        """Keep what is finished before the next trial begins; return whether to go on.

        :raises RigError: it cannot be kept; the process-run ends with that.
        """
        return True

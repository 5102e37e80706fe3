"""A guest seen from its host alone, without a word to its monitor: does its boot CPU wait for an AP that never ran?

The picture of a lost INIT from outside: the boot CPU's thread never rests, and an AP's thread has been asleep in the
kernel all that time *waiting for its INIT*. The kernel says which: a vCPU that has run and halted waits in
``kvm_vcpu_halt``, one that was never started in ``kvm_vcpu_block`` without it (Linux since 5.17, "KVM: x86: Directly
block (instead of "halting") UNINITIALIZED vCPUs"). That state is the vCPU's own: it is right after a guest's reboot, a
pause and a migration, too. What the firmware does before it starts the APs looks the same and ends, so a picture must
last; time is counted in CPU seconds of the boot CPU, so that a busy host makes it no shorter.

Where the kernel does not say (TCG, an older kernel, no right to read it), a lasting picture is a suspicion only, and
the monitor may settle it: :mod:`qstress.host.watch`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise

from qstress.model import Confidence
from qstress.verdict.limits import ALONE_FACTOR, OUTSIDE_S
from qstress.verdict.vcpu import cpu_names

#: Looks closer together are not judged: the kernel adds a running thread's time at its ticks, once a second on a core
#: without them (nohz_full).
LEAST_GAP_S = 0.9
#: The boot CPU spins when it ran, or waited for a core, for this share of the time; or never gave its core away.
SPINNING_SHARE = 0.9
#: An AP whose thread used more has done more than to be kicked by someone's monitor.
KICKED_SHARE = 0.3
#: vCPUs made so much later than the one before are hot-plugged: an operating system may never start them.
HOT_PLUG_GAP_S = 0.25


class VcpuWait(StrEnum):
    """What the kernel says of a vCPU's thread."""

    FOR_INIT = "for its INIT"
    HALTED = "halted"
    NOT_TOLD = "not told"
    NOT_WAITING = "not waiting"


@dataclass(frozen=True, slots=True)
class ThreadLook:
    """One vCPU's thread: ``run_s`` and ``queued_s`` since it was made, ``rests``: how often it gave its core away."""

    run_s: float
    queued_s: float
    rests: int
    wait: VcpuWait
    made_s: float = 0.0


@dataclass(frozen=True, slots=True)
class GuestLook:
    """All vCPU threads of one guest at a moment (monotonic seconds), by vCPU index."""

    at_s: float
    threads: Mapping[int, ThreadLook]


class GuestState(StrEnum):
    """What a guest shows from outside: a closed set, and a metrics label."""

    OK = "ok"  # its boot CPU rests, or every AP has been started
    BOOTING = "booting"  # the boot CPU is busy and an AP was not started: so far as in any boot
    SUSPECT = "suspect"  # so for long, but whether the AP was started is not told
    HUNG = "hung"
    UNKNOWN = "unknown"  # its threads could not be looked at


@dataclass(frozen=True, slots=True)
class Seen:
    """The answer for one guest; ``spun_s``: CPU seconds of its boot CPU since the picture began; ``missing``: APs."""

    state: GuestState
    confidence: Confidence = Confidence.INCONCLUSIVE
    missing: tuple[int, ...] = ()
    spun_s: float = 0.0
    because: tuple[str, ...] = ()
    ask_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spell:
    """An unbroken time in which the boot CPU spun: its first and last look, how many there were, and in how many of
    them each AP waited for its INIT. ``halted``: APs that were seen halted, so they have run."""

    first: GuestLook
    last: GuestLook
    looks: int = 1
    for_init: Mapping[int, int] = field(default_factory=dict)
    halted: frozenset[int] = frozenset()

    @classmethod
    def beginning(cls, look: GuestLook) -> Spell:
        """Return a spell that holds one look."""
        return cls(look, look)._counting(look)

    def then(self, look: GuestLook) -> Spell:
        """Return this spell with one more look, or a new one that begins with *look* where the boot CPU rested, a vCPU
        came or went, or one that had run waits for its INIT again: the guest was reset."""
        reset = any(look.threads[i].wait is VcpuWait.FOR_INIT for i in self.halted & look.threads.keys())
        if reset or look.threads.keys() != self.last.threads.keys():
            return Spell.beginning(look)
        since = look.at_s - self.last.at_s
        if since < LEAST_GAP_S:
            return self
        spun = _spun(self.last, look, SPINNING_SHARE / 2) and _spun(self.first, look, SPINNING_SHARE / 2)
        return replace(self._counting(look), last=look, looks=self.looks + 1) if spun else Spell.beginning(look)

    def _counting(self, look: GuestLook) -> Spell:
        waits = {index: thread.wait for index, thread in look.threads.items() if index}
        told = {index: self.for_init.get(index, 0) + (wait is VcpuWait.FOR_INIT) for index, wait in waits.items()}
        halted = {index for index, wait in waits.items() if wait is VcpuWait.HALTED}
        return replace(self, for_init=told, halted=self.halted | halted)

    @property
    def spun_s(self) -> float:
        """CPU seconds of the boot CPU in it."""
        return self.last.threads[0].run_s - self.first.threads[0].run_s

    @property
    def asleep(self) -> tuple[int, ...]:
        """APs that were there from the start and did nothing, but for being kicked perhaps."""
        most_s = KICKED_SHARE * (self.last.at_s - self.first.at_s)
        used_s = {index: thread.run_s - self.first.threads[index].run_s for index, thread in self.last.threads.items()}
        return tuple(index for index in sorted(_from_the_start(self.last)) if index and used_s[index] < most_s)

    @property
    def never_started(self) -> tuple[int, ...]:
        """Those of which the kernel said, in most looks and never otherwise, that they wait for their INIT (a look may
        fall on a kick)."""
        return tuple(i for i in self.asleep if 2 * self.for_init.get(i, 0) > self.looks and i not in self.halted)

    @property
    def not_told(self) -> tuple[int, ...]:
        """Those of which the kernel does not say whether they wait for it."""
        return tuple(i for i in self.asleep if self.last.threads[i].wait is VcpuWait.NOT_TOLD)


def seen_from_outside(spell: Spell, *, patience_s: float = OUTSIDE_S) -> Seen:
    """Return what *spell* shows.

    :param patience_s: CPU seconds of the boot CPU before it is believed, times ``ALONE_FACTOR`` where no AP has come.
    """
    missing, untold, spun_s = spell.never_started, spell.not_told, spell.spun_s
    if spell.looks < 2 or not (missing or untold):
        return Seen(GuestState.OK)
    alone = not spell.halted
    lasting = spun_s >= patience_s * (ALONE_FACTOR if alone else 1.0)
    if not lasting or not _spun(spell.first, spell.last, SPINNING_SHARE):
        return Seen(GuestState.BOOTING, missing=missing, spun_s=spun_s)
    spins = f"CPU#0 has spun for {spun_s:.1f} s of CPU time without a rest"
    if not missing:
        because = (spins, f"{cpu_names(untold)} slept all that time; halted or never started, the kernel does not tell")
        return Seen(GuestState.SUSPECT, Confidence.INCONCLUSIVE, (), spun_s, because)
    came = (
        "none has been started so far: the firmware may still be busy with something else"
        if alone
        else f"{cpu_names(sorted(spell.halted))} ran and halted: the others were started"
    )
    waits = f"waiting in KVM for the first INIT, in {spell.looks} looks: {cpu_names(missing)}"
    confidence = Confidence.LIKELY if alone else Confidence.CERTAIN
    return Seen(GuestState.HUNG, confidence, missing, spun_s, (spins, waits, came))


def _from_the_start(look: GuestLook) -> Iterator[int]:
    """Yield the vCPUs that were made one right after the other."""
    by_age = sorted(look.threads, key=lambda index: look.threads[index].made_s)
    yield by_age[0]
    for before, index in pairwise(by_age):
        if look.threads[index].made_s - look.threads[before].made_s > HOT_PLUG_GAP_S:
            return
        yield index


def _spun(before: GuestLook, now: GuestLook, share: float) -> bool:
    """Whether the boot CPU's thread was busy between two looks, or at least never gave its core away."""
    first, last, wall_s = before.threads[0], now.threads[0], now.at_s - before.at_s
    ran_s = last.run_s - first.run_s
    busy_s = ran_s + last.queued_s - first.queued_s
    return busy_s >= share * wall_s or (ran_s > 0 and last.rests == first.rests)

"""How long to wait before doubting and before believing: every deadline of a trial, in one place.

A doubt that proves wrong costs a pause of the hammer and no more: the closer look decides, and what it sees (who
sleeps, who spins, whose code) needs no long wait. So deadlines are short. They scale with what makes a healthy boot
slow: the accelerator, the number of vCPUs, and how busy the host is; once a cell has enough healthy bring-ups of this
host behind it, these say how long one can be silent. Measured here, SeaBIOS, from ``cont`` to ``Found``, longest
silence of the console in brackets: TCG -smp 4 0.02 s (0.009), -smp 64 0.24 s (0.12); KVM -smp 4 0.28 s (0.10), -smp 64
1.2-2.7 s (1.5), -smp 255 14 s; one register dump of 255 vCPUs 2.1 s under TCG and 9.4 s under KVM
(docs/architecture.md, "Two witnesses"). smpscan says by itself that APs are missing, so silence matters there only when
it says nothing at all; and a look at it need not be longer on a busy host: that is mostly the hammer's own doing, which
rests by then (it had made these pauses four times as long), and a thread that does not get a core is seen and waited
for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qstress.firmware import firmware_of
from qstress.model import Accel, Confidence, FindingClass, Shape, Verdict

#: From so many healthy bring-ups on, they say what is late; only the last ones count, since hosts change.
ENOUGH, KEPT = 20, 200
#: A silence is doubtful when it is this many times the quantile of the healthy ones, and never when it is shorter than
#: the floor, in seconds on an idle host: about what one console line or one reply may be delayed by anything.
QUANTILE, FACTOR, QUIET_FLOOR_S = 0.99, 2.0, 0.1
#: A firmware that can be silent for long boots for so many of its silences longer.
BOOT_SILENCES = 15
#: The boot CPU is asked whether it waits for APs after this share of what would be a doubtful silence on an idle host.
ASK_SHARE = 0.5
#: A boot is slow from so many times that quantile on.
SLOW_FACTOR = 2.0
#: A likely verdict needs a silence of so many times what raised the doubt.
LIKELY_FACTOR = 6.0
#: A pause of a closer look grows to so many times its length while some vCPU's thread waits for a core.
MOST_GAPS = 20
#: A guest that is only seen from outside is believed hung after so many CPU seconds of its boot CPU: one INIT wakes all
#: APs, so one that sleeps on once another has come is late at once. Longer by that factor where none has come (smp 2:
#: always), since the firmware may still be busy with what comes before.
OUTSIDE_S, ALONE_FACTOR = 1.0, 3.0
#: A host is never taken for slower than this: at some point a deadline that waits for it finds nothing any more.
SLOWEST = 16.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines of one trial, in seconds.

    ``quiet_s``: this long without console output raises a doubt. ``settle_s``: pause after the hammer has stopped,
    in which any output clears the doubt. ``gap_s``: time between the two dumps that confirm. ``watch_s``: either goes
    on for up to so long while the thread of some vCPU waits for a core. ``reply_s``: a monitor silent for longer raises
    a doubt. ``boot_s``: a bring-up that still moves after this is given up as unknown. ``slow_s``: one that comes
    through later than this is called slow; None until healthy ones are known. ``ask_s``: after so long without output
    the boot CPU is asked whether it waits for APs, which disturbs nothing else, so that it is soon and not later on a
    busy host; and again after each ``ask_again_s``, where a firmware wakes its APs several times in one silence.
    """

    quiet_s: float
    settle_s: float
    gap_s: float
    watch_s: float
    reply_s: float
    boot_s: float
    slow_s: float | None = None
    ask_s: float = math.inf
    ask_again_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Learned:
    """How healthy bring-ups of one stratum went on this host: the longest silence of the console and the time to all
    vCPUs up, of each of the last :data:`KEPT`, as seconds on an idle host."""

    silences_s: tuple[float, ...] = ()
    boots_s: tuple[float, ...] = ()

    def and_then(self, silence_s: float, boot_s: float, *, slowness: float = 1.0) -> Learned:
        """Return this with one more healthy bring-up, made while the host was *slowness* times slower than idle."""
        return Learned((*self.silences_s, silence_s / slowness)[-KEPT:], (*self.boots_s, boot_s / slowness)[-KEPT:])

    @property
    def enough(self) -> bool:
        """Whether there are enough to tell what is late."""
        return len(self.silences_s) >= ENOUGH


@dataclass(frozen=True, slots=True)
class Load:
    """How busy this host is: ``runnable`` threads on ``cores`` CPUs, ``waiting`` the share of the last ten seconds in
    which some thread waited for a CPU (PSI ``some avg10``), ``stolen`` the share that a hypervisor took away."""

    cores: int = 1
    runnable: int = 0
    waiting: float = 0.0
    stolen: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.runnable} threads ran or wanted to on {self.cores} CPUs; some thread waited for a CPU "
            f"{100 * self.waiting:.0f} % of the time; {100 * self.stolen:.0f} % was stolen by a hypervisor"
        )


def slowness(load: Load) -> float:
    """Return how many times slower than idle a thread gets on under *load*, 1.0 to :data:`SLOWEST`.

    r runnable threads on c CPUs get c/r of one each. A single thread that waited a share s of its time was slowed by
    1/(1-s); PSI's ``some`` is that of all threads together, so no more than a factor of 4 is believed of it. It sees
    bursts that a count of threads misses. What is stolen slows everybody alike, and is counted, not guessed: on an
    emulated host on a busy machine it was 95 % (docs/background/emulated-hosts.md, "As qstress does it").
    """
    queue = load.runnable / max(1, load.cores)
    pressure = 1 / (1 - min(load.waiting, 0.75))
    stolen = 1 / (1 - min(load.stolen, 1 - 1 / SLOWEST))
    return min(SLOWEST, max(1.0, queue, pressure) * stolen)


def limits(shape: Shape, *, slowness: float = 1.0, learned: Learned | None = None) -> Limits:
    """Return the deadlines for guests of *shape*.

    :param slowness: how much slower this host is than an idle one, >= 1; multiplies what waits for the guest.
    :param learned: the healthy bring-ups of this stratum so far; without enough of them, what was measured elsewhere
        holds.
    """
    per_vcpu = shape.smp * slowness
    base_s, each_s = (0.3, 0.025) if shape.accel is Accel.KVM else (0.15, 0.005)
    kind = firmware_of(shape)
    quiet_s = (base_s + FACTOR * kind.silence_s) * slowness + each_s * per_vcpu
    boot_s = (30.0 + BOOT_SILENCES * kind.silence_s) * slowness + 0.5 * per_vcpu
    slow_s = None
    if learned is not None and learned.enough:
        quiet_s = max(QUIET_FLOOR_S, FACTOR * quantile(learned.silences_s, QUANTILE)) * slowness
        slow_s = SLOW_FACTOR * quantile(learned.boots_s, QUANTILE)
        boot_s = max(boot_s, 10 * slow_s * slowness)
    quiet_s, boot_s = max(quiet_s, kind.quiet_s * slowness), boot_s + kind.boot_s(shape) * slowness
    ask_s = ASK_SHARE * quiet_s / slowness if kind.asks_boot_cpu else math.inf
    look_s, patient = (0.01, 1.0) if kind.accounts_for_aps else (0.03, slowness)
    pause_s = look_s * patient + 0.0002 * shape.smp * patient
    return Limits(
        quiet_s=quiet_s,
        settle_s=pause_s,
        gap_s=pause_s,
        watch_s=MOST_GAPS * (look_s * slowness + 0.0002 * per_vcpu),
        reply_s=8.0 * slowness + 0.2 * per_vcpu,
        boot_s=boot_s,
        slow_s=slow_s,
        ask_s=ask_s,
        ask_again_s=ask_s if kind.silence_s else math.inf,
    )


def patience_s(verdict: Verdict, limits: Limits) -> float:
    """Return how long the console must have been silent before *verdict* is believed.

    A certain one stands at once. A likely one of a known picture needs a silence far beyond what raised the doubt. One
    that says no more than that nothing happens (SeaBIOS can be busy for half a minute and then boot) needs half of what
    a bring-up is given at all.
    """
    if verdict.confidence is Confidence.CERTAIN:
        return 0.0
    if verdict.finding_class in (FindingClass.HANG_OTHER, FindingClass.LIVELOCK, FindingClass.ALL_HALTED):
        return limits.boot_s / 2
    return LIKELY_FACTOR * limits.quiet_s


def quantile(samples: Sequence[float], q: float) -> float:
    """Return the q-quantile of *samples* by nearest rank.

    :param samples: at least one, in any order.
    :param q: fraction, above 0 and up to 1.
    """
    return sorted(samples)[math.ceil(q * len(samples)) - 1]

"""How long to wait before doubting and before believing: every deadline of a trial, in one place.

They scale with what makes a healthy boot slow: the accelerator and the number of vCPUs. Measured here, SeaBIOS, from
``cont`` to ``Found``, longest silence of the console in brackets: TCG -smp 4 0.02 s (0.009), -smp 64 0.24 s (0.12);
KVM -smp 4 0.28 s (0.10), -smp 64 1.2-2.7 s (1.5), -smp 255 14 s; one register dump of 255 vCPUs 2.1 s under TCG and
9.4 s under KVM (facts: qemu.md, design.md 4.6). A doubt that proves wrong costs a pause of the hammer and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

from qstress.model import Accel, Shape


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines of one trial, in seconds.

    ``quiet_s``: this long without console output raises a doubt. ``settle_s``: pause after the hammer has stopped,
    in which any output clears the doubt. ``gap_s``: time between the two dumps that confirm. ``reply_s``: a monitor
    silent for longer raises a doubt. ``boot_s``: a bring-up that still moves after this is given up as unknown.
    """

    quiet_s: float
    settle_s: float
    gap_s: float
    reply_s: float
    boot_s: float


def limits(shape: Shape, *, slowness: float = 1.0) -> Limits:
    """Return the deadlines for guests of *shape*.

    :param slowness: how much slower this host is than an idle one, >= 1; multiplies what waits for the guest.
    """
    per_vcpu = shape.smp * slowness
    base_s = (0.5 if shape.accel is Accel.KVM else 0.3) * slowness
    return Limits(
        quiet_s=base_s + 0.03 * per_vcpu,
        settle_s=0.25 * slowness + 0.02 * per_vcpu,
        gap_s=0.3 * slowness + 0.005 * per_vcpu,
        reply_s=8.0 * slowness + 0.2 * per_vcpu,
        boot_s=30.0 * slowness + 0.5 * per_vcpu,
    )

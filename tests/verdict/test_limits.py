from __future__ import annotations

import pytest

from qstress.model import Accel
from qstress.verdict.limits import limits
from tests.samples import shape


@pytest.mark.parametrize(
    ("smp", "accel", "longest_silence_s", "longest_reply_s"),
    [(4, Accel.TCG, 0.009, 0.01), (64, Accel.TCG, 0.12, 0.2), (4, Accel.KVM, 0.103, 0.02), (64, Accel.KVM, 1.54, 1.0),
     (255, Accel.KVM, 5.0, 9.4)],
)  # fmt: skip
def test_every_measured_healthy_boot_stays_below_its_deadlines(
    smp: int, accel: Accel, longest_silence_s: float, longest_reply_s: float
) -> None:
    deadlines = limits(shape(smp, accel))
    assert longest_silence_s < deadlines.quiet_s
    assert longest_reply_s < deadlines.reply_s


def test_deadlines_grow_with_vcpus_slowness_and_kvm() -> None:
    small, wide = limits(shape(1, Accel.KVM)), limits(shape(255, Accel.KVM))
    slow, tcg = limits(shape(1, Accel.KVM), slowness=4), limits(shape(1))
    for name in ("quiet_s", "settle_s", "gap_s", "reply_s", "boot_s"):
        assert getattr(small, name) < getattr(wide, name)
        assert getattr(small, name) < getattr(slow, name)
    assert tcg.quiet_s < small.quiet_s

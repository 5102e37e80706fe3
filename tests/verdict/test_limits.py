from __future__ import annotations

import math
import pickle
from dataclasses import fields, replace

import pytest

from qstress.model import Accel, Confidence, FindingClass, Outcome, Verdict
from qstress.verdict.limits import (
    ENOUGH,
    KEPT,
    QUIET_FLOOR_S,
    SLOWEST,
    Learned,
    Limits,
    Load,
    limits,
    patience_s,
    quantile,
    slowness,
)
from tests.samples import shape

KVM = shape(4, Accel.KVM)


def learned(silence_s: float, boot_s: float = 0.3, *, many: int = ENOUGH) -> Learned:
    return Learned((silence_s,) * many, (boot_s,) * many)


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
    for name in ("quiet_s", "settle_s", "gap_s", "watch_s", "reply_s", "boot_s"):
        assert getattr(small, name) < getattr(wide, name)
        assert getattr(small, name) < getattr(slow, name)
    assert tcg.quiet_s < small.quiet_s


def test_the_boot_cpu_is_asked_as_soon_on_a_busy_host_and_long_before_its_silence_is_doubtful() -> None:
    for known in (None, learned(0.2)):
        idle, busy = (limits(KVM, slowness=slowness, learned=known) for slowness in (1.0, 4.0))
        assert busy.ask_s == pytest.approx(idle.ask_s)
        assert 0.103 < idle.ask_s < idle.quiet_s < busy.quiet_s  # 0.103 s: the longest silence of a healthy boot
    for other in (replace(KVM, firmware="smpscan"), replace(KVM, observe="none")):
        assert limits(other).ask_s == math.inf


def test_smpscan_speaks_for_itself_and_is_looked_at_sooner() -> None:
    assert limits(replace(KVM, firmware="smpscan")).settle_s < limits(KVM).settle_s


def test_a_look_at_smpscan_is_longer_on_a_busy_host_only_where_a_thread_waits() -> None:
    idle, busy = (limits(replace(KVM, firmware="smpscan"), slowness=slowness) for slowness in (1.0, 4.0))
    assert (busy.settle_s, busy.gap_s) == (idle.settle_s, idle.gap_s)
    assert busy.watch_s == pytest.approx(4 * idle.watch_s)


def test_healthy_bringups_move_the_deadline_both_ways_once_there_are_enough() -> None:
    unlearned = limits(KVM)
    assert limits(KVM, learned=learned(0.01, many=ENOUGH - 1)) == unlearned
    assert limits(KVM, learned=learned(0.01)).quiet_s == QUIET_FLOOR_S < unlearned.quiet_s
    assert limits(KVM, learned=learned(2.0)).quiet_s > unlearned.quiet_s


def test_one_late_boot_in_a_hundred_does_not_set_the_deadline() -> None:
    usual = Learned((0.2,) * 199 + (9.0,), (0.5,) * 200)
    assert limits(KVM, learned=usual).quiet_s == pytest.approx(0.4)
    unusual = Learned((0.2,) * 190 + (9.0,) * 10, (0.5,) * 200)
    assert limits(KVM, learned=unusual).quiet_s == pytest.approx(18.0)


def test_what_was_learned_under_load_counts_as_on_an_idle_host() -> None:
    busy = Learned()
    for _ in range(ENOUGH):
        busy = busy.and_then(0.8, 2.0, slowness=4.0)
    assert limits(KVM, learned=busy).quiet_s == pytest.approx(0.4)
    assert limits(KVM, learned=busy, slowness=4.0).quiet_s == pytest.approx(1.6)


def test_only_the_last_ones_are_kept() -> None:
    seen = Learned()
    for i in range(KEPT + 5):
        seen = seen.and_then(float(i), 1.0)
    assert (len(seen.silences_s), seen.silences_s[0], len(seen.boots_s)) == (KEPT, 5.0, KEPT)


def test_slow_is_later_than_healthy_boots_whatever_the_load() -> None:
    assert limits(KVM).slow_s is None
    assert limits(KVM, learned=learned(0.1, 0.3), slowness=8.0).slow_s == pytest.approx(0.6)


def test_a_boot_that_takes_long_here_is_given_longer() -> None:
    assert limits(KVM, learned=learned(1.0, 30.0)).boot_s > limits(KVM).boot_s


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (Load(), 1.0),
        (Load(cores=2, runnable=1), 1.0),
        (Load(cores=2, runnable=16), 8.0),
        (Load(cores=2, waiting=0.5), 2.0),
        (Load(cores=2, waiting=1.0), 4.0),  # PSI alone is not believed beyond that
        (Load(cores=2, runnable=4, waiting=0.5), 2.0),  # two views of one thing
        (Load(cores=2, runnable=4, stolen=0.5), 4.0),
        (Load(cores=2, stolen=0.9), 10.0),
        (Load(cores=1, runnable=500), SLOWEST),
        (Load(cores=0, runnable=2), 2.0),
    ],
)
def test_load_becomes_one_number(load: Load, expected: float) -> None:
    assert slowness(load) == pytest.approx(expected)


def test_the_load_in_words() -> None:
    assert "16 threads ran or wanted to on 2 CPUs" in str(Load(cores=2, runnable=16, waiting=0.25))


def test_patience_depends_on_how_much_is_claimed() -> None:
    deadlines = Limits(1.0, 0.1, 0.1, 2.0, 8.0, 30.0)
    lost = Verdict(Outcome.HANG, "x", FindingClass.LOST_INIT, confidence=Confidence.CERTAIN)
    assert patience_s(lost, deadlines) == 0.0
    assert patience_s(replace(lost, confidence=Confidence.LIKELY), deadlines) == 6.0
    for kind in (FindingClass.HANG_OTHER, FindingClass.LIVELOCK, FindingClass.ALL_HALTED):
        assert patience_s(replace(lost, confidence=Confidence.LIKELY, finding_class=kind), deadlines) == 15.0


def test_quantiles_are_nearest_ranks() -> None:
    assert [quantile([3.0, 1.0, 2.0], q) for q in (0.01, 0.5, 0.99, 1.0)] == [1.0, 2.0, 3.0, 3.0]


def test_deadlines_are_values() -> None:
    deadlines = limits(KVM, learned=learned(0.1))
    assert pickle.loads(pickle.dumps(deadlines)) == deadlines
    names = ["quiet_s", "settle_s", "gap_s", "watch_s", "reply_s", "boot_s"]
    assert [field.name for field in fields(Limits)][:6] == names

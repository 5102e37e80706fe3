from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.model import VcpuState
from qstress.verdict.examination import LOOP_LOOKS, SPINS_ABOVE_S, starving, watched_enough
from tests.samples import at_reset, running, seen
from tests.verdict.examinations import HALTED, LOST_INIT, thread, threads


def test_lost_is_who_stands_at_the_reset_vector_twice() -> None:
    assert LOST_INIT.lost == (1,)
    came = replace(LOST_INIT, after=seen(running(0), running(1, HALTED, halted=True)))
    assert (came.lost, came.left_reset_vector, came.moved) == ((), (1,), True)
    assert not LOST_INIT.moved


def test_a_boot_cpu_at_the_reset_vector_has_sent_nothing() -> None:
    nothing_ran = seen(at_reset(0), at_reset(1))
    assert replace(LOST_INIT, before=nothing_ran).lost == ()
    assert replace(LOST_INIT, after=nothing_ran).lost == ()
    assert replace(LOST_INIT, after=seen()).lost == ()


def test_aps_are_paired_by_number_and_not_by_place() -> None:
    plugged = seen(running(0), at_reset(4), running(3, HALTED))
    assert [new.index for _, new in replace(LOST_INIT, after=plugged).aps] == [3]


@pytest.mark.parametrize(
    ("what", "asleep"),
    [
        (threads(0.9, 0), True),
        (threads(0.9, 0.01), False),  # it is runnable
        ((thread(1, 0.01, "S", "kvm_vcpu_block"),), True),  # a stray kick
        ((thread(1, 0.2, "S", "kvm_vcpu_block"),), False),
        ((thread(1, 0, "D", "kvm_vcpu_block"),), False),
        ((thread(1, 0, "S", "hrtimer_nanosleep"),), False),  # held by somebody, not waiting in KVM
        ((thread(1, 0, "S", "0"),), True),  # a kernel that does not tell
        ((thread(1, 0, "S", ""),), True),
        ((), False),  # not watched
    ],
)
def test_who_sleeps_where_a_vcpu_waits(what: tuple[object, ...], asleep: bool) -> None:
    assert replace(LOST_INIT, usage=what, quiet=()).asleep(1) is asleep  # type: ignore[arg-type]
    assert replace(LOST_INIT, quiet=what).slept_before(1) is asleep  # type: ignore[arg-type]


def test_sleeping_takes_both_times_and_the_accelerators_wait() -> None:
    assert not replace(LOST_INIT, quiet=threads(0.9, 0.9)).asleep(1)
    in_tcg = (thread(1, 0, "S", "futex_do_wait"),)
    assert not replace(LOST_INIT, usage=in_tcg).asleep(1)
    assert replace(LOST_INIT, usage=in_tcg, quiet=in_tcg, kvm=False).asleep(1)


def test_runnable_without_cpu_time_is_starved() -> None:
    assert starving(thread(1, 0.01, "R"))
    assert not starving(thread(1, 0.5, "R"))
    assert not starving(thread(1, 0.0, "S"))
    assert replace(LOST_INIT, usage=(thread(1, 0.0, "R"),)).starved(1)
    assert not LOST_INIT.starved(1)


def test_the_boot_cpu_spins_when_it_used_a_tick() -> None:
    assert LOST_INIT.spins
    assert not replace(LOST_INIT, usage=(thread(0, SPINS_ABOVE_S * 5, "R"),)).spins


def test_threads_are_watched_until_they_have_shown_what_they_do() -> None:
    assert watched_enough(threads(0.9, 0, 0))
    assert watched_enough(threads(0, 0))  # all sleep: nothing will come
    assert watched_enough((thread(0, 0.9, "R"), thread(1, 0.9, "R")))
    assert not watched_enough((thread(0, 0.001, "R"), thread(1, 0)))  # the boot CPU has not had its tick yet
    assert not watched_enough((thread(0, 0.9, "R"), thread(1, 0, "R")))  # this AP was just kicked


def looks(*eips: int) -> tuple[VcpuState, ...]:
    return tuple(running(0, eip) for eip in eips)


def test_how_far_apart_the_looks_at_the_boot_cpu_are() -> None:
    few = replace(LOST_INIT, boot_cpu=looks(0xEE2E1))
    assert few.boot_cpu_span is None
    assert replace(few, boot_cpu=looks(*[0xEE2E1] * LOOP_LOOKS)).boot_cpu_span == 0
    assert replace(few, boot_cpu=looks(*[0xEE2E1] * LOOP_LOOKS, 0xEE3E1)).boot_cpu_span == 256

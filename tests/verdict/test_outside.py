"""What a guest shows from outside: looks in, an answer out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from qstress.model import Confidence
from qstress.verdict.limits import ALONE_FACTOR, OUTSIDE_S
from qstress.verdict.outside import (
    HOT_PLUG_GAP_S,
    GuestLook,
    GuestState,
    Seen,
    Spell,
    ThreadLook,
    VcpuWait,
    seen_from_outside,
)

INIT, HALTED, AWAKE, UNTOLD = VcpuWait.FOR_INIT, VcpuWait.HALTED, VcpuWait.NOT_WAITING, VcpuWait.NOT_TOLD


def look(at_s: float, aps: Sequence[VcpuWait], *, share: float = 1.0, queued: float = 0.0, rests: int = 0) -> GuestLook:
    """A guest whose boot CPU has run, and been queued, for these shares of the time so far."""
    boot_cpu = ThreadLook(at_s * share, at_s * queued, rests, AWAKE)
    return GuestLook(at_s, {0: boot_cpu, **{i: ThreadLook(0.001, 0.0, 9, wait) for i, wait in enumerate(aps, 1)}})


def seen(looks: Sequence[GuestLook]) -> Seen:
    spell = Spell.beginning(looks[0])
    for each in looks[1:]:
        spell = spell.then(each)
    return seen_from_outside(spell)


def test_an_ap_that_sleeps_on_after_another_has_come_is_lost_within_two_seconds() -> None:
    answer = seen([look(at_s, (HALTED, INIT, HALTED)) for at_s in (0, 1, 2)])
    assert (answer.state, answer.confidence, answer.missing) == (GuestState.HUNG, Confidence.CERTAIN, (2,))
    assert answer.because[1] == "waiting in KVM for the first INIT, in 3 looks: CPU#2"
    assert "CPU#1, CPU#3 ran and halted" in answer.because[2]


def test_where_no_ap_has_come_it_takes_longer_and_is_likely_only() -> None:
    looks = [look(at_s, (INIT,)) for at_s in range(int(OUTSIDE_S * ALONE_FACTOR) + 1)]
    assert seen(looks[:-1]).state is GuestState.BOOTING
    answer = seen(looks)
    assert (answer.state, answer.confidence, answer.missing) == (GuestState.HUNG, Confidence.LIKELY, (1,))


def test_time_is_the_boot_cpus_own_on_a_busy_host() -> None:
    slow = [look(at_s, (HALTED, INIT), share=0.1, queued=0.9, rests=at_s) for at_s in range(12)]
    assert seen(slow[:10]).state is GuestState.BOOTING
    assert seen(slow).state is GuestState.HUNG


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([look(t, (INIT, INIT), share=0.1, rests=t) for t in range(30)], id="its boot CPU idles"),
        pytest.param([look(t, (HALTED, HALTED)) for t in range(30)], id="a boot loader polls the keyboard"),
        pytest.param([look(t, (AWAKE, AWAKE), share=0.0) for t in range(30)], id="paused"),
        pytest.param([look(t, (INIT, AWAKE)[t % 2 :][:1] * 2) for t in range(30)], id="woken, and not on a core"),
        pytest.param([look(0, (INIT, INIT)), *(look(t, (HALTED, HALTED)) for t in range(1, 30))], id="came late"),
        pytest.param([look(t, (INIT if t < 6 else HALTED,) * 2) for t in range(9)], id="came after a long wait"),
    ],
)
def test_what_is_no_hang(looks: Sequence[GuestLook]) -> None:
    assert seen(looks).state is GuestState.OK


def test_one_that_was_hot_plugged_later_is_the_operating_systems_own() -> None:
    looks = [look(t, (HALTED, INIT)) for t in range(30)]
    late = [
        replace(each, threads={**each.threads, 2: replace(each.threads[2], made_s=2 * HOT_PLUG_GAP_S)})
        for each in looks
    ]
    assert (seen(looks).state, seen(late).state) == (GuestState.HUNG, GuestState.OK)


def test_a_guest_that_someone_hammers_is_still_told() -> None:
    """Kicks cost each AP some time and may fall into a look; the boot CPU loses some."""
    looks = []
    for t in range(8):
        plain = look(t, (HALTED, AWAKE if t == 3 else INIT), share=0.93, rests=100 * t)
        kicked = {i: replace(each, run_s=0.1 * t) for i, each in plain.threads.items() if i}
        looks.append(replace(plain, threads={**plain.threads, **kicked}))
    assert seen(looks).state is GuestState.HUNG


def test_an_ap_at_work_is_not_missing() -> None:
    looks = [look(t, (HALTED, INIT)) for t in range(8)]
    busy = [
        replace(each, threads={**each.threads, 2: replace(each.threads[2], run_s=0.5 * t)})
        for t, each in enumerate(looks)
    ]
    assert seen(busy).state is GuestState.OK


def test_a_reset_begins_anew_and_its_loss_is_told() -> None:
    before = [look(t, (HALTED, HALTED)) for t in range(5)]
    after = [look(t, (HALTED, INIT)) for t in range(5, 9)]
    assert seen([*before, after[0]]).state is GuestState.OK
    assert seen([*before, *after]).missing == (2,)


def test_a_boot_cpu_that_never_rests_spins_whatever_its_share() -> None:
    """A core without ticks (nohz_full) adds a thread's time once a second; a quota leaves it a part of a core."""
    answer = seen([look(t, (HALTED, INIT), share=0.4) for t in range(5)])
    assert answer.state is GuestState.HUNG
    assert seen([look(t, (HALTED, INIT), share=0.4, rests=t) for t in range(5)]).state is GuestState.OK


def test_where_the_kernel_does_not_tell_it_is_a_suspicion() -> None:
    answer = seen([look(t, (UNTOLD, UNTOLD)) for t in range(5)])
    assert (answer.state, answer.confidence, answer.missing) == (GuestState.SUSPECT, Confidence.INCONCLUSIVE, ())
    assert "CPU#1, CPU#2 slept all that time" in answer.because[1]
    assert seen([look(t, (UNTOLD, UNTOLD)) for t in range(2)]).state is GuestState.BOOTING


def test_looks_too_close_together_and_another_set_of_vcpus() -> None:
    spell = Spell.beginning(look(1.0, (INIT,)))
    assert spell.then(look(1.5, (INIT,))) is spell
    assert spell.then(look(3.0, (INIT, INIT))).looks == 1
    assert seen_from_outside(spell) == Seen(GuestState.OK)

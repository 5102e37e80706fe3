from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.verdict.explain.picture import Dump, Look, Picture, Role, State, names, near, places

RESET = Look(1, eip=0xFFF0, eflags=2, halted=False, cs_selector=0xF000, cs_base=0xFFFF0000, cr0=0x60000010)
PARKED = Look(1, eip=0xFD09A, eflags=0x46, halted=True, cs_selector=8, cs_base=0, cr0=0x11)
LONG = Look(0, eip=0xFFFFFFFF81000000, eflags=0x246, halted=False, cs_base=0, cr0=0x80050033, long=True)


@pytest.mark.parametrize(
    ("look", "state"),
    [
        (RESET, State.RESET_VECTOR),
        (replace(RESET, halted=True), State.RESET_VECTOR),
        (replace(RESET, cs_base=None, cs_selector=None, cr0=None), State.RESET_VECTOR),
        (replace(RESET, cs_base=None, cs_selector=None, eflags=0x246), State.RUNNING),
        (replace(RESET, cs_base=0xF0000), State.RUNNING),
        (replace(RESET, long=True), State.RUNNING),
        (Look(1, eip=0xFFFFFFF0, halted=True, linear=True), State.RESET_VECTOR),
        (replace(RESET, eip=0, cs_selector=0x1000, cs_base=0x10000), State.SIPI_TAKEN),
        (replace(RESET, eip=0, cs_selector=0x1000, cs_base=0x10000, cr0=0x11), State.RUNNING),
        (replace(RESET, eip=0, cs_selector=0, cs_base=0), State.RUNNING),
        (PARKED, State.HALTED),
        (replace(PARKED, eflags=0x246), State.IDLE),
        (replace(PARKED, eflags=None), State.HALTED),
        (LONG, State.RUNNING),
        (replace(LONG, halted=None), State.UNKNOWN),
        (Look(2), State.UNKNOWN),
    ],
)
def test_states(look: Look, state: State) -> None:
    assert look.state is state


@pytest.mark.parametrize(
    ("look", "inside"),
    [
        (replace(PARKED, halted=False), True),
        (replace(PARKED, cs_base=None, cr0=None), True),
        (replace(PARKED, cr0=0x80000011), False),
        (replace(PARKED, eip=0x1FAB320), False),
        (replace(PARKED, eip=0xF09A, cs_base=0xF0000, cr0=0x10), False),
        (replace(PARKED, smm=True), False),
        (LONG, False),
    ],
)
def test_where_seabios_wakes_its_aps(look: Look, inside: bool) -> None:
    assert look.in_firmware is inside


def test_start_up_code_above_1_mib_takes_cr0_to_be_told() -> None:
    there = replace(PARKED, eip=0x1FAB320, halted=False)
    assert there.above_1m_unpaged
    assert not replace(there, cr0=None).above_1m_unpaged
    assert not replace(there, cr0=0x80000011).above_1m_unpaged
    assert not PARKED.above_1m_unpaged


def test_roles_need_a_number() -> None:
    assert (LONG.role, RESET.role, replace(LONG, numbered=False).role) == (Role.BSP, Role.AP, Role.UNKNOWN)


@pytest.mark.parametrize(
    ("look", "where"),
    [
        (RESET, ""),
        (PARKED, "in 32-bit firmware code"),
        (LONG, "in 64-bit code"),
        (replace(LONG, cpl=3), "in user code"),
        (replace(PARKED, smm=True), "in SMM"),
        (replace(PARKED, cr0=0x10, eip=0xB7B9, cs_base=0xF0000), "in real-mode firmware code"),
        (replace(PARKED, cr0=0x10, eip=0x7C00), "in real mode"),
        (replace(PARKED, cr0=0x80000011, eip=0xC0100000), "in 32-bit kernel code"),
        (replace(PARKED, eip=0x1FAB320), "in 32-bit code without paging"),
    ],
)
def test_the_kind_of_code(look: Look, where: str) -> None:
    assert look.where == where


def test_near_and_places_over_time() -> None:
    looks = tuple(replace(LONG, eip=eip) for eip in (0x1000, 0x1020, 0x5000))
    assert near(looks[:2])
    assert not near(looks)
    assert not near(())
    assert not near((*looks[:1], replace(LONG, eip=None)))
    assert [places(looks), places(looks[:2]), places(())] == [2, 1, 0]


def test_the_latest_look_at_each_vcpu() -> None:
    picture = Picture((Dump((LONG, RESET)), Dump((PARKED,))))
    assert picture.latest() == (LONG, PARKED)
    assert picture.history(1) == (RESET, PARKED)


def test_many_names_are_shortened() -> None:
    assert names([Look(1), Look(2)]) == "CPU#1, CPU#2"
    assert names(Look(i) for i in range(200)).endswith("CPU#6, … (200 in all)")
    assert names([Look(0, numbered=False)]) == "a vCPU without a number"

from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.model import VcpuState
from qstress.verdict.vcpu import (
    VcpuActivity,
    VcpuLook,
    VcpuRole,
    cpu_names,
    distinct_places,
    look_names,
    within_few_bytes,
)

RESET = VcpuLook(1, eip=0xFFF0, eflags=2, halted=False, cs_selector=0xF000, cs_base=0xFFFF0000, cr0=0x60000010)
PARKED = VcpuLook(1, eip=0xFD09A, eflags=0x46, halted=True, cs_selector=8, cs_base=0, cr0=0x11)
LONG = VcpuLook(0, eip=0xFFFFFFFF81000000, eflags=0x246, halted=False, cs_base=0, cr0=0x80050033, long=True)


@pytest.mark.parametrize(
    ("look", "state"),
    [
        (RESET, VcpuActivity.RESET_VECTOR),
        (replace(RESET, halted=True), VcpuActivity.RESET_VECTOR),
        (replace(RESET, cs_base=None, cs_selector=None, cr0=None), VcpuActivity.RESET_VECTOR),
        (replace(RESET, cs_base=None, cs_selector=None, eflags=0x246), VcpuActivity.RUNNING),
        (replace(RESET, cs_base=0xF0000), VcpuActivity.RUNNING),
        (replace(RESET, long=True), VcpuActivity.RUNNING),
        (VcpuLook(1, eip=0xFFFFFFF0, halted=True, linear=True), VcpuActivity.RESET_VECTOR),
        (replace(RESET, eip=0, cs_selector=0x1000, cs_base=0x10000), VcpuActivity.SIPI_TAKEN),
        (replace(RESET, eip=0, cs_selector=0x1000, cs_base=0x10000, cr0=0x11), VcpuActivity.RUNNING),
        (replace(RESET, eip=0, cs_selector=0, cs_base=0), VcpuActivity.RUNNING),
        (PARKED, VcpuActivity.HALTED),
        (replace(PARKED, eflags=0x246), VcpuActivity.IDLE),
        (replace(PARKED, eflags=None), VcpuActivity.HALTED),
        (LONG, VcpuActivity.RUNNING),
        (replace(LONG, halted=None), VcpuActivity.UNKNOWN),
        (VcpuLook(2), VcpuActivity.UNKNOWN),
    ],
)
def test_states(look: VcpuLook, state: VcpuActivity) -> None:
    assert look.activity is state


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
def test_where_seabios_wakes_its_aps(look: VcpuLook, inside: bool) -> None:
    assert look.in_firmware is inside


def test_start_up_code_above_1_mib_takes_cr0_to_be_told() -> None:
    there = replace(PARKED, eip=0x1FAB320, halted=False)
    assert there.above_1m_unpaged
    assert not replace(there, cr0=None).above_1m_unpaged
    assert not replace(there, cr0=0x80000011).above_1m_unpaged
    assert not PARKED.above_1m_unpaged


def test_roles_need_a_number() -> None:
    assert (LONG.role, RESET.role, replace(LONG, numbered=False).role) == (VcpuRole.BSP, VcpuRole.AP, VcpuRole.UNKNOWN)


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
def test_the_kind_of_code(look: VcpuLook, where: str) -> None:
    assert look.where == where


def test_near_and_distinct_places_over_time() -> None:
    looks = tuple(replace(LONG, eip=eip) for eip in (0x1000, 0x1020, 0x5000))
    assert within_few_bytes(looks[:2])
    assert not within_few_bytes(looks)
    assert not within_few_bytes(())
    assert not within_few_bytes((*looks[:1], replace(LONG, eip=None)))
    assert [distinct_places(looks), distinct_places(looks[:2]), distinct_places(())] == [2, 1, 0]


def test_many_names_are_shortened() -> None:
    assert look_names([VcpuLook(1), VcpuLook(2)]) == "CPU#1, CPU#2"
    assert look_names(VcpuLook(i) for i in range(200)).endswith("CPU#7, … (200 in all)")
    assert look_names([VcpuLook(0, numbered=False)]) == "a vCPU without a number"


def test_indices_are_named_alike() -> None:
    assert cpu_names([3]) == "CPU#3"
    assert cpu_names(range(1, 9)).endswith("CPU#7, CPU#8")
    assert cpu_names(range(1, 10)).endswith("CPU#8, … (9 in all)")


def test_a_parsed_state_is_the_same_picture() -> None:
    look = VcpuLook.of(VcpuState(1, 0xFFF0, 0xF000, 0xFFFF0000, halted=True, smm=False, interrupts=False))
    assert (look.index, look.activity, look.interrupts) == (1, VcpuActivity.RESET_VECTOR, False)
    parked = VcpuState(2, 0xFD09A, 8, 0, halted=True, smm=False, interrupts=True)
    look = VcpuLook.of(parked)
    assert (look.activity, look.linear_address) == (VcpuActivity.IDLE, parked.linear_address)


def test_a_vcpu_before_its_first_reset_is_in_no_state() -> None:
    look = VcpuLook(0, eip=0, eflags=0, halted=False, cs_selector=0, cs_base=0, cr0=0)
    assert (look.activity, look.where) == (VcpuActivity.UNKNOWN, "before its first reset")

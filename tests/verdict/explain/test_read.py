from __future__ import annotations

import pytest

from qstress.verdict.explain import read as module
from qstress.verdict.explain.picture import Picture
from qstress.verdict.explain.read import read_picture
from tests.verdict.explain_cases import damage as d
from tests.verdict.explain_cases.dumps import (
    REAL,
    Vcpu,
    info_cpus,
    kernel,
    libkvm,
    monitor,
    parked,
    qemu,
    reset,
    waiting,
)


def shown(picture: Picture) -> list[list[int]]:
    return [[look.index for look in dump.looks] for dump in picture.dumps]


def test_every_field_of_a_state() -> None:
    (look,) = read_picture(
        monitor(Vcpu(3, 0x9B3B, REAL, 0x246, True, 0x10, 2, True, registers={"BX": 0x1234}))
    ).latest()
    assert (look.index, look.numbered, look.eip, look.eip_text) == (3, True, 0x9B3B, "00009b3b")
    assert (look.eflags, look.halted, look.smm, look.cpl) == (0x246, True, True, 2)
    assert (look.cs_selector, look.cs_base, look.cr0, look.ebx) == (0xF000, 0xF0000, 0x10, 0x1234)
    assert (look.long, look.linear, look.whole, look.prints_code) == (False, False, True, False)


def test_a_number_that_comes_again_begins_a_dump() -> None:
    text = monitor(reset(0), reset(2), reset(1)) + "(qemu) info registers -a" + monitor(reset(0), parked(1))
    assert shown(read_picture(text)) == [[0, 1, 2], [0, 1]]


def test_states_without_a_number() -> None:
    one, other = qemu(waiting(expects=2), None), qemu(reset(0), None)
    assert shown(read_picture(one + other)) == [[0, 1]]
    assert read_picture(one + other).unnumbered == 2
    assert not read_picture(one + other).numbered
    asked = read_picture("".join(f"(qemu) info registers\n{state}" for state in (one, other)))
    assert (shown(asked), asked.unnumbered) == ([[0], [0]], 0)
    assert shown(read_picture("KVM internal error. Suberror: 1\n" + one + other)) == [[0, 1]]
    stray = read_picture(monitor(reset(0)) + one)
    assert shown(stray) == [[0, 1]]
    assert [look.numbered for look in stray.latest()] == [True, False]
    assert shown(read_picture(monitor(reset(0)) + other)) == [[0]]  # the same again without its number


def test_headers_of_other_tools_and_words_about_cpus() -> None:
    registers = qemu(reset(0), None)
    for header in ("CPU #5:", "info registers vcpu 5", "(qemu) cpu 5\n(qemu) info registers", "CPU Reset (CPU 5)"):
        assert shown(read_picture(f"{header}\n{registers}")) == [[5]], header
    assert not read_picture("Initializing CPU#5\n" + "masked ExtINT\n" * 20 + registers).numbered
    assert shown(read_picture("CPU#5\n......\nEIP=0000fff0 EFL=00000002 HLT=0\n")) == [[5]]


def test_copies_are_dropped_and_looks_are_not() -> None:
    dump = monitor(waiting(expects=2), reset(1))
    assert len(read_picture(dump + dump).dumps) == 1
    assert len(read_picture(dump + "They wrote at 10:15:00:\n" + d.quoted(dump)).dumps) == 1
    assert len(read_picture(dump + d.quoted(monitor(reset(1)))).dumps) == 1
    assert len(read_picture(d.quoted(dump) + "> 5 s later" + d.quoted(dump)).dumps) == 1
    assert len(read_picture(dump + "the same 5 seconds later" + dump).dumps) == 1
    assert len(read_picture(dump + monitor(waiting(0xEE2E7, expects=2), reset(1))).dumps) == 2


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("R12=0000000000000000", "R12=0000000000000001"),
        ("CR2=0000000000000000", "CR2=00007f5c3a20c3f1"),
        ("CR2=0000000000000000", "CR2=00000000"),
        ("RSI=0000000000000000", "RSI=0000"),
    ],
)
def test_a_register_that_moved_tells_two_looks_apart_and_a_part_of_one_does_not(name: str, now: str) -> None:
    dump = monitor(kernel(0, 0x1000))
    assert name in dump
    whole = len(now) == len(name)
    assert len(read_picture(dump + dump.replace(name, now)).dumps) == 1 + whole
    assert len(read_picture(dump + dump.replace("TR =0000 0000", "TR =0040 ffff")).dumps) == 1  # that does not move


def test_logged_states_count_where_there_is_nothing_else() -> None:
    logged = "     0: v=0e e=0002 i=0 cpl=0\n" + qemu(kernel(0, 0x101300), None, log=True)
    assert read_picture(logged).logged
    assert read_picture(logged * 2).copies == 0  # two exceptions, however alike
    both = read_picture(monitor(parked(0)) + logged)
    assert not both.logged
    assert [look.halted for look in both.latest()] == [True]


def test_old_layouts() -> None:
    (look,) = read_picture(libkvm(Vcpu(0, 0xFFF0, (0xF000, 0xFFFF0000), registers={"BX": 7}))).latest()
    assert (look.eip, look.cs_base, look.eflags, look.halted, look.ebx) == (0xFFF0, 0xFFFF0000, 2, None, 7)
    looks = read_picture(info_cpus(waiting(expects=2), reset(1, halted=True))).latest()
    assert [(look.linear_address, look.halted, look.linear) for look in looks] == [
        (0xEE2FB, False, True),
        (0xFFFFFFF0, True, True),
    ]
    assert not read_picture("* CPU #0: pc=0x00000000ffd04000 npc=0x00000000ffd04004\n").dumps
    assert not read_picture("* CPU #0: thread_id=77\n  CPU #1: thread_id=78\n").dumps


def test_memory_is_joined_across_lines_and_sizes() -> None:
    text = "0000000000001000: 0x01 0x02\n> 00001002: 0x06050403\nhost QEMU[1]: 0x00002000: 0xff\n"
    assert read_picture(text).memory == ((0x1000, b"\1\2\3\4\5\6"), (0x2000, b"\xff"))


def test_cuts_and_remnants() -> None:
    assert read_picture("CPU#0\n> ......\n").cut
    assert not read_picture("it took a while ...\n").cut
    assert read_picture("EAX=0000").remnants
    assert not read_picture("RIP = 0xfff0, EAX=%08x").remnants


def test_a_log_without_end_is_read_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_STATES", 3)
    picture = read_picture("".join(qemu(kernel(0, 0x1000 * i)) for i in range(10)))
    assert (len(picture.dumps), picture.left_out) == (3, 7)


def test_counted_lines_are_told_from_numbered_ones() -> None:
    line = "EIP=0000fff0 EFL=00000002 HLT={}\n"
    assert read_picture(f"  3 {line.format(0)}  1 {line.format(1)}").unnumbered == 4
    assert read_picture(f"  7 {line.format(0)}").unnumbered == 7
    assert read_picture(f"  7 {line.format(0)}  8 {line.format(1)}").unnumbered == 2
    assert read_picture(f"  4 {line.format(0)} 33 {line.format(1)} 62 {line.format(0)}").unnumbered == 3
    assert read_picture(f"Dec 1 host x[1]:   3 {line.format(0)}").unnumbered == 3
    assert read_picture(f"  3 {line.format(0)}{line.format(1)}").unnumbered == 2


def test_headers_in_a_row_are_of_no_state() -> None:
    assert read_picture("CPU#0\nCPU#1\nEIP=00001000 EFL=00000002 HLT=0\n").unnumbered == 0
    (look,) = read_picture("CPU#0\nCPU#1\nEIP=00001000 EFL=00000002 HLT=0\n").latest()
    assert not look.numbered
    (look,) = read_picture("CPU#0\n...\nCPU#1\nEIP=00001000 EFL=00000002 HLT=0\n").latest()
    assert (look.index, look.numbered) == (1, True)


def test_the_first_half_of_a_value_is_none() -> None:
    (look,) = read_picture("CPU#1\nRAX=0000000000000001\nRIP=ffffffff\nGS =0000 ffff8880").latest()
    assert (look.eip, look.cs_base) == (None, None)

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstress.model import Confidence
from qstress.verdict.explain.block import Block
from qstress.verdict.explain.dumps import picture_of
from qstress.verdict.explain.pasted import explain_text
from qstress.verdict.explain.picture import Picture
from qstress.verdict.explain.read import read_picture
from tests.verdict.explain_cases import damage as d
from tests.verdict.explain_cases.dumps import Vcpu, kernel, monitor, parked, post, qemu, reset, user, waiting

EIP = 0xEE2FB


def state(index: int | None, ip: int = EIP, begin: int = 0, **registers: int) -> Block:
    block = Block(index, begin, begin + 1, registers={"IP": ip, **registers})
    return block


def made(*blocks: Block, text: str = "", at_once: bool = False) -> Picture:
    for place, block in enumerate(blocks):  # each a letter of a text without a meaning
        block.begin, block.end = 2 * place, 2 * place + 1
    return picture_of(
        text or "".join(f"{chr(0x4E00 + place)} " for place in range(len(blocks))), blocks, at_once=at_once
    )


def indices(looks: Picture) -> list[list[int]]:
    return [[look.index for look in dump.looks] for dump in looks.dumps]


def test_a_dump_that_shows_nothing_new_is_a_copy() -> None:
    looks = made(state(0), state(1, 7), state(0), state(1, 7), state(1, 7))
    assert (indices(looks), looks.copies) == ([[0, 1]], 2)
    looks = made(state(0), state(1, 7), state(0, EIP + 6), state(1, 7))
    assert (indices(looks), looks.copies) == ([[0, 1], [0, 1]], 0)


def test_what_only_one_of_two_shows_does_not_tell_them_apart() -> None:
    looks = made(state(0, AX=1), state(0, BX=2), state(1))
    assert (indices(looks), looks.copies) == ([[0, 1]], 1)
    assert indices(made(state(0, AX=1), state(0, AX=2))) == [[0], [0]]
    halted, runs = state(0), state(0)
    halted.halted, runs.halted = True, False
    assert indices(made(halted, runs)) == [[0], [0]]


def test_the_fuller_of_two_copies_is_kept() -> None:
    full = state(0, BX=4)
    full._names.update(dict.fromkeys(("BX", "IP")))
    (dump,) = made(state(0), full).dumps
    assert dump.looks == (full.look(0),)
    assert dump.looks[0].ebx == 4


def test_states_without_a_number_are_of_unknown_vcpus() -> None:
    looks = made(state(None), state(None, 7), state(None, 7))
    assert (indices(looks), looks.unnumbered) == ([[0, 1, 2]], 3)
    assert made(state(None)).unnumbered == 0
    counted = state(None)
    counted.times = 4
    assert made(counted).unnumbered == 4
    assert made(state(None), state(None, 7), at_once=True).unnumbered == 0


def test_a_line_out_of_a_whole_dump_is_no_further_state() -> None:
    text = qemu(post(), None) + "Note its EIP=000e98b6 EFL=00000002 HLT=0.\n"
    assert read_picture(text).unnumbered == 0
    assert read_picture(text + "And EIP=000e98b7 EFL=00000002 HLT=0.\n").unnumbered == 2


def test_a_mention_of_a_numbered_state_is_no_further_vcpu() -> None:
    assert indices(made(state(0), state(1, 7), state(None, 7))) == [[0, 1]]
    assert indices(made(state(0), state(1, 7), state(None, 9))) == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("said", "interrupted"),
    [
        ("and ten seconds later", False),
        ("after a reboot", True),
        ("on another host", True),
        ("(qemu) system_reset", True),
        ("the second dump", False),
        ("I killed it and started the VM again", True),
        ("the second attempt", True),
    ],
)
def test_two_boots_are_not_one_history(said: str, interrupted: bool) -> None:
    blocks = [state(0), state(0, EIP + 6)]
    blocks[1].begin = 3 + len(said)
    assert picture_of(f"1 {said} 2", blocks, at_once=False).interrupted is interrupted


REGISTERS = st.integers(0, (1 << 32) - 1)
VCPUS: tuple[Callable[[int, int], Vcpu], ...] = (
    lambda index, _: reset(index),
    lambda index, _: parked(index),
    lambda index, value: kernel(index, 0xFFFFFFFF81000000 + value % 4096, halted=bool(value & 1), R12=value),
    lambda index, value: user(index, 0x7F5C00000000 + value),
    lambda index, value: Vcpu(index, value, eflags=2 | (value & 0x200), halted=bool(value & 4)),
)
BOOT_CPUS: tuple[Callable[[int, int], Vcpu], ...] = (
    lambda count, value: waiting(0xEE2E1 + value % 39, expects=count),
    lambda _, value: post(0xE0000 + value % 0x20000, value),
    *(lambda _, value, made=made: made(0, value) for made in VCPUS),
)


@st.composite
def dumps(draw: st.DrawFn) -> str:
    """A dump of one to five vCPUs, with a boot CPU that waits in every other one."""
    count = draw(st.integers(1, 5))
    boot_cpu = draw(st.sampled_from((BOOT_CPUS[0], *BOOT_CPUS)))(count, draw(REGISTERS))
    aps = [draw(st.sampled_from(VCPUS))(index, draw(REGISTERS)) for index in range(1, count)]
    return monitor(boot_cpu, *aps, fpu=draw(st.booleans()))


LAYOUTS: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    d.quoted,
    lambda text: d.quoted(text, 3),
    d.crlf,
    d.page,
    d.reply,
    d.telnet,
    d.asked,
    d.one_line,
    d.journal,
    d.quoted_printable,
    d.cut,
    lambda text: d.terminal(text, 80),
    lambda text: d.terminal(d.quoted(text), 80),
    lambda text: d.quoted(d.terminal(text, 71)),
    lambda text: d.quoted(d.wrapped(text, 60)),
    lambda text: "".join(f">\n{line}\n" for line in text.splitlines()),
    lambda text: "".join(f"    {line.upper().replace('CPU#', 'CPU #')}  \n" for line in text.splitlines()),
)
BETWEEN = (
    "", "\n", "info registers -a\n", "10 seconds later:\n", "again, at 10:15:01\n", "-----Original Message-----\n",
    "[quote]\n", "Comment 7, two minutes apart\n", '{"return": {}}\n', "# virsh qemu-monitor-command a --hmp x\n",
    "(qemu) info registers\n", "On Tue, 21 Nov 2023 at 10:15:01, joe wrote:\n", "second dump, after 5 minutes\n",
)  # fmt: skip


@given(dumps(), st.lists(st.tuples(st.sampled_from(BETWEEN), st.sampled_from(LAYOUTS)), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_no_number_of_copies_makes_anything_certain(dump: str, copies: list[tuple[str, Callable[[str], str]]]) -> None:
    text = "".join(said + layout(dump) for said, layout in copies)
    answer = explain_text(text.encode())
    assert answer.confidence is not Confidence.CERTAIN, text
    assert answer.ask_for
    if len(copies) > 1 and answer.verdict != "inconclusive":
        assert any("a copy, one look" in wish for wish in answer.ask_for), text

from __future__ import annotations

import re

from qstress.verdict.explain.block import Block
from qstress.verdict.explain.clean import cleaned
from qstress.verdict.explain.read import read_picture
from tests.verdict.explain_cases.dumps import monitor, parked, qemu

WHOLE = monitor(parked(1))


def whole(text: str) -> bool:
    return read_picture(cleaned(text.encode())).latest()[0].whole


def test_whole_is_each_line_once_and_in_order() -> None:
    assert whole(WHOLE)
    lines = WHOLE.splitlines(keepends=True)
    esi = next(i for i, line in enumerate(lines) if line.startswith("ESI="))
    assert not whole("".join(lines[:esi] + lines[esi + 1 :]))
    assert not whole("".join([*lines[:esi], lines[esi + 1], lines[esi], *lines[esi + 2 :]]))
    cs = next(i for i, line in enumerate(lines) if line.startswith("CS ="))
    assert not whole("".join([*lines[: cs + 1], lines[cs], *lines[cs + 1 :]]))
    assert not whole(WHOLE.replace("HLT=1", "HLT=?"))


def test_equal_texts_have_equal_keys_and_others_not() -> None:
    keys = [
        read_picture(text).latest()[0].key for text in (WHOLE, WHOLE, WHOLE.replace("ESP=00007000", "ESP=00007004"))
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_mention_is_no_state() -> None:
    token = re.compile("x").match("x")
    assert token is not None
    for index, name, counts in ((None, "IP", False), (None, "AX", False), (1, "AX", True), (1, "hlt", False)):
        block = Block(index, 0)
        block.saw(name, token)
        assert block.is_state is counts


def test_only_qemu_x86_prints_flags_beside_eip() -> None:
    assert not read_picture("RAX=0000000000000001 RIP=0000000030818053\n").dumps
    assert read_picture(qemu(parked(0), None).splitlines()[2]).dumps

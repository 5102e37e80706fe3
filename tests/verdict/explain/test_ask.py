from __future__ import annotations

from dataclasses import replace

from qstress.model import ThreadUsage
from qstress.verdict.explain.ask import ALL_VCPUS, RUN, SECOND_DUMP, STATUS, THREADS, code_around, to_collect
from qstress.verdict.explain.picture import Dump, Picture, Words
from qstress.verdict.vcpu import VcpuLook

ONE = Picture((Dump((VcpuLook(0), VcpuLook(1))),))


def test_nothing_is_asked_for_that_is_there() -> None:
    assert to_collect(ONE, SECOND_DUMP, STATUS, THREADS, STATUS) == (SECOND_DUMP, STATUS, THREADS)
    known = replace(ONE, words=Words(status="running"), usage=(ThreadUsage(0, 1, 0.0, 1.0, "S"),))
    assert to_collect(known, SECOND_DUMP, STATUS, THREADS) == (SECOND_DUMP,)


def test_numbers_and_the_boot_cpu_are_asked_for_first() -> None:
    assert to_collect(Picture((Dump((VcpuLook(1),)),)), STATUS) == (ALL_VCPUS, STATUS)
    assert to_collect(Picture((Dump((VcpuLook(0, numbered=False),)),)), STATUS) == (ALL_VCPUS, STATUS)
    assert to_collect(Picture(), STATUS) == (STATUS,)


def test_a_paused_guest_has_to_run_before_another_look_tells_more() -> None:
    assert to_collect(replace(ONE, words=Words(status="paused")), SECOND_DUMP) == (RUN,)


def test_the_code_around_eip() -> None:
    assert code_around(0xEE2FB, 39).startswith("'xp /78xb 0xee2d4'")
    assert code_around(7, 39).startswith("'xp /78xb 0x0'")

"""Each rule fires and does not; the whole pictures are in the collection."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qstress.model import Confidence, ThreadUsage
from qstress.verdict.explain.bringup import lost_init, remarks, replayed_init, waits_for_none
from qstress.verdict.explain.picture import Dump, DumpVerdict, Picture, Words
from qstress.verdict.vcpu import VcpuLook
from tests.verdict.explain_cases.bringup import LOOP

BSP = VcpuLook(0, eip=0xEE2FB, eflags=2, halted=False, cs_base=0, cr0=0x11, ebx=3, whole=True, key=1)
BSP_LATER = replace(BSP, eip=0xEE2E7, key=2)
LOST = VcpuLook(2, eip=0xFFF0, eflags=2, halted=True, cs_base=0xFFFF0000, cr0=0x60000010, whole=True)
UP = VcpuLook(1, eip=0xFD09A, eflags=0x46, halted=True, cs_base=0, cr0=0x11, whole=True)
ONCE = Picture((Dump((BSP, UP, LOST)),))
TWICE = Picture((Dump((BSP, UP, LOST)), Dump((BSP_LATER, UP, LOST))))
AT_THE_LOOP = ((0xEE2E1, LOOP),)


def bsp(picture: Picture, **change: object) -> Picture:
    """*picture* with a changed boot CPU in every dump."""
    dumps = (
        Dump(tuple(replace(look, **change) if look.index == 0 else look for look in dump.looks))  # type: ignore[arg-type]
        for dump in picture.dumps
    )
    return replace(picture, dumps=tuple(dumps))


def confidence(picture: Picture) -> tuple[str, str] | None:
    answer = lost_init(picture)
    return None if answer is None else (str(answer.verdict), str(answer.confidence))


@pytest.mark.parametrize(
    ("picture", "told"),
    [
        (ONCE, ("lost-init", "likely")),
        (TWICE, ("lost-init", "certain")),
        (bsp(ONCE, ebx=0), ("lost-init", "likely")),  # another AP came up
        (bsp(TWICE, ebx=0), ("lost-init", "likely")),  # it stays, but nothing says that it waits
        (bsp(TWICE, whole=False), ("lost-init", "likely")),
        (Picture((Dump((replace(BSP, ebx=0), UP, LOST)), TWICE.dumps[1])), ("lost-init", "likely")),
        (replace(bsp(TWICE, ebx=7), memory=AT_THE_LOOP), ("lost-init", "certain")),  # by its code
        (replace(TWICE, words=Words(status="paused")), ("lost-init", "likely")),
        (replace(ONCE, words=Words(status="paused")), ("inconclusive", "inconclusive")),
        (replace(TWICE, words=Words(found_cpus=True)), ("lost-init", "likely")),
        (bsp(ONCE, halted=True), None),
        (bsp(ONCE, eip=0x1FAB320), None),
        (bsp(ONCE, long=True), None),
        (bsp(ONCE, numbered=False), None),
        (Picture((Dump((BSP, UP)),)), None),
        (Picture((Dump((replace(BSP, ebx=0), LOST)),)), ("inconclusive", "inconclusive")),
        (Picture((Dump((BSP, UP, UP)), Dump((BSP, UP, LOST)))), ("lost-init", "likely")),  # not there at first
        (Picture((Dump((replace(BSP, halted=True), UP, LOST)), *bsp(ONCE, ebx=0).dumps)), None),  # idle in between
        (Picture((Dump((replace(BSP, eip=0xE9000), UP, LOST)), *bsp(ONCE, ebx=0).dumps)), None),  # it does other things
        (Picture((Dump((replace(BSP, eip=0xE9000), UP, LOST)), *ONCE.dumps)), None),  # so the 3 in EBX may be chance
        (
            Picture((Dump((replace(BSP, eip=0xE9000), UP, LOST)), *ONCE.dumps), memory=AT_THE_LOOP),
            ("lost-init", "likely"),
        ),
        (replace(bsp(TWICE, ebx=0), memory=((0xEE280, bytes(256)),)), None),  # what it does there is no wait
        (replace(TWICE, memory=((0xEE280, bytes(256)),)), None),  # whatever the 3 in EBX is
        (replace(bsp(TWICE, eip=0xF1020), memory=((0xF0F80, bytes(256)),)), ("lost-init", "certain")),  # smpscan's wait
        (replace(bsp(TWICE, ebx=0), memory=((0xEE2E1, bytes(40)),)), ("lost-init", "likely")),  # too little of it
        (replace(ONCE, memory=(*AT_THE_LOOP, (0xF5240, b"\3\0\0\0"))), None),  # all that it waits for are there
    ],
)
def test_a_lost_init(picture: Picture, told: tuple[str, str] | None) -> None:
    assert confidence(picture) == told


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ([(0, 1.0, "R"), (2, 0.0, "S")], "certain"),
        ([(0, 1.0, "R"), (2, 0.5, "S")], "likely"),
        ([(0, 1.0, "R"), (2, 0.0, "R")], "likely"),
        ([(0, 0.0, "S"), (2, 0.0, "S")], "likely"),
    ],
)
def test_thread_times_of_a_living_guest_can_speak_against_it(usage: list[tuple[int, float, str]], told: str) -> None:
    threads = tuple(ThreadUsage(index, 100 + index, cpu_s, 1.0, state) for index, cpu_s, state in usage)
    assert confidence(replace(TWICE, usage=threads)) == ("lost-init", told)


def test_a_count_may_be_larger_than_what_a_cut_text_shows() -> None:
    picture = Picture((Dump((replace(BSP, ebx=4), LOST)),))
    assert confidence(picture) == ("inconclusive", "inconclusive")
    assert confidence(replace(picture, cut=True)) == ("lost-init", "likely")
    assert confidence(replace(bsp(picture, ebx=0x10004), cut=True)) == ("inconclusive", "inconclusive")


def test_a_replayed_init_is_an_ap_in_start_up_code_while_the_boot_cpu_waits() -> None:
    stray = replace(UP, eip=0x1FAB320, halted=False)
    picture = Picture((Dump((replace(BSP, ebx=2), stray)),))
    answer = replayed_init(picture)
    assert answer is not None
    assert (answer.verdict, answer.confidence) == (DumpVerdict.REPLAYED_INIT, Confidence.LIKELY)
    assert replayed_init(bsp(picture, ebx=0)) is None
    assert replayed_init(Picture((Dump((replace(BSP, ebx=2), UP)),))) is None


def test_a_wait_for_nobody_takes_the_code() -> None:
    picture = Picture((Dump((BSP, UP)),), memory=AT_THE_LOOP)
    answer = waits_for_none(picture)
    assert answer is not None
    assert (answer.verdict, answer.confidence) == (DumpVerdict.SPINNING, Confidence.LIKELY)
    twice = waits_for_none(replace(picture, dumps=(*picture.dumps, Dump((BSP_LATER, UP)))))
    assert twice is not None
    assert twice.confidence is Confidence.CERTAIN
    assert waits_for_none(replace(picture, memory=())) is None
    assert waits_for_none(replace(picture, dumps=(Dump((BSP, UP, LOST)),))) is None


def test_remarks_on_aps_where_the_picture_is_another() -> None:
    assert "left the reset vector" in next(remarks(Picture((Dump((BSP, LOST)), Dump((BSP, replace(UP, index=2)))))))
    assert "hot-plugged" in next(remarks(Picture((Dump((replace(BSP, long=True), LOST)),))))
    assert list(remarks(Picture((Dump((BSP, UP)),)))) == []

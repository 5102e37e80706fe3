"""Stuck and healthy guests of OVMF: dumps of our own (``data/ovmf``, TCG, QEMU 7.2.22, one AP left out or sent to
the reset vector by the gdb stub), and what each rule needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qstress.verdict.explain.parked import lost_in_first_round, lost_in_later_round, replayed_in_flash
from qstress.verdict.explain.pasted import explain_text
from qstress.verdict.explain.picture import Dump, Explanation, Picture, Words
from qstress.verdict.vcpu import VcpuLook
from tests.firmware.test_ovmf_wait import PAGE, page

DATA = Path(__file__).parents[2] / "data" / "ovmf"
TEXTS = {
    path.stem: "busy" if path.stem.startswith("healthy") else "replayed-init" if "replay" in path.stem else "lost-init"
    for path in sorted(DATA.glob("*.txt"))
}
STAP = 0x50415453
BSP = VcpuLook(0, eip=0x7EC4591, eflags=2, halted=False, cs_base=0, cr0=0x80000033, eax=1, whole=True, key=1, long=True)
WAITS = replace(BSP, eax=STAP)
LOST = VcpuLook(2, eip=0xFFF0, eflags=2, halted=True, cs_base=0xFFFF0000, cr0=0x60000010, whole=True)
UP = VcpuLook(1, eip=0x7ECC301, eflags=0x46, halted=True, cs_base=0, cr0=0x80000033, whole=True, long=True)
ALSO_UP = replace(UP, index=2)
STRAY = replace(UP, index=2, eip=0xFFFCD004, halted=False, eflags=2)


def seen(*dumps: tuple[VcpuLook, ...], **more: object) -> Picture:
    return Picture(tuple(map(Dump, dumps)), **more)  # type: ignore[arg-type]


def told(answer: Explanation | None) -> tuple[str, str] | None:
    return None if answer is None else (str(answer.verdict), str(answer.confidence))


ONCE, TWICE = seen((BSP, UP, LOST)), seen((BSP, UP, LOST), (replace(BSP, eip=0x7EC43A3, key=2), UP, LOST))
LATER, LATER_TWICE = seen((WAITS, UP, ALSO_UP)), seen((WAITS, UP, ALSO_UP), (replace(WAITS, key=2), UP, ALSO_UP))
COUNTED = ((PAGE, page("X64, 2026.08", 1)),)
PAUSED = Words(status="paused")


def test_there_are_twelve_texts() -> None:
    assert len(TEXTS) == 12


@pytest.mark.parametrize("name", TEXTS)
def test_our_own_guests(name: str) -> None:
    answer = explain_text((DATA / f"{name}.txt").read_bytes())
    assert told(answer) == (TEXTS[name], "likely"), answer
    if name.startswith("later"):
        assert any("lost by QEMU, by KVM or to SMM" in reason for reason in answer.because)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (ONCE, ("lost-init", "likely")),
        (TWICE, ("lost-init", "likely")),  # one that was plugged in later stands so, too
        (replace(ONCE, memory=COUNTED), ("lost-init", "likely")),
        (replace(TWICE, memory=COUNTED), ("lost-init", "certain")),  # by its own count, twice
        (replace(seen((BSP, LOST)), memory=COUNTED), None),  # two CPUs, and two have come
        (seen((BSP, LOST)), None),  # nobody came: it may be on its way to wake them
        (replace(TWICE, memory=COUNTED, words=PAUSED), ("inconclusive", "inconclusive")),
        (replace(ONCE, words=Words(ran="BdsDxe: loading Boot0001")), None),
        (seen((replace(BSP, halted=True), UP, LOST)), None),
        (seen((replace(BSP, smm=True), UP, LOST)), None),
        (seen((replace(BSP, eip=0xFFFFFFFF81000000), UP, LOST)), None),  # a kernel
        (seen((BSP, replace(UP, eflags=0x246), LOST)), None),  # idle: a system runs
        (seen((BSP, UP, ALSO_UP), (BSP, UP, LOST)), None),  # it was not there at first
        (seen((BSP, UP, ALSO_UP)), None),
        (seen((UP, LOST)), None),
    ],
)
def test_lost_in_the_first_round(picture: Picture, expected: tuple[str, str] | None) -> None:
    assert told(lost_in_first_round(picture)) == expected


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (LATER, ("lost-init", "likely")),
        (LATER_TWICE, ("lost-init", "certain")),
        (replace(LATER_TWICE, words=PAUSED), ("inconclusive", "inconclusive")),
        (seen((BSP, UP, ALSO_UP)), None),
        (seen((WAITS, UP, replace(ALSO_UP, halted=False))), None),
        (seen((WAITS, UP, LOST)), None),
        (seen((BSP, UP, ALSO_UP), (WAITS, UP, ALSO_UP)), None),  # it has not waited all the time
        (seen((WAITS,)), None),
    ],
)
def test_lost_in_a_later_round(picture: Picture, expected: tuple[str, str] | None) -> None:
    assert told(lost_in_later_round(picture)) == expected


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (seen((BSP, UP, STRAY)), ("replayed-init", "likely")),
        (seen((BSP, UP, replace(STRAY, halted=True))), None),
        (seen((replace(BSP, eip=0xFFFCD004), UP, STRAY)), None),  # all in flash: something else
        (ONCE, None),
    ],
)
def test_replayed(picture: Picture, expected: tuple[str, str] | None) -> None:
    assert told(replayed_in_flash(picture)) == expected


def test_what_is_missing_is_asked_for() -> None:
    answer = lost_in_first_round(ONCE)
    assert answer is not None
    assert any("info lapic" in wish for wish in answer.ask_for)
    counted = lost_in_first_round(replace(ONCE, memory=COUNTED))
    assert counted is not None
    assert not any("info lapic" in wish for wish in counted.ask_for)
    assert any("of 3 CPUs it has 2, by its own count" in reason for reason in counted.because)

from __future__ import annotations

from qstress.verdict.explain.picture import Dump, Picture
from qstress.verdict.vcpu import VcpuLook

BOOT_CPU, WAITS, PARKED = VcpuLook(0, eip=1), VcpuLook(1, eip=2), VcpuLook(1, eip=3)


def test_a_dump_is_asked_for_a_vcpu_by_its_number() -> None:
    dump = Dump((BOOT_CPU, WAITS, VcpuLook(7)))
    assert [dump.of(index) for index in (0, 1, 7)] == list(dump.looks)
    assert [dump.of(index) for index in (2, 8)] == [None, None]
    assert Dump(()).of(0) is None


def test_the_latest_look_at_each_vcpu() -> None:
    picture = Picture((Dump((BOOT_CPU, WAITS)), Dump((PARKED,))))
    assert picture.latest() == (BOOT_CPU, PARKED)
    assert picture.history(1) == (WAITS, PARKED)

from __future__ import annotations

from qstress.firmware.dumps_only import DumpsOnlyBoot
from qstress.model import Milestone, VcpuState
from tests.samples import at_reset, running, seen

UP = [running(index, 0xFD09A, halted=True) for index in (1, 2, 3)]
BSP = running(0)


def milestone(polled: DumpsOnlyBoot) -> Milestone:
    return polled.milestone


def boot(*dumps: list[VcpuState]) -> DumpsOnlyBoot:
    polled = DumpsOnlyBoot(4)
    for vcpus in dumps:
        polled.saw(seen(*vcpus))
    return polled


def test_a_boot_comes_further_as_its_vcpus_leave_the_reset_vector() -> None:
    polled = DumpsOnlyBoot(4)
    waiting = [at_reset(index) for index in range(4)]
    assert not polled.saw(seen(*waiting))
    assert milestone(polled) is Milestone.START
    assert polled.saw(seen(BSP, *waiting[1:]))
    assert milestone(polled) is Milestone.BANNER
    assert polled.saw(seen(BSP, UP[0], *waiting[2:]))
    assert (polled.milestone, polled.checkins, polled.found) == (Milestone.CHECKIN, 1, None)
    assert polled.last_line == "1 of 3 APs seen away from the reset vector"


def test_all_are_found_when_two_dumps_show_every_ap_halted_elsewhere() -> None:
    assert boot([BSP, *UP]).found is None
    assert boot([BSP, *UP], [BSP, *UP]).found == 4
    assert boot([BSP, *UP], [BSP, running(1), *UP[1:]], [BSP, *UP]).found is None
    assert boot([BSP, *UP[1:]], [BSP, *UP[1:]]).found is None  # an AP that no dump shows


def test_under_tcg_an_ap_that_waits_is_halted_and_not_up() -> None:
    waiting = [BSP, *UP[:2], at_reset(3, halted=True)]
    assert boot(waiting, waiting, waiting).found is None


def test_an_ap_that_goes_back_to_the_reset_vector_is_a_restart() -> None:
    polled = boot([BSP, *UP], [BSP, at_reset(1), *UP[1:]])
    assert polled.restart_signs == ("CPU#1 went back to the reset vector",)
    assert not polled.clean
    assert boot([BSP, *UP]).restart_signs == ()


def test_a_lone_boot_cpu_is_up_when_it_runs() -> None:
    polled = DumpsOnlyBoot(1)
    polled.saw(seen(BSP))
    polled.saw(seen(BSP))
    assert polled.found == 1

from __future__ import annotations

from qstress.firmware.dumps_only import DumpsOnlyBoot
from qstress.model import Milestone, VcpuState
from tests.samples import at_reset, running, seen

UP = [running(index, 0xFD09A, halted=True) for index in (1, 2, 3)]
BSP = running(0)


def milestone(log: DumpsOnlyBoot) -> Milestone:
    return log.milestone


def boot(*dumps: list[VcpuState]) -> DumpsOnlyBoot:
    log = DumpsOnlyBoot(4)
    for vcpus in dumps:
        log.saw(seen(*vcpus))
    return log


def test_a_boot_comes_further_as_its_vcpus_leave_the_reset_vector() -> None:
    log = DumpsOnlyBoot(4)
    waiting = [at_reset(index) for index in range(4)]
    assert not log.saw(seen(*waiting))
    assert milestone(log) is Milestone.START
    assert log.saw(seen(BSP, *waiting[1:]))
    assert milestone(log) is Milestone.BANNER
    assert log.saw(seen(BSP, UP[0], *waiting[2:]))
    assert (log.milestone, log.checkins, log.found) == (Milestone.CHECKIN, 1, None)
    assert log.last_line == "1 of 3 APs seen away from the reset vector"


def test_all_are_found_when_two_dumps_show_every_ap_halted_elsewhere() -> None:
    assert boot([BSP, *UP]).found is None
    assert boot([BSP, *UP], [BSP, *UP]).found == 4
    assert boot([BSP, *UP], [BSP, running(1), *UP[1:]], [BSP, *UP]).found is None
    assert boot([BSP, *UP[1:]], [BSP, *UP[1:]]).found is None  # an AP that no dump shows


def test_under_tcg_an_ap_that_waits_is_halted_and_not_up() -> None:
    waiting = [BSP, *UP[:2], at_reset(3, halted=True)]
    assert boot(waiting, waiting, waiting).found is None


def test_an_ap_that_goes_back_to_the_reset_vector_is_a_restart() -> None:
    log = boot([BSP, *UP], [BSP, at_reset(1), *UP[1:]])
    assert log.restart_signs == ("CPU#1 went back to the reset vector",)
    assert not log.clean
    assert boot([BSP, *UP]).restart_signs == ()


def test_a_lone_boot_cpu_is_up_when_it_runs() -> None:
    log = DumpsOnlyBoot(1)
    log.saw(seen(BSP))
    log.saw(seen(BSP))
    assert log.found == 1

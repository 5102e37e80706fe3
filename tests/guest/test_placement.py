from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from qstress.errors import RigError
from qstress.guest.placement import apply_placement, cores_for_lane


def test_lanes_take_pairs_of_cores_in_turn() -> None:
    assert cores_for_lane(0, [0, 1]) == (0, (1,))
    assert cores_for_lane(1, [0, 1]) == (0, (1,))
    assert [cores_for_lane(lane, [2, 3, 6, 7, 9])[0] for lane in range(3)] == [2, 6, 2]


def test_one_core_is_refused_with_the_remedy() -> None:
    with pytest.raises(RigError, match="placement: none"):
        cores_for_lane(0, [0])


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_the_boot_cpu_gets_a_core_of_its_own_and_the_others_idle() -> None:
    boot_cpu, other = (subprocess.Popen(["sleep", "1000"]) for _ in "ab")
    try:
        apply_placement("bsp-alone", other.pid, {0: boot_cpu.pid, 1: other.pid, 2: 2**22 - 1}, lane=0)
        assert os.sched_getaffinity(boot_cpu.pid).isdisjoint(os.sched_getaffinity(other.pid))
        assert os.sched_getscheduler(other.pid) == os.SCHED_IDLE
        assert os.sched_getscheduler(boot_cpu.pid) == os.SCHED_OTHER
        apply_placement("spread", other.pid, {3: boot_cpu.pid, 0: other.pid, 2: 2**22 - 1}, lane=0)
        assert len(os.sched_getaffinity(boot_cpu.pid)) == len(os.sched_getaffinity(other.pid)) == 1
        assert os.sched_getaffinity(boot_cpu.pid) != os.sched_getaffinity(other.pid)
    finally:
        for process in (boot_cpu, other):
            process.kill()
            process.wait()
    assert not Path(f"/proc/{other.pid}").exists()

"""Where a guest's threads run: tier T1 amplifiers.

``bsp-alone``: the boot CPU has a core to itself; all other threads of QEMU share the rest, the APs as ``SCHED_IDLE``.
Measured with SeaBIOS at -smp 4 on 2 cores: 38 of 40 boots lose an INIT (docs/background/race.md, "What raises the
yield"): an AP that is between reading and writing back its state is preempted there for long. ``spread``: vCPU n on the
n-th core in turn, the rest anywhere. The process ends with its trials, so nothing is put back.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from qstress.errors import RigError


def cores_for_lane(lane: int, allowed: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """Return the core of the boot CPU and the cores of everything else for lane number *lane*.

    Lanes take pairs of cores in turn, so that boot CPUs of neighbouring lanes do not share one.

    :raises RigError: fewer than two cores are allowed.
    """
    if len(allowed) < 2:
        raise RigError("placement bsp-alone needs two cores; use placement: none", reason="placement")
    pairs = len(allowed) // 2
    first = 2 * (lane % pairs)
    return allowed[first], (allowed[first + 1],)


def apply_placement(placement: str, pid: int, vcpu_threads: Mapping[int, int], lane: int) -> None:
    """Place the threads of the QEMU *pid* as *placement* (``bsp-alone`` or ``spread``) says.

    Threads that ended meanwhile are passed over.

    :param vcpu_threads: thread id by vCPU index.
    :raises RigError: the host refuses, or has one core only.
    """
    allowed = sorted(os.sched_getaffinity(0))
    try:
        if placement == "spread":
            for index, tid in vcpu_threads.items():
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(tid, (allowed[index % len(allowed)],))
        else:
            _bsp_alone(pid, vcpu_threads, *cores_for_lane(lane, allowed))
    except OSError as error:
        raise RigError(f"cannot place the guest's threads: {error}; use placement: none", reason="placement") from error


def _bsp_alone(pid: int, vcpu_threads: Mapping[int, int], bsp_core: int, other_cores: tuple[int, ...]) -> None:
    for name in os.listdir(f"/proc/{pid}/task"):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(name), other_cores)
    for index, tid in vcpu_threads.items():
        with suppress(ProcessLookupError):
            if index == 0:
                os.sched_setaffinity(tid, (bsp_core,))
            else:
                os.sched_setscheduler(tid, os.SCHED_IDLE, os.sched_param(0))

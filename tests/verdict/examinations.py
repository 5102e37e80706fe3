"""Made-up looks at guests that stand still, for the tests of ``hang``; real ones are in tests/live."""

from __future__ import annotations

from dataclasses import replace

from qstress.firmware.seabios import BootLog
from qstress.model import Milestone, ThreadUsage, WaitLoop
from qstress.verdict.examination import Examination
from tests.samples import at_reset, running, seen

LOG = BootLog(Milestone.CHECKIN, banners=1, checkins=2, last_line="handle_smp: apic_id=0x2")
HALTED = 0xFD09A  # where SeaBIOS's APs end
SPINS_AT = 0xEE2E1


def thread(index: int, share: float, state: str = "", wchan: str = "") -> ThreadUsage:
    """A vCPU's thread that used *share* of 0.1 s."""
    return ThreadUsage(index, 1000 + index, share * 0.1, 0.1, state or ("R" if share else "S"), wchan)


def threads(*shares: float) -> tuple[ThreadUsage, ...]:
    """One thread a vCPU; those that used no time sleep in KVM's wait."""
    return tuple(thread(i, share, wchan="0" if share else "kvm_vcpu_block") for i, share in enumerate(shares))


#: CPU#1 is at the reset vector, CPU#2 and CPU#3 are done, the boot CPU waits for four and has three.
LOST = seen(running(0), at_reset(1), running(2, HALTED, halted=True), running(3, HALTED, halted=True))
LOST_INIT = Examination(
    LOST, LOST, threads(0.99, 0, 0, 0), False, True, "running", WaitLoop(4, 3, SPINS_AT),
    quiet=threads(0.99, 0, 0, 0), boot_cpu=(running(0),), waited=WaitLoop(4, 3, SPINS_AT), sipi_sent="000c4610",
    kvm=True,
)  # fmt: skip
#: OVMF parks all APs, and one of them did not take its next wake-up.
PARKED = seen(running(0, 0x7ECA669), *(running(i, 0x7EC9D57, halted=True) for i in (1, 2, 3)))
UNWOKEN = WaitLoop(4, 3, 0x7ECA669, later=True, unwoken=(2,))
LATER_ROUND = Examination(
    PARKED, PARKED, threads(0.99, 0, 0, 0), False, True, "running", UNWOKEN, quiet=threads(0.99, 0, 0, 0),
    boot_cpu=(running(0, 0x7ECA669),), waited=replace(UNWOKEN, unwoken=()), sipi_sent="000c469f",
)  # fmt: skip
#: All are done, and the boot CPU is somewhere else.
ALL_UP = seen(running(0), running(1, HALTED, halted=True))
NO_WAIT = Examination(
    ALL_UP, ALL_UP, threads(0.99, 0), False, True, "running", None,
    quiet=threads(0.99, 0), boot_cpu=tuple(running(0, 0xE0000 + 0x1000 * i) for i in range(8)), code=b"\x90" * 128,
)  # fmt: skip

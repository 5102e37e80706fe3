"""Where a CPU can be while smpscan runs, from the addresses that the ROM keeps fixed."""

from __future__ import annotations

from enum import StrEnum

from qstress.firmware.smpscan import WAIT_PAGE
from qstress.model import VcpuState


class CpuLocation(StrEnum):
    """Where a CPU is."""

    RESET_VECTOR = "reset-vector"  # not woken, or its INIT was lost
    WAITING = "waiting"  # the boot CPU, for APs
    STOPPED = "stopped"  # the boot CPU, done
    CHECKED_IN = "checked-in"  # an AP, done
    STORMING = "storming"  # an AP that checked in, or the boot CPU, done: in the storm, or waiting for it
    REPLAYED = "replayed"  # an AP that entered at the reset vector, reported and parked


#: Linear addresses (CS base + EIP) of the ROM's pages; a halted CPU shows the address after its HLT.
LOCATIONS = {
    CpuLocation.WAITING: WAIT_PAGE,
    CpuLocation.STOPPED: range(0xF1100, 0xF1200),
    CpuLocation.CHECKED_IN: range(0xF1200, 0xF1300),
    CpuLocation.STORMING: range(0xF1400, 0xF1600),
    CpuLocation.REPLAYED: range(0xFFFF1300, 0xFFFF1400),
}


def cpu_location(vcpu: VcpuState) -> CpuLocation | None:
    """Return where a dump shows *vcpu*, or None while it is somewhere in between."""
    if vcpu.at_reset_vector:
        return CpuLocation.RESET_VECTOR
    return next((location for location, addresses in LOCATIONS.items() if vcpu.linear_address in addresses), None)

"""A boot that is seen through its monitor alone, as production sees it: no debug console, nothing but register dumps.

An AP of SeaBIOS that has checked in is halted for the rest of the boot (``handle_smp``, then ``hlt``), so all are up
when every AP is seen halted away from the reset vector. Under KVM a waiting AP shows HLT=0, under TCG HLT=1: the
address decides, not the flag (docs/background/qemu.md, "What HLT says").
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from qstress.firmware.base import Firmware
from qstress.firmware.streams import Stream
from qstress.model import Milestone, Observation, VcpuState


def without_console(firmware: Firmware) -> Firmware:
    """Return *firmware* as it is seen where nothing but register dumps tells how far it is."""
    return replace(firmware, reader=lambda shape, last: DumpsOnlyBoot(shape.smp), asks_boot_cpu=False)


@dataclass(slots=True)
class DumpsOnlyBoot:
    """One bring-up of *smp* vCPUs (``streams.BootReader``); fed by :meth:`saw`, since there is no console.

    ``moved`` holds the APs that have been seen away from the reset vector, ``returned`` those that went back to it.
    """

    stuck: ClassVar[bool] = False  # nothing says that APs are missing
    smp: int
    milestone: Milestone = Milestone.START
    moved: set[int] = field(default_factory=set)
    returned: set[int] = field(default_factory=set)
    _all_halted: int = field(default=0, repr=False)  # dumps in a row

    def saw(self, dump: Observation) -> bool:
        """Take in one dump; return whether the boot came further."""
        before = (self.milestone, len(self.moved), len(self.returned))
        aps = [vcpu for vcpu in dump.vcpus if vcpu.index > 0]
        if any(not vcpu.at_reset_vector for vcpu in dump.vcpus if vcpu.index == 0):
            self._reached(Milestone.BANNER)
        for vcpu in aps:
            if not vcpu.at_reset_vector:
                self.moved.add(vcpu.index)
            elif vcpu.index in self.moved:
                self.returned.add(vcpu.index)
        if self.moved:
            self._reached(Milestone.CHECKIN)
        up = len(aps) == self.smp - 1 and self.milestone > Milestone.START and all(map(_checked_in, aps))
        self._all_halted = self._all_halted + 1 if up else 0
        if self._all_halted > 1:  # one dump may show a replayed AP in a halt of its own
            self._reached(Milestone.FOUND)
        return before != (self.milestone, len(self.moved), len(self.returned))

    def feed(self, data: bytes, stream: Stream = Stream.DEBUG) -> bool:
        """Nothing is ever printed."""
        return False

    @property
    def checkins(self) -> int:
        """How many APs have left the reset vector."""
        return len(self.moved)

    @property
    def found(self) -> int | None:
        """All vCPUs, once every AP has checked in."""
        return self.smp if self.milestone is Milestone.FOUND else None

    @property
    def clean(self) -> bool:
        """Whether no AP went back to the reset vector."""
        return not self.returned

    @property
    def restart_signs(self) -> tuple[str, ...]:
        """APs that came up and are at the reset vector again."""
        names = ", ".join(f"CPU#{index}" for index in sorted(self.returned))
        return (f"{names} went back to the reset vector",) if names else ()

    @property
    def last_line(self) -> str:
        """The last that was seen, in words."""
        return f"{len(self.moved)} of {self.smp - 1} APs seen away from the reset vector"

    def _reached(self, milestone: Milestone) -> None:
        self.milestone = max(self.milestone, milestone)


def _checked_in(vcpu: VcpuState) -> bool:
    return vcpu.halted and not vcpu.at_reset_vector

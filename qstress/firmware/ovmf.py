"""OVMF, edk2's firmware for virtual machines: what it tells of a boot without having been built to (pure).

Distributions ship it silent: nothing comes on the debug console, and nothing on the serial port until it looks for
something to boot (``BdsDxe: …``). QEMU knows more: what the firmware asks fw_cfg for. The number of CPUs (item 5) is
asked for once a boot, a moment before the first APs are woken, so a second time means that the firmware ran again.
It goes on to ``BdsDxe`` only when all of them have come, in each of its rounds (:mod:`qstress.firmware.ovmf_wait`).

Measured with edk2 2022.11, 2025.02 and 2026.08 (docs/background/guests.md, "OVMF: files and signs"); the trace event
is QEMU's ``fw_cfg_select`` (hw/nvram/fw_cfg.c, 7.2 to 11.1), the item QEMU's ``FW_CFG_NB_CPUS``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from qstress.firmware.base import Firmware, LostAp
from qstress.firmware.ovmf_wait import OvmfWait
from qstress.firmware.streams import BootReader, SerialLines, Stream
from qstress.model import Milestone, Shape

#: The longest silence of a healthy boot under TCG on an idle host: 2.1 s, between PEI and DXE of a 2022.11 with four
#: vCPUs; 0.6 s of a 2025.02 or 2026.08.
SILENCE_S = 2.2
#: How much memory it needs: with 48 MiB it boots, with 32 MiB it never leaves its first phase (SEC), and no AP is lost.
LEAST_MEMORY_BYTES = 64 << 20

_UP = re.compile(r"BdsDxe: (loading|starting|failed|No bootable)")
_ITEM = re.compile(r"fw_cfg_select \S+ key 0x([0-9a-f]{1,4})")
_SIGNATURE, _NB_CPUS = 0x00, 0x05


@dataclass(slots=True)
class OvmfBoot:
    """One bring-up of *smp* vCPUs (``streams.BootReader``).

    ``items`` are the items of fw_cfg that were asked for before the number of CPUs, ``runs`` counts how often that was.
    """

    stuck: ClassVar[bool] = False  # it never says that APs are missing
    clean: ClassVar[bool] = True  # a second run is no consequence of a first: a reset would have been told by then
    smp: int
    milestone: Milestone = Milestone.START
    found: int | None = None
    runs: int = 0
    last_line: str = ""
    items: tuple[int, ...] = field(default=(), repr=False)
    _serial: SerialLines = field(default_factory=SerialLines, repr=False)
    _trace: SerialLines = field(default_factory=SerialLines, repr=False)

    def feed(self, data: bytes, stream: Stream = Stream.DEBUG) -> bool:
        """Take in the next bytes of *stream*; return whether the boot came further or ran again."""
        before = self.milestone, self.runs
        if stream is Stream.SERIAL:
            for line in self._serial.feed(data):
                self._said(line)
        elif stream is Stream.TRACE:
            for line in self._trace.feed(data):
                if asked := _ITEM.search(line):
                    self._asked(int(asked[1], 16))
        return before != (self.milestone, self.runs)

    @property
    def checkins(self) -> int:
        """How many APs are known to have come: all of them once a later phase begins, none before."""
        return self.smp - 1 if self.milestone >= Milestone.CHECKIN else 0

    @property
    def restart_signs(self) -> tuple[str, ...]:
        """What shows that a CPU ran the firmware from its start inside this bring-up."""
        if self.runs < 2:
            return ()
        return (f"OVMF asked for the number of CPUs {self.runs} times: a CPU ran it again from its start",)

    def _said(self, line: str) -> None:
        self.last_line = "".join(char if " " <= char <= "~" else "\ufffd" for char in line[:200])
        if (up := _UP.search(line)) and self.found is None:
            self.found = self.smp
            self._reached(Milestone.FOUND if up[1] == "loading" else Milestone.BOOT)

    def _asked(self, item: int) -> None:
        self._reached(Milestone.BANNER)
        if self.found is not None:
            return  # the bring-up is over
        self.last_line = f"fw_cfg item {item:#x}"
        if item == _NB_CPUS:
            self.runs += 1
            self._reached(Milestone.PCI)
        elif not self.runs:
            self.items = tuple(sorted({*self.items, item}))
        elif item == _SIGNATURE or item not in self.items:  # its next phase looks for fw_cfg anew, or for other items
            self._reached(Milestone.CHECKIN)

    def _reached(self, milestone: Milestone) -> None:
        self.milestone = max(self.milestone, milestone)


def _reader(shape: Shape, last: BootReader | None) -> BootReader:
    return OvmfBoot(shape.smp)


def _arguments(shape: Shape, lost_every: int) -> tuple[str, ...]:
    """The code is shared and read only; each guest writes its variables into a copy that QEMU keeps to itself, in a
    file without a name (``snapshot=on``)."""
    code, variables = shape.pflash
    return (
        *("-drive", f"if=pflash,unit=0,readonly=on,{_image(code)}"),
        *("-drive", f"if=pflash,unit=1,snapshot=on,{_image(variables)}"),
    )


def _image(path: str) -> str:
    """An image as ``-drive`` takes it; Fedora's are qcow2, and called so."""
    return f"format={'qcow2' if path.endswith('.qcow2') else 'raw'},file={path.replace(',', ',,')}"


OVMF = Firmware(
    name="ovmf",
    arguments=_arguments,
    reader=_reader,
    streams=(Stream.DEBUG, Stream.SERIAL, Stream.TRACE),
    wait=OvmfWait(),
    lost_ap=LostAp(range(2, 255), by_debugger=True),
    asks_boot_cpu=True,
    silence_s=SILENCE_S,
    least_memory_bytes=LEAST_MEMORY_BYTES,
    flash=True,
    whole_cpu=True,
)

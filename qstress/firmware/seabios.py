"""SeaBIOS, which QEMU starts by itself: its debug console, and the loop in which its boot CPU waits for the APs (pure).

Its lines (SeaBIOS 1.16.2 to 1.17.0, ``src/fw/smp.c`` and ``src/post.c``): one banner a boot before ``Found``, the PCI
lines, one ``handle_smp: apic_id=0x…`` per AP in any order, ``Found N cpu(s) max supported M cpu(s)``; then the banner
again for the screen. A CPU that runs the firmware again prints a second banner or ``In resume`` before ``Found``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from qstress.firmware.base import Asking, CpuCount, Firmware, LostAp
from qstress.firmware.lines import LineBoot, LinePatterns
from qstress.model import Milestone, VcpuState
from qstress.registers import WAIT_LOOP_BYTES, general_register, parse_xp, wait_loop_count_address

#: After a ``system_reset`` SeaBIOS resumes and resets itself, once or twice, because QEMU does not restore the
#: F-segment (docs/background/qemu.md, "Resets in one process"); the second may come some lines after a banner (3 of 60
#: under TCG). No AP has been woken before the PCI lines, so none of that counts until then.
LINES = LinePatterns(
    "SeaBIOS",
    {
        Milestone.CHECKIN: r"handle_smp: apic_id=",
        Milestone.BANNER: r"SeaBIOS \(version",
        Milestone.PCI: r"(?m)^PCI: (?:No VGA|Using)",
        Milestone.FOUND: r"(?:Found (\d{1,6}))? cpu\(s\) max supported ",
        Milestone.BOOT: r"(?m)^(?:Booting from|No bootable device)",
    },
    restart="In resume|Attempting a hard reboot",
    restart_sign="SeaBIOS says In resume: a CPU entered it at the reset vector",
    restarts_from=Milestone.PCI,
)


@dataclass(slots=True)
class BootLog(LineBoot):
    """What SeaBIOS's console has said so far in one bring-up."""

    patterns: LinePatterns = field(default=LINES, kw_only=True, repr=False)


class SeabiosWait:
    """SeaBIOS's ``smp_scan`` spins until as many CPUs came up as EBX says; its bytes are the same in SeaBIOS 1.16.2,
    1.16.3 and 1.17.0 (docs/background/qemu.md, "The bytes of the wait loop")."""

    def find(self, boot_cpu: VcpuState, registers: str, *, stuck: bool, smp: int) -> Asking:
        """See :class:`qstress.firmware.base.WaitFinder`."""
        expected = general_register(registers.encode(), 0, "EBX")
        if expected is None:
            return None
        start = max(0, boot_cpu.eip - WAIT_LOOP_BYTES)
        code = parse_xp((yield f"xp /{2 * WAIT_LOOP_BYTES}xb {start:#x}"))
        address = wait_loop_count_address(code, start, boot_cpu.eip)
        if address is None:
            return None
        return CpuCount(expected & 0xFFFF, address, 4, lambda data: int.from_bytes(data, "little"))


#: The injected fault raises its count of CPUs by one, in a byte of CMOS that holds at most 254 + 1, and one CPU must
#: remain (docs/background/qemu.md, "Injecting a lost AP").
SEABIOS = Firmware(
    name="seabios",
    usual=True,
    arguments=lambda shape, lost_every: (),
    reader=lambda shape, last: BootLog(after_reset=last is not None),
    lines=LINES,
    wait=SeabiosWait(),
    lost_ap=LostAp(range(2, 255)),
    asks_boot_cpu=True,
    dumps_tell=True,
)

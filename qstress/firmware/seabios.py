"""SeaBIOS's debug console, folded into how far the boot has come (pure: bytes in, facts out).

The lines (SeaBIOS 1.16.2 to 1.17.0, ``src/fw/smp.c`` and ``src/post.c``): one banner a boot before ``Found``, the PCI
lines, one ``handle_smp: apic_id=0x…`` per AP in any order, ``Found N cpu(s) max supported M cpu(s)``. A CPU that runs
the firmware again prints a second banner or ``In resume``. Bytes can come one at a time and lines half written.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from qstress.model import Milestone

_FOUND = b" cpu(s) max supported "


@dataclass(slots=True)
class BootLog:
    """What the console has said so far in one bring-up.

    ``checkins`` counts the ``handle_smp`` lines, ``found`` is N of ``Found N cpu(s)``, ``banners`` the banners before
    that line (a healthy boot prints one; the later copy for the screen is not counted), ``resumed`` whether
    ``In resume`` or a hard reboot was announced. ``after_reset``: the boot began with a ``system_reset``. Then
    SeaBIOS resumes and resets itself, once or twice, because QEMU does not restore the F-segment (facts: qemu.md); the
    second may come some lines after a banner (3 of 60 under TCG). No AP has been woken before the PCI lines, so
    none of that counts until then.
    """

    milestone: Milestone = Milestone.START
    banners: int = 0
    checkins: int = 0
    found: int | None = None
    resumed: bool = False
    last_line: str = ""
    after_reset: bool = False
    _rest: bytes = field(default=b"", repr=False)

    def feed(self, data: bytes) -> bool:
        """Take in the next bytes of the console; return whether the boot came further or a restart showed."""
        before = (self.milestone, self.banners, self.checkins, self.resumed)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        return before != (self.milestone, self.banners, self.checkins, self.resumed)

    @property
    def clean(self) -> bool:
        """Whether exactly one banner came, as in an undisturbed boot."""
        return self.banners == 1

    @property
    def restart_signs(self) -> tuple[str, ...]:
        """What shows that the firmware ran from its start a second time inside this bring-up."""
        banners = (f"{self.banners} SeaBIOS banners before Found",) if self.banners > 1 else ()
        resumed = ("SeaBIOS says In resume: a CPU entered it at the reset vector",) if self.resumed else ()
        return banners + resumed

    @property
    def stuck(self) -> bool:
        """SeaBIOS never says that it waits in vain."""
        return False

    @property
    def _starting(self) -> bool:
        return self.after_reset and self.milestone < Milestone.PCI

    def _line(self, line: bytes) -> None:
        if b"handle_smp: apic_id=" in line:
            self.checkins += 1
            self._reached(Milestone.CHECKIN)
        elif b"SeaBIOS (version" in line:
            if self.found is None:
                self.banners = 1 if self._starting else self.banners + 1
            self._reached(Milestone.BANNER)
        elif line.startswith(b"PCI: No VGA") or line.startswith(b"PCI: Using"):
            self._reached(Milestone.PCI)
        elif _FOUND in line:
            digits = line.partition(b"Found ")[2].partition(b" ")[0]
            self.found = int(digits) if digits.isdigit() and len(digits) < 7 else 0
            self._reached(Milestone.FOUND)
        elif b"In resume" in line or b"Attempting a hard reboot" in line:
            self.resumed = self.resumed or not self._starting
        elif line.startswith((b"Booting from", b"No bootable device")):
            self._reached(Milestone.BOOT)
        if line:
            self.last_line = line.decode("ascii", errors="replace").rstrip("\r")[:200]

    def _reached(self, milestone: Milestone) -> None:
        self.milestone = max(self.milestone, milestone)

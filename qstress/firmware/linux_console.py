"""What a Linux guest says, folded into one bring-up (pure: bytes in, facts out).

The kernel's console is the serial port. What came of the bring-up is told by the guest's only program, our init
(``firmware/linux-init.c`` has its lines), on the debug console: firmware is silent there by then, and the kernel never
uses it, so its lines are nobody else's. What the firmware said before is read as ever. The two streams are drained in
turn, so nothing here depends on which of them was read first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from qstress.firmware.ovmf import OvmfBoot
from qstress.firmware.seabios import BootLog
from qstress.firmware.streams import LINE_BYTES, SerialLines, Stream
from qstress.model import Milestone

#: So many records of one kind are kept of a kernel's log, and so many CPUs are listed at most.
MOST_SAID, MOST_CPUS = 50, 8192

_RECORD = re.compile(r"(?:<\d+>)?(?:\[ *(\d+\.\d+)\](?:\[[^]]*\])? ?)?(.*)")
_WAKES = re.compile(r"smp: Bringing up secondary CPUs|(?:smpboot: )?x86: Booting SMP configuration")
_BROUGHT = re.compile(r"smp: Brought up \d+ nodes?, (\d{1,5}) CPUs?$")
#: Linux up to 6.4 (``do_boot_cpu``), and from 6.5 on (``cpuhp_bp_sync_alive``): docs/background/guests.md, "How Linux
#: brings up APs". Both have waited for 10 s then.
_NOT_WOKEN = re.compile(r"do_boot_cpu failed\(-?\d+\) to wakeup CPU#(\d+)|CPU(\d+) failed to report alive state")
#: It has crashed, or is about to.
_CRASHED = re.compile(
    r"Kernel panic - not syncing|^BUG: (?!soft lockup|workqueue lockup)|^kernel BUG at|^Oops|general protection fault"
)
#: It goes on, but something is wrong.
_UNWELL = re.compile(
    r"^WARNING: (?:CPU|at)|soft lockup|hard LOCKUP|workqueue lockup|\brcu\b.*(?:stall|starved)|blocked for more than"
)
_ABOUT = re.compile(r"qstress 1 release=(\S{1,64}) present=([\d,-]{1,4000})$")
_ROUND = re.compile(r"qstress round (\d{1,9}) up=(\d{1,9}\.\d{3}) online=([\d,-]{1,4000})$")
_REFUSED = re.compile(r"qstress refused (\d{1,5}) errno=(\d{1,5})$")
_SAID = "qstress said "
_BROKEN = "qstress-init: "


@dataclass(frozen=True, slots=True)
class Said:
    """A record of the kernel's log: seconds since the kernel's start (None: it says no time), and its text."""

    at_s: float | None
    text: str


@dataclass(slots=True)
class KernelLog:
    """What is known of the kernel's log.

    ``starts`` counts its first lines, ``wakes`` says whether it has begun to wake its CPUs, ``brought`` how many it
    says it has. ``smp``, ``not_woken``, ``crashed`` and ``unwell`` are the records that tell of the bring-up, of CPUs
    that did not come, of the kernel's own end, and of what else is no part of a healthy boot, each once, in order.
    """

    starts: int = 0
    wakes: bool = False
    brought: int | None = None
    smp: tuple[Said, ...] = ()
    not_woken: tuple[Said, ...] = ()
    crashed: tuple[Said, ...] = ()
    unwell: tuple[Said, ...] = ()

    def take(self, line: str) -> None:
        """Take in a record as a console shows it, or with its level before it; the same one again changes nothing."""
        match = _RECORD.match(line)
        assert match is not None  # it matches anything
        said = Said(float(match[1]) if match[1] else None, match[2][:200])
        self.starts += said.text.startswith("Linux version ")
        self.wakes = self.wakes or bool(_WAKES.match(said.text))
        if brought := _BROUGHT.match(said.text):
            self.brought = int(brought[1])
        if said.text.startswith("smp: "):
            self.smp = _with(self.smp, said)
        elif _NOT_WOKEN.search(said.text):
            self.not_woken = _with(self.not_woken, said)
        elif _CRASHED.search(said.text):
            self.crashed = _with(self.crashed, said)
        elif _UNWELL.search(said.text):
            self.unwell = _with(self.unwell, said)

    @property
    def named(self) -> tuple[int, ...]:
        """The CPUs that it says did not come."""
        matches = (_NOT_WOKEN.search(said.text) for said in self.not_woken)
        return tuple(sorted({int(match[1] or match[2]) for match in matches if match}))

    def waited_s(self, said: Said) -> float | None:
        """Return how long it had waited when it *said* that a CPU did not come: since the record before that tells of
        the bring-up; None where records have no times."""
        told = [each.at_s for each in (*self.smp, *self.not_woken) if each.at_s is not None]
        earlier = [at_s for at_s in told if said.at_s is not None and at_s < said.at_s]
        return said.at_s - max(earlier) if earlier and said.at_s is not None else None


@dataclass(slots=True)
class InitReport:
    """What our init has reported. ``present``, ``online`` and ``up_s`` (seconds since the kernel's start, None before
    the first report) are of the latest report, ``round`` is its number (0: the boot), ``refused`` holds the CPUs that
    did not come on again in it, with their error numbers; ``ended``: there will be no other. ``broken``: why it
    cannot report."""

    release: str = ""
    present: tuple[int, ...] = ()
    online: tuple[int, ...] = ()
    up_s: float | None = None
    round: int = 0
    refused: tuple[tuple[int, int], ...] = ()
    ended: bool = False
    broken: str = ""

    def take(self, line: str) -> None:
        """Take in a line that is not about the kernel's log."""
        if about := _ABOUT.match(line):
            self.release, self.present = about[1], cpu_list(about[2])
        elif refused := _REFUSED.match(line):
            self.refused = (*self.refused, (int(refused[1]), int(refused[2])))[:MOST_SAID]
        elif told := _ROUND.match(line):
            self.round, self.up_s, self.online = int(told[1]), float(told[2]), cpu_list(told[3])
        elif line == "qstress end":
            self.ended = self.up_s is not None


@dataclass(slots=True)
class LinuxBoot:
    """What one Linux guest of *smp* vCPUs has said so far in one bring-up (``streams.BootReader``).

    ``reports``: its initramfs is ours, which says what came of it; otherwise the kernel's own word has to do.
    ``firmware`` is what was said before the kernel, ``entered`` that a CPU ran the firmware after it.
    """

    smp: int
    reports: bool = True
    firmware: BootLog | OvmfBoot = field(default_factory=BootLog)
    kernel: KernelLog = field(default_factory=KernelLog)
    init: InitReport = field(default_factory=InitReport)
    entered: bool = False
    last_line: str = ""
    _serial: SerialLines = field(default_factory=SerialLines, repr=False)
    _debug: bytes = field(default=b"", repr=False)

    def feed(self, data: bytes, stream: Stream = Stream.DEBUG) -> bool:
        """Take in the next bytes of *stream*; return whether the boot came further, got stuck or restarted."""
        before = self._facts()
        if stream is Stream.SERIAL:
            for line in self._serial.feed(data):
                self._on_serial(line)
            if not self.kernel.starts:
                self.firmware.feed(data, stream)
        elif stream is Stream.TRACE:
            self.firmware.feed(data, stream)
        else:
            *lines, rest = (self._debug + data).split(b"\n")
            self._debug = rest[:LINE_BYTES]
            for raw in lines:
                self._on_debug(raw[:LINE_BYTES])
        return before != self._facts()

    @property
    def milestone(self) -> Milestone:
        """As the firmware says it until it wakes its APs; ``CHECKIN`` once the kernel has begun to wake its own."""
        if self.found is not None:
            return Milestone.FOUND
        if self.kernel.wakes:
            return Milestone.CHECKIN
        return Milestone.PCI if self.kernel.starts else min(self.firmware.milestone, Milestone.PCI)

    @property
    def checkins(self) -> int:
        """How many APs have said to the firmware that they are up."""
        return self.firmware.checkins

    @property
    def over(self) -> bool:
        """Whether all has been said that will be."""
        return self.init.ended if self.reports else self.kernel.brought is not None

    @property
    def missing(self) -> tuple[int, ...]:
        """The CPUs that are not online although they should be, as far as has been said, by the kernel's numbers."""
        if self.init.up_s is None:
            return self.kernel.named
        return tuple(index for index in range(self.smp) if index not in self.init.online)

    @property
    def found(self) -> int | None:
        """How many CPUs are online, once all are and all has been said."""
        up = len(self.init.online) if self.reports else self.kernel.brought
        return up if self.over and not self.missing and up == self.smp else None

    @property
    def stuck(self) -> bool:
        """Whether all has been said, and CPUs are missing."""
        return self.over and self.found is None

    @property
    def clean(self) -> bool:
        """Whether firmware and kernel started once, as far as they were heard. A CPU that enters the firmware may well
        do so because the machine was reset, which is told a moment later."""
        once = self.firmware.clean or self.firmware.milestone is Milestone.START
        return once and self.kernel.starts <= 1 and not self.entered

    @property
    def restart_signs(self) -> tuple[str, ...]:
        """What shows that the firmware or the kernel ran from its start a second time inside this bring-up."""
        entered = ("a CPU entered the firmware after the kernel had been loaded",) if self.entered else ()
        again = (f"Linux started {self.kernel.starts} times",) if self.kernel.starts > 1 else ()
        return (*self.firmware.restart_signs, *entered, *again)

    def _facts(self) -> tuple[object, ...]:
        kernel, init = self.kernel, self.init
        return (
            self.milestone, self.firmware.restart_signs, self.entered, kernel.starts, kernel.brought, kernel.not_woken,
            kernel.crashed, init.round, init.ended, init.broken,
        )  # fmt: skip

    def _on_serial(self, line: str) -> None:
        self.last_line = line[:200]
        if line.startswith(_BROKEN):
            self.init.broken = line.removeprefix(_BROKEN)[:200]
        else:
            self.kernel.take(line)

    def _on_debug(self, raw: bytes) -> None:
        line = raw.decode("latin-1").rstrip("\r")
        if line.startswith(_SAID):
            self.kernel.take(line.removeprefix(_SAID))
        elif line.startswith("qstress "):
            self.last_line = line[:200]
            self.init.take(line)
        else:
            if isinstance(self.firmware, BootLog) and self.firmware.milestone is Milestone.BOOT:  # it has loaded the
                lines = self.firmware.patterns  # kernel, and has nothing more to say
                self.entered |= bool(re.search(f"{lines.milestones[Milestone.BANNER]}|{lines.restart}", line))
            self.firmware.feed(raw + b"\n")
            if not self.kernel.starts:
                self.last_line = self.firmware.last_line


def cpu_list(text: str) -> tuple[int, ...]:
    """Return the CPUs of a list as the kernel writes it (Linux: Documentation/admin-guide/cputopology.rst).

    >>> cpu_list("0-2,5")
    (0, 1, 2, 5)
    >>> cpu_list("")
    ()
    """
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            found += range(int(first), int(last or first) + 1)[:MOST_CPUS]
    return tuple(found[:MOST_CPUS])


def _with(known: tuple[Said, ...], said: Said) -> tuple[Said, ...]:
    return known if said in known else (*known, said)[:MOST_SAID]

"""Consoles of Linux guests behind SeaBIOS, shortened: what was printed here by QEMU 7.2.22 under TCG, -smp 4."""

from __future__ import annotations

from qstress.firmware.linux_console import LinuxBoot
from qstress.firmware.streams import Stream

FIRMWARE = b"""SeaBIOS (version 1.16.2-debian-1.16.2-1)
PCI: Using 00:02.0 for primary VGA
handle_smp: apic_id=0x1
handle_smp: apic_id=0x3
handle_smp: apic_id=0x2
Found 4 cpu(s) max supported 4 cpu(s)
SeaBIOS (version 1.16.2-debian-1.16.2-1)
Booting from c000:003c
"""
KERNEL = b"""[    0.000000] Linux version 6.12.117+deb13-amd64 (debian-kernel@lists) #1 SMP PREEMPT_DYNAMIC\r
[    0.000000] Command line: console=ttyS0 loglevel=7\r
[    0.000000] RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks\r
[    0.056000] tsc: Unable to calibrate against PIT\r
[    0.526144] smp: Bringing up secondary CPUs ...\r
[    0.533900] smpboot: x86: Booting SMP configuration:\r
"""
UP = KERNEL + b"[    0.999169] smp: Brought up 1 node, 4 CPUs\r\n"
REPORT = b"""
qstress 1 release=6.12.117+deb13-amd64 present=0-3
qstress said <4>[    0.056000] tsc: Unable to calibrate against PIT
qstress said <6>[    0.526144] smp: Bringing up secondary CPUs ...
qstress said <6>[    0.999169] smp: Brought up 1 node, 4 CPUs
qstress said <4>[    1.143788] mtrr: your CPUs had inconsistent fixed MTRR settings
qstress round 0 up=4.458 online=0-3
qstress end
"""
#: 6.12, CPU#3 left out while the kernel ran.
ALIVE = b"[   10.912949] CPU3 failed to report alive state\r\n"
MISSING = KERNEL + ALIVE + b"[   10.915826] smp: Brought up 1 node, 3 CPUs\r\n"
MISSING_REPORT = b"""
qstress 1 release=6.12.117+deb13-amd64 present=0-3
qstress said <6>[    0.526144] smp: Bringing up secondary CPUs ...
qstress said <3>[   10.912949] CPU3 failed to report alive state
qstress said <6>[   10.915826] smp: Brought up 1 node, 3 CPUs
qstress round 0 up=13.189 online=0-2
qstress end
"""
#: 6.1, the same.
FAILED = b"[   10.834993] smpboot: do_boot_cpu failed(-1) to wakeup CPU#3\r\n"
PANIC = b"[    4.165058] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r\n"
#: 6.1, CPU#2 did not come on again in the third round.
LATER_REPORT = (
    REPORT.removesuffix(b"qstress end\n")
    + b"""qstress round 1 up=5.010 online=0-3
qstress round 2 up=5.500 online=0-3
qstress said <3>[   15.834993] smpboot: do_boot_cpu failed(-1) to wakeup CPU#2
qstress refused 2 errno=5
qstress round 3 up=15.990 online=0-1,3
qstress end
"""
)


def booted(serial: bytes = UP, debug: bytes = FIRMWARE + REPORT, smp: int = 4, reports: bool = True) -> LinuxBoot:
    """A guest's reader that has read all of that."""
    log = LinuxBoot(smp, reports)
    log.feed(debug)
    log.feed(serial, Stream.SERIAL)
    return log

"""A Linux kernel behind a firmware: what the guest is given, and what that changes (pure; its console is in
``linux_console``).

The kernel wakes its CPUs with an INIT and SIPIs of its own, long after the firmware has: a guest can lose an AP to
either. Its initramfs is our own, one small program that reports and stays (``firmware/linux-init.c``).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

from qstress.firmware.base import Firmware, LostAp
from qstress.firmware.linux_console import LinuxBoot
from qstress.firmware.ovmf import OvmfBoot
from qstress.firmware.rom import find_rom
from qstress.firmware.seabios import BootLog
from qstress.firmware.streams import BootReader, Stream
from qstress.model import Accel, LinuxGuest, Shape

#: What the kernel is told before the user's own words: its log goes to the serial port, down to what says that the
#: bring-up begins. The last word on a parameter counts.
PARAMETERS = ("console=ttyS0", "loglevel=7")
#: What it is told besides under TCG: not to test the timer by a wait in guest time, as every kernel does by itself that
#: finds KVM (2 of 56 hammered guests panicked, "IO-APIC + timer doesn't work", on a host that was busy 8x over).
TCG_PARAMETERS = ("no_timer_check",)
#: A kernel waits for 10 s for one CPU before it says that it did not come (docs/background/guests.md, "How Linux brings
#: up APs"). This much is not slow; a likely verdict takes six times the silence that is doubtful, so that nothing is
#: believed of a kernel that still waits.
WAIT_S, QUIET_S = 10.0, 2.5
#: What a boot takes besides, and a CPU that is taken off and on again once: several times what they took here under TCG
#: (7 s; 0.15 s), and as much as they took under a KVM that was emulated (100 s; 1 s).
BOOT_S, ROUND_S = 90.0, 1.0


def kernel_arguments(linux: LinuxGuest, accel: Accel, most_cpus: int | None = None) -> tuple[str, ...]:
    """Return the QEMU arguments that give a guest its kernel.

    :param most_cpus: the kernel is told to bring up no more: the others are missing, and it does not say a word of it.
    :raises RigError: our initramfs is missing or not the committed one.
    """
    words = [*PARAMETERS, *(TCG_PARAMETERS if accel is Accel.TCG else ()), linux.append]
    if linux.rounds:
        words.append(f"qstress_rounds={linux.rounds}")
    if most_cpus is not None:
        words.append(f"maxcpus={most_cpus}")
    initrd = linux.initrd or str(find_rom("linux-init"))
    return ("-kernel", linux.kernel, "-initrd", initrd, "-append", " ".join(filter(None, words)))


@cache
def with_linux(firmware: Firmware) -> Firmware:
    """Return what is booted by a guest that has a kernel behind *firmware*."""

    def arguments(shape: Shape, lost_every: int) -> tuple[str, ...]:
        assert shape.linux is not None
        most = shape.smp - 1 if lost_every else None
        return (*firmware.arguments(shape, 0), *kernel_arguments(shape.linux, shape.accel, most))

    return replace(
        firmware,
        arguments=arguments,
        reader=partial(_reader, firmware),
        streams=tuple(dict.fromkeys((Stream.DEBUG, Stream.SERIAL, *firmware.streams))),
        lines=None,
        lost_ap=LostAp(range(2, 4097), by_firmware=True, by_debugger=True),
        milestones_known=True,
        usual=False,
        resets_itself=False,
        accounts_for_aps=False,
        dumps_tell=False,
        storms=False,
        settle_s=None,
        whole_cpu=True,
        quiet_s=QUIET_S,
        boot_s=_boot_s,
    )


def _boot_s(shape: Shape) -> float:
    rounds = shape.linux.rounds if shape.linux is not None else 0
    return BOOT_S + (WAIT_S + rounds * ROUND_S) * (shape.smp - 1)


def _reader(firmware: Firmware, shape: Shape, last: BootReader | None) -> BootReader:
    reports = shape.linux is not None and not shape.linux.initrd
    before = firmware.reader(shape, last)
    assert isinstance(before, BootLog | OvmfBoot)  # what boots a kernel
    return LinuxBoot(shape.smp, reports, before)


#: A firmware that loads a kernel, does nothing else, and leaves its APs as the reset left them: the kernel's INIT is
#: their first. QEMU brings it along, and finds it by this name.
QBOOT = Firmware(
    name="qboot",
    arguments=lambda shape, lost_every: ("-bios", "qboot.rom"),
    reader=lambda shape, last: BootLog(after_reset=last is not None),
    milestones_known=False,
    needs_kernel=True,
)

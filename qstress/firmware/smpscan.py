"""smpscan, our own firmware: its options, and how its boot CPU waits (pure; its console is in ``smpscan_console``)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from qstress.errors import ConfigError
from qstress.firmware.base import Asking, CpuCount, Firmware, LostAp
from qstress.firmware.rom import find_rom
from qstress.firmware.smpscan_console import SmpscanProgress, SmpscanSeries
from qstress.firmware.streams import BootReader
from qstress.model import Accel, Shape, Tier, VcpuState
from qstress.registers import general_register

_NAME = "smpscan"
_LARGEST = (1 << 32) - 1
#: How long smpscan waits for a check-in, and how much more a vCPU. A report of missing APs is only a doubt and costs a
#: healthy bring-up some 30 ms, so under KVM it comes early; under TCG vCPUs share the host's cores in longer turns.
DEADLINE_US, DEADLINE_VCPU_US = {Accel.KVM: 8_000, Accel.TCG: 50_000}, {Accel.KVM: 500, Accel.TCG: 0}
#: How long its boot CPU waits before INIT where KVM is hammered and the file does not say. Without it the INIT comes
#: within a millisecond of a reset, before the monitor has its pace again, and later in a new process: few are lost by
#: the one and many by the other. With this the rates nearly agree (docs/measured.md).
SETTLE_S = 0.005
#: Where the ROM keeps its table, a byte a CPU by APIC id: 0 not seen, 1 checked in, 2 replayed.
TABLE, TABLE_BYTES = 0x20000, 4096
#: The ROM's page in which the boot CPU waits for APs, as linear addresses (``firmware/smpscan.asm``).
WAIT_PAGE = range(0xF1000, 0xF1100)
#: APIC ids are below so many times the number of CPUs: each of at most four levels of the topology within a socket is
#: rounded up to a power of two (``include/hw/i386/topology.h``).
_IDS_PER_CPU = 16


@dataclass(frozen=True, slots=True)
class SmpscanOptions:
    """What smpscan can be told; the fields are in the order of its options' text.

    ``deadline_us``: guest time without a new check-in after which APs are reported missing, at most 100 s. ``after``:
    what follows when all are in. ``missing``: what follows a report (``stop`` keeps waiting, as SeaBIOS does).
    ``rounds``: how often all are woken again without a reset (never trials). ``leave_out``: the APIC id of an AP that
    is not woken in every ``every``-th bring-up or round, 0 for none. ``payload``: what an AP does once checked in.
    ``storm_us``: how long its ``storm`` goes on once all are in and before what ``after`` says, at most 100 s; 0 for
    ever. ``settle_us``: how long the boot CPU waits between announcing a bring-up and waking the others, and up to half
    as much again, at most 100 s.
    """

    deadline_us: int = 50_000
    after: Literal["stop", "reset"] = "stop"
    missing: Literal["stop", "reset"] = "stop"
    rounds: int = 0
    leave_out: int = 0
    every: int = 1
    payload: Literal["halt", "spin", "storm"] = "halt"
    storm_us: int = 0
    settle_us: int = 0


_NUMBERS = {"stop": 0, "reset": 1, "halt": 0, "spin": 1, "storm": 2}


def option_arguments(options: SmpscanOptions) -> tuple[str, ...]:
    """Return the QEMU arguments that hand *options* to smpscan.

    :raises ConfigError: a number that smpscan cannot take.
    """
    words = []
    for option in fields(options):
        value = getattr(options, option.name)
        number = _NUMBERS[value] if isinstance(value, str) else value
        if not 0 <= number <= _LARGEST:
            raise ConfigError(f"smpscan: {option.name} must be from 0 to {_LARGEST}, not {number}")
        words.append(f"{option.name}={number}")
    return ("-fw_cfg", f"name=opt/qstress/options,string={' '.join(words)}")


class SmpscanWait:
    """smpscan waits in a page of its own, and for part of the time in a subroutine; once it has reported that APs are
    missing it does nothing else (``firmware/smpscan.asm``)."""

    def find(self, boot_cpu: VcpuState, registers: str, *, stuck: bool, smp: int) -> Asking:
        """See :class:`qstress.firmware.base.WaitFinder`; EBX holds how many CPUs it waits for."""
        expected = general_register(registers.encode(), 0, "EBX")
        if expected is None or not (stuck or boot_cpu.linear_address in WAIT_PAGE):
            return None
        yield from ()  # nothing more has to be asked
        size = min(TABLE_BYTES, _IDS_PER_CPU * smp)
        return CpuCount(expected & 0xFFFF, TABLE, size, lambda table: sum(byte != 0 for byte in table))


def _arguments(shape: Shape, lost_every: int) -> tuple[str, ...]:
    options = SmpscanOptions(
        deadline_us=DEADLINE_US[shape.accel] + DEADLINE_VCPU_US[shape.accel] * shape.smp,
        after="reset" if shape.restart == "reset" else "stop",
        leave_out=shape.smp - 1 if lost_every else 0,
        every=lost_every or 1,
        payload="storm" if shape.storm_s else "halt",
        storm_us=round(shape.storm_s * 1e6),
        settle_us=round(shape.settle_s * 1e6),
    )
    return ("-bios", str(find_rom(_NAME)), *option_arguments(options))


def _reader(shape: Shape, last: BootReader | None) -> BootReader:
    if isinstance(last, SmpscanSeries):
        return last.again()
    return SmpscanSeries() if shape.restart == "reset" else SmpscanProgress()


SMPSCAN = Firmware(
    name=_NAME,
    arguments=_arguments,
    reader=_reader,
    wait=SmpscanWait(),
    lost_ap=LostAp(range(2, 4097), by_firmware=True),
    tier=Tier.T3,
    resets_itself=True,
    accounts_for_aps=True,
    storms=True,
    settle_s=SETTLE_S,
)

"""What a Linux guest's own kernel says of its bring-up, and what a closer look adds to that (pure).

Registers cannot judge it: an AP that the kernel never woke stands where the firmware had parked it, which after SeaBIOS
is its halt loop, as if it had checked in; and a kernel that waits for one sleeps as an idle one does. So the kernel's
word and our init's decide, and the registers name the AP (docs/background/guests.md, "How Linux brings up APs").
"""

from __future__ import annotations

import re

from qstress.firmware.linux_console import LinuxBoot, Said
from qstress.firmware.streams import BootProgress
from qstress.model import Confidence, FindingClass, Milestone, Outcome, VcpuState, Verdict
from qstress.verdict.crash import told_alike
from qstress.verdict.examination import Examination
from qstress.verdict.signature import finding_signature
from qstress.verdict.vcpu import cpu_names
from qstress.verdict.wording import states, threads

#: A CPU below this address, and not in a program, runs no Linux: firmware parks its APs there, OVMF high in the memory
#: that it reserves, and a kernel's trampoline is left at once.
PARKED_BELOW = 1 << 32
#: The code segments of programs, of 64 and of 32 bits (Linux: arch/x86/include/asm/segment.h, ``__USER_CS``).
_OF_PROGRAMS = (0x33, 0x23)
#: So many records are quoted.
_QUOTED = 4


def told_by_kernel(log: BootProgress) -> Verdict | None:
    """Return the verdict that a guest's kernel speaks itself, None for none: it crashed, or says that something is
    wrong although all its CPUs are online, which is no finding about these and no healthy boot either."""
    if not isinstance(log, LinuxBoot):
        return None
    if log.init.broken:
        return _unknown(f"the guest cannot report: {log.init.broken}")
    if log.kernel.crashed:
        first, *_ = log.kernel.crashed
        return Verdict(
            Outcome.GUEST_PANIC,
            f"the guest's kernel crashed: {first.text}",
            FindingClass.GUEST_PANIC,
            f"guest-panic/{told_alike(first.text)}",
            because=tuple(map(_record, log.kernel.crashed[:_QUOTED])),
        )
    if log.found is not None and log.kernel.unwell and not log.restart_signs:
        told = tuple(map(_record, log.kernel.unwell[:_QUOTED]))
        return _unknown(f"all CPUs are online, but the kernel says: {log.kernel.unwell[0].text}", told)
    return None


def firmware_resets(log: BootProgress) -> int:
    """Return how many times more RESET events one restart comes with than SeaBIOS's own would: a kernel's restart makes
    SeaBIOS resume, and try all its ways to reset before the first takes effect (3 and 5 events, once 6 on a busy host;
    1 behind qboot: QEMU 7.2.22, TCG)."""
    return 4 if isinstance(log, LinuxBoot) else 1


def missing_cpu(seen: Examination, log: BootProgress) -> Verdict | None:
    """The kernel goes on without a CPU. Certain once it has said so to the end; before that it may still hang, so that
    it takes a longer silence. A CPU that is seen in the kernel after all came too late, which a host that gave it no
    time can have done."""
    if not isinstance(log, LinuxBoot) or not (log.missing or log.stuck):
        return None
    where = {vcpu.index: vcpu for vcpu in seen.after.vcpus or seen.before.vcpus}
    late = [index for index in log.missing if index in where and not _never_came(where[index], log)]
    sure = log.stuck and not late and not any(map(seen.starved, log.missing))
    who = cpu_names(log.missing) if log.missing else f"of {log.smp} CPUs {log.kernel.brought} came"
    in_round = f" in round {log.init.round} of taking CPUs off and on" if log.init.round else ""
    said = "its kernel says nothing of it"
    if log.kernel.not_woken:
        said = re.sub(r"\bCPU(\d)", r"CPU#\1", log.kernel.not_woken[0].text)  # one bug whichever CPU it is
    return Verdict(
        Outcome.HANG,
        f"missing CPU: {who} did not come online{in_round}: {said}",
        FindingClass.MISSING_CPU,
        "/".join([FindingClass.MISSING_CPU, f"missing={len(log.missing)}", _kind_of(log), *["late"] * bool(late)]),
        Confidence.CERTAIN if sure else Confidence.LIKELY,
        (
            *_reported(log),
            *(_waited(log, record) for record in log.kernel.not_woken[:_QUOTED]),
            *(f"CPU#{index} {_place(where[index], log)}" for index in log.missing[:_QUOTED] if index in where),
            *((threads(seen.usage, "between the dumps"),) if seen.dumped else ()),
        ),
    )


def kernel_stands_still(seen: Examination, log: BootProgress) -> Verdict | None:
    """A kernel that began to wake its CPUs and fell silent. It is its own wait for an AP that is told by an AP still
    parked by the firmware: after 10 s it would go on without it, unless it hangs in one of its waits that never end.
    """
    if not isinstance(log, LinuxBoot) or log.milestone < Milestone.PCI or not log.kernel.starts:
        return None
    if seen.progressed or not seen.running or not seen.dumped:
        return None  # the next rules say so
    before = {vcpu.index: vcpu for vcpu in seen.before.vcpus}
    still = [
        vcpu.index for vcpu in seen.after.vcpus[1:]
        if _parked(vcpu) and vcpu.index in before and before[vcpu.index].linear_address == vcpu.linear_address
    ]  # fmt: skip
    because = (
        f"its console is silent since '{log.last_line}'",
        *(f"CPU#{vcpu.index} {_place(vcpu, log)}" for vcpu in seen.after.vcpus if vcpu.index in still[:_QUOTED]),
        threads(seen.usage, "between the dumps"),
    )
    if not log.kernel.wakes or not still:
        return Verdict(
            Outcome.HANG,
            f"the guest's kernel stands still, {'after' if log.kernel.wakes else 'before'} it began to wake its CPUs",
            FindingClass.HANG_OTHER,
            finding_signature(FindingClass.HANG_OTHER, (), log.milestone, "kernel"),
            Confidence.LIKELY,
            (*because, states(seen.after)),
        )
    return Verdict(
        Outcome.HANG,
        f"lost INIT: {cpu_names(still)} never left the firmware's code while the guest's kernel waits",
        FindingClass.LOST_INIT,
        finding_signature(FindingClass.LOST_INIT, (), log.milestone, f"kernel/lost={len(still)}"),
        Confidence.LIKELY,
        because,
    )


def _unknown(title: str, because: tuple[str, ...] = ()) -> Verdict:
    return Verdict(Outcome.UNKNOWN, title, confidence=Confidence.INCONCLUSIVE, because=because)


def _parked(vcpu: VcpuState) -> bool:
    return vcpu.linear_address < PARKED_BELOW and vcpu.cs_selector not in _OF_PROGRAMS


def _never_came(vcpu: VcpuState, log: LinuxBoot) -> bool:
    """Whether it stands where it was to be woken: parked by the firmware, or by a kernel that took it off (Linux:
    ``native_play_dead``, halted with interrupts off)."""
    return _parked(vcpu) or (log.init.round > 0 and vcpu.halted and not vcpu.interrupts)


def _place(vcpu: VcpuState, log: LinuxBoot) -> str:
    at = f"EIP={vcpu.eip:08x}{', halted' if vcpu.halted else ''}"
    if vcpu.at_reset_vector:
        return f"stands at the reset vector ({at}): nothing has woken it since the guest began"
    if _parked(vcpu):
        return f"stands where the firmware parked it ({at}), and runs no Linux"
    if _never_came(vcpu, log):
        return f"stands where the kernel left it when it was taken off ({at}, interrupts off)"
    return f"is in the kernel by now ({at}): it came after the kernel had given it up"


def _kind_of(log: LinuxBoot) -> str:
    if log.init.round:
        return "later"
    return "said" if log.kernel.not_woken else "unsaid"


def _reported(log: LinuxBoot) -> tuple[str, ...]:
    if log.init.up_s is None:
        told = "" if log.kernel.brought is None else f"; it says that it brought up {log.kernel.brought} CPUs"
        return (f"the guest has {log.smp} vCPUs{told}",)
    online, present = (cpu_names(cpus) for cpus in (log.init.online, log.init.present))
    refused = tuple(f"CPU#{cpu} was told to come online, and the kernel refused (errno {number})"
                    for cpu, number in log.init.refused[:_QUOTED])  # fmt: skip
    when = f"the guest says {log.init.up_s:.1f} s after its kernel ({log.init.release}) began"
    return (f"{when}: online {online}; present {present}", *refused)


def _waited(log: LinuxBoot, record: Said) -> str:
    waited_s = log.kernel.waited_s(record)
    return _record(record) + ("" if waited_s is None else f", after {waited_s:.1f} s")


def _record(said: Said) -> str:
    at = "" if said.at_s is None else f" at {said.at_s:.3f} s"
    return f"the kernel said{at}: {said.text}"

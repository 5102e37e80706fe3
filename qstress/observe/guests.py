"""The QEMU guests of this host as ``/proc`` shows them: nothing is asked of QEMU, and nothing of a guest is touched.

vCPU threads are known by their names, ``CPU n/KVM`` and ``CPU n/TCG``, which QEMU gives where it is told ``-name
…,debug-threads=on``, as libvirt does. What a vCPU waits for is in its thread's kernel stack, which only root may read
(``/proc/PID/task/TID/stack``): see :mod:`qstress.verdict.outside`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from qstress.model import Accel
from qstress.verdict.outside import GuestLook, ThreadLook, VcpuWait

PROC = Path("/proc")
_VCPU = re.compile(r"CPU (\d+)/(KVM|TCG)")
#: Guests whose APs may rightly wait for an INIT for ever, and why.
_NOT_JUDGED = (
    (r"\bmicrovm\b", "a microvm's firmware starts no AP, only its kernel does"),
    (r"\b(?:sev(?:-snp)?|tdx)-guest\b", "a confidential guest's APs wait in other ways"),
    (r"kernel[-_]irqchip=off", "without KVM's own APIC its APs wait in QEMU"),
)


@dataclass(frozen=True, slots=True)
class LocalGuest:
    """One QEMU process: ``started`` is its start in ticks, so that a pid that is used again is another guest;
    ``threads`` numbers the vCPU threads by index (none: they are not named); ``not_judged`` says why its picture would
    mean nothing; ``resumed``: it began with the state of another process (migration, ``-loadvm``)."""

    pid: int
    started: int
    name: str
    accel: Accel
    threads: Mapping[int, int]
    not_judged: str = ""
    resumed: bool = False


def local_guests(proc: Path = PROC) -> Iterator[LocalGuest]:
    """Yield the QEMU system emulators among this host's processes, by pid."""
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdigit()):
        if (found := guest_of(pid, proc)) is not None:
            yield found


def guest_of(pid: int, proc: Path = PROC) -> LocalGuest | None:
    """Return the guest of process *pid*; None where that is gone or no QEMU."""
    folder = proc / str(pid)
    try:
        argv = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        if not re.search(r"(?:^|/)(?:qemu-system-(?:x86_64|i386)|qemu-kvm|kvm$)", argv[0]):
            return None
        started = int((folder / "stat").read_text().rpartition(") ")[2].split()[19])
        threads: dict[int, int] = {}
        kinds = set()
        for tid in os.listdir(folder / "task"):
            with suppress(OSError):
                if match := _VCPU.fullmatch((folder / "task" / tid / "comm").read_text().strip()):
                    threads[int(match[1])] = int(tid)
                    kinds.add(match[2])
    except (OSError, IndexError, ValueError):
        return None
    line = " ".join(argv)
    accel = Accel.KVM if "KVM" in kinds or (not kinds and _has_kvm(folder)) else Accel.TCG
    why = next((why for pattern, why in _NOT_JUDGED if re.search(pattern, line)), "")
    return LocalGuest(
        pid, started, _name(argv) or f"pid {pid}", accel, threads, why, bool({"-incoming", "-loadvm"} & set(argv))
    )


def _has_kvm(folder: Path) -> bool:
    """Whether a process holds a VM of KVM's, as far as we may look."""
    with suppress(OSError):
        return any(os.readlink(fd) == "anon_inode:kvm-vm" for fd in (folder / "fd").iterdir())
    return False


def _name(argv: list[str]) -> str:
    """Return what ``-name`` calls the guest (``x``, ``guest=x,…``)."""
    if "-name" not in argv[:-1]:
        return ""
    said = argv[argv.index("-name") + 1]
    return next((part.removeprefix("guest=") for part in said.split(",") if "=" not in part or "guest=" in part), "")


def look_at(guest: LocalGuest, proc: Path = PROC) -> GuestLook | None:
    """Return how its vCPU threads are now; None where they are not known, or it is gone."""
    try:
        task = proc / str(guest.pid) / "task"
        threads = {index: _thread(task / str(tid), guest.accel) for index, tid in guest.threads.items()}
    except (OSError, ValueError, IndexError):
        return None
    return GuestLook(time.monotonic(), threads) if 0 in threads else None


def _thread(task: Path, accel: Accel) -> ThreadLook:
    """Read one thread: CPU time and time in a run queue (``schedstat``, Documentation/scheduler/sched-stats), voluntary
    switches (``status``), state and start (``stat``, fields 3 and 22, proc(5)). The stack of one that was woken and has
    not got a core yet still shows where it slept: so its state is read after it."""
    run, queued = (task / "schedstat").read_text().split()[:2]
    rests = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", (task / "status").read_text(), re.MULTILINE)
    wait = _wait(task, accel)
    stat = (task / "stat").read_text().rpartition(") ")[2].split()
    made_s = int(stat[19]) / os.sysconf("SC_CLK_TCK")
    asleep = wait if stat[0] == "S" else VcpuWait.NOT_WAITING
    return ThreadLook(int(run) / 1e9, int(queued) / 1e9, int(rests[1]) if rests else 0, asleep, made_s)


def _wait(task: Path, accel: Accel) -> VcpuWait:
    if accel is not Accel.KVM:
        return VcpuWait.NOT_TOLD
    try:
        frames = set(re.findall(r"^\[<[^>]*>\] (\w+)", (task / "stack").read_text(), re.MULTILINE))
    except OSError:
        return VcpuWait.NOT_TOLD
    if "kvm_vcpu_halt" in frames:
        return VcpuWait.HALTED
    if "kvm_vcpu_block" in frames:
        return VcpuWait.FOR_INIT if halting_is_told() else VcpuWait.NOT_TOLD
    return VcpuWait.NOT_WAITING


@lru_cache
def halting_is_told(symbols: Path = PROC / "kallsyms") -> bool:
    """Whether this kernel's KVM has a function of its own for vCPUs that halted (since 5.17, and where that was taken
    back to an older one)."""
    try:
        with symbols.open(errors="replace") as lines:
            return any(" kvm_vcpu_halt" in line for line in lines)
    except OSError:
        return False

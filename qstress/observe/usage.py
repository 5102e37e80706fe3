"""CPU time and state of a guest's threads, and the host's load, from ``/proc``: the witness that disturbs nothing."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qstress.model import ThreadUsage
from qstress.verdict.limits import Load

#: In an emulated host: the share of time that the machine beneath takes from it, which no counter of its kernel shows,
#: and the seconds of it since it is up.
STOLEN = Path("/run/qstress-stolen")


@dataclass(frozen=True, slots=True)
class UsageSample:
    """One look: when (monotonic seconds), CPU seconds per vCPU index, and which thread that is."""

    at_s: float
    cpu_s: dict[int, float]
    tids: dict[int, int]


def sample(pid: int, vcpu_threads: Mapping[int, int]) -> UsageSample:
    """Read the CPU time of each vCPU thread of *pid*; threads that are gone are left out.

    Source: ``/proc/PID/task/TID/schedstat``, first field, nanoseconds on a CPU (Documentation/scheduler/sched-stats).
    """
    cpu_s: dict[int, float] = {}
    for index, tid in vcpu_threads.items():
        with suppress(OSError, ValueError, IndexError):
            cpu_s[index] = int(Path(f"/proc/{pid}/task/{tid}/schedstat").read_text().split()[0]) / 1e9
    return UsageSample(time.monotonic(), cpu_s, dict(vcpu_threads))


def usage_between(pid: int, first: UsageSample, second: UsageSample) -> tuple[ThreadUsage, ...]:
    """Return what each vCPU thread did between two looks, with its state and wait channel now."""
    wall_s = second.at_s - first.at_s
    usages = []
    for index in sorted(first.cpu_s.keys() & second.cpu_s.keys()):
        task = Path(f"/proc/{pid}/task/{first.tids[index]}")
        used_s = second.cpu_s[index] - first.cpu_s[index]
        usages.append(ThreadUsage(index, first.tids[index], used_s, wall_s, _state(task), _text(task / "wchan")))
    return tuple(usages)


def threads_of(pid: int) -> dict[int, int]:
    """Return all threads of *pid*, numbered from 0; the first is QEMU's main loop."""
    with suppress(OSError):
        return dict(enumerate(sorted(map(int, os.listdir(f"/proc/{pid}/task")))))
    return {}


def run_and_queue_s(pid: int) -> tuple[float, float]:
    """Return how long the main thread of *pid* has run, and the longest that one of its threads waited for a core.

    Both in seconds since they started, 0 when they are gone. Any thread may be the one that the others wait for.

    Source: ``/proc/PID/task/TID/schedstat``, fields 1 and 2, nanoseconds (Documentation/scheduler/sched-stats).
    """
    ran_s = queued_s = 0.0
    for tid in threads_of(pid).values():
        if len(words := _text(Path(f"/proc/{pid}/task/{tid}/schedstat")).split()) >= 2:
            queued_s = max(queued_s, int(words[1]) / 1e9)
            ran_s = int(words[0]) / 1e9 if tid == pid else ran_s
    return ran_s, queued_s


def wait_channels(pid: int) -> tuple[str, ...]:
    """Return a line for each thread of *pid*: its name, and what it waits for in the kernel (``0``: it runs)."""
    tasks = [Path(f"/proc/{pid}/task/{tid}") for tid in threads_of(pid).values()]
    return tuple(f"{_text(task / 'comm')}: {_text(task / 'wchan')}" for task in tasks)


def open_descriptors(pid: int) -> int:
    """Return how many descriptors *pid* has open; 0 when it is gone."""
    with suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def private_bytes(pid: int) -> int:
    """Return how much private memory *pid* uses (``/proc/PID/status``, ``RssAnon``, proc(5)); 0 when it is gone."""
    found = re.search(r"^RssAnon:\s*(\d+) kB", _text(Path(f"/proc/{pid}/status")), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def memory_bytes() -> int:
    """Return this host's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def child_of(pid: int) -> int:
    """Return a child of *pid*, the one with the lowest number; 0 when it has none.

    Source: ``/proc/PID/stat``, field 4, behind the name in parentheses (proc(5)).
    """
    stats = ((int(name), _text(Path(f"/proc/{name}/stat"))) for name in os.listdir("/proc") if name.isdigit())
    return min((child for child, stat in stats if stat.rpartition(") ")[2].split()[1:2] == [str(pid)]), default=0)


def numbers_of(tid: int) -> tuple[int, int]:
    """Return the process of a thread, and its number in its own namespace, the last of ``NSpid`` (proc(5), since Linux
    4.1); 0 and 0 where it is gone."""
    told = dict(re.findall(r"^(Tgid|NSpid):.*?(\d+)$", _text(Path(f"/proc/{tid}/status")), re.MULTILINE))
    return int(told.get("Tgid", 0)), int(told.get("NSpid", tid if told else 0))


def own_numbers(pid: int) -> dict[int, int]:
    """Return the threads of *pid* by the numbers that they have for themselves (in a container others than here)."""
    return {numbers_of(tid)[1]: tid for tid in threads_of(pid).values()}


def process_of(tids: Iterable[int]) -> int:
    """Return the process of which *tids* are threads; 0 where there is none, or another namespace numbers them.

    ``/proc/TID`` is there for threads, too, though no listing shows it.
    """
    found = {(process if own == tid else 0) for tid in tids for process, own in [numbers_of(tid)]}
    return found.pop() if len(found) == 1 else 0


def process_name(pid: int) -> str:
    """Return the name of a process's program, up to 15 letters of it; '' when the process is gone."""
    return _text(Path(f"/proc/{pid}/comm"))


def process_state(pid: int) -> str:
    """Return the state letter of a process (R, S, D, T, Z; '' when it is gone)."""
    return _state(Path(f"/proc/{pid}"))


def host_load() -> dict[str, object]:
    """Return load averages and CPU pressure of this host as the kernel prints them, as far as it does."""
    pressure = _text(Path("/proc/pressure/cpu")).partition("\n")[0]
    return {"loadavg": _text(Path("/proc/loadavg")), "cpu_pressure": pressure}


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Ticks that all CPUs have counted since the host started, and those of them that a hypervisor took."""

    total: int = 0
    stolen: int = 0


def cpu_times() -> CpuTimes:
    """Read the first line of ``/proc/stat`` (proc(5): user, nice, system, idle, iowait, irq, softirq, steal)."""
    words = _text(Path("/proc/stat")).partition("\n")[0].split()
    ticks = [int(word) for word in words[1:9] if word.isdigit()]
    return CpuTimes(sum(ticks), ticks[7]) if len(ticks) == 8 else CpuTimes()


def load_since(since: CpuTimes) -> Load:
    """Return how busy this host is; what was stolen is counted *since* an earlier look.

    Source: ``/proc/loadavg``, fourth field (threads that run or want to, this one left out); ``/proc/pressure/cpu``,
    where the kernel has it (Documentation/accounting/psi).
    """
    average = _text(Path("/proc/loadavg")).split()
    runnable = average[3].partition("/")[0] if len(average) > 3 else ""
    some = re.search(r"^some avg10=([\d.]+)", _text(Path("/proc/pressure/cpu")))
    now = cpu_times()
    ticks = now.total - since.total
    beneath = _text(STOLEN).split()
    return Load(
        cores=len(os.sched_getaffinity(0)),
        runnable=max(0, int(runnable) - 1) if runnable.isdigit() else 0,
        waiting=float(some[1]) / 100 if some else 0.0,
        stolen=float(beneath[0]) if beneath else max(0.0, (now.stolen - since.stolen) / ticks) if ticks > 0 else 0.0,
    )


def starved_beneath_s() -> float:
    """Return for how many seconds the machine beneath an emulated host had no CPU for it, since it is up; else 0."""
    return float((_text(STOLEN).split() or ["0"])[-1])


def _state(task: Path) -> str:
    stat = _text(task / "stat")
    return stat.rpartition(") ")[2][:1]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

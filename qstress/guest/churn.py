"""Churn: QEMU's threads walk at random between the host's CPUs, so that whoever kicks a vCPU may find it elsewhere.

Which thread moves, when and where is drawn from a seed (pure). The moves are made by a thread of our own and outside
Python's global lock: ``sched_setaffinity`` on a thread that is running waits until that has come off its CPU
(``affine_move_task``, kernel/sched/core.c). Measured on two busy cores: median 2 us, 1 % above 1.7 ms, up to 44 ms;
the event loop must not wait for that.
"""

from __future__ import annotations

import ctypes
import os
import random
import re
import threading
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from qstress.model import ChurnSpec, Milestone, StormCount

_MIGRATIONS = re.compile(r"^(?:se\.)?nr_migrations\s*:\s*(\d+)$", re.MULTILINE)
_MASK_BYTES = 1024  # 8192 CPUs, more than any kernel for x86-64 knows
_libc = ctypes.CDLL(None)


def walks(threads: int, cores: Sequence[int], seed: int) -> Iterator[tuple[int, int]]:
    """Yield moves for ever: the place of a thread among *threads*, and the core it goes to, never the one it was sent
    to last.

    :param cores: at least two.
    """
    rng = random.Random(seed)
    last: dict[int, int] = {}
    while True:
        thread = rng.randrange(threads)
        last[thread] = rng.choice([core for core in cores if core != last.get(thread)])
        yield thread, last[thread]


def move_times(rate_hz: float, seed: int) -> Iterator[float]:
    """Yield when moves are due, in seconds from the start: a Poisson process of *rate_hz*."""
    rng = random.Random(seed)
    at_s = 0.0
    while True:
        at_s += rng.expovariate(rate_hz)
        yield at_s


class Churn:
    """The churn of one guest; without *spec* and on one core there is none.

    ``count`` is what it came to: None before it has ended, and where there was none.
    """

    def __init__(self, spec: ChurnSpec | None, tids: Collection[int], cores: Sequence[int], seed: int) -> None:
        self.count: StormCount | None = None
        self._spec = spec if len(cores) > 1 else None
        self._homes = _homes(tids) if self._spec else {}
        self._tids = list(self._homes)
        self._moves = walks(len(self._tids), cores, seed)
        self._seed = seed
        self._moved = self._due = 0
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="qstress-churn", daemon=True)

    def start(self) -> None:
        """Begin to move threads."""
        if self._tids:
            self._thread.start()

    def reached(self, milestone: Milestone) -> None:
        """Say that the boot has come to *milestone*, to which a burst may be tied."""
        if self._spec and milestone in self._spec.at:
            self._due += self._spec.burst
            self._wake.set()

    async def stop(self) -> None:
        """Move no more, let every thread run where it might before, and count."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            with anyio.CancelScope(shield=True):
                await run_sync(self._thread.join)

    def _work(self) -> None:
        assert self._spec is not None
        began_s, before = time.monotonic(), migrations(self._tids)
        if self._spec.rate_hz is None:
            self._in_bursts()
        else:
            self._at_rate(self._spec.rate_hz, began_s)
        seconds, after = time.monotonic() - began_s, migrations(self._tids)
        for tid, cores in self._homes.items():
            with suppress(OSError):
                os.sched_setaffinity(tid, cores)
        both = before.keys() & after.keys()
        self.count = StormCount(seconds, self._moved, sum(after[tid] - before[tid] for tid in both) if both else None)

    def _at_rate(self, rate_hz: float, began_s: float) -> None:
        for at_s in move_times(rate_hz, self._seed):
            if self._wake.wait(max(0.0, began_s + at_s - time.monotonic())):
                return
            self._move()

    def _in_bursts(self) -> None:
        done = 0
        while self._wake.wait() and not self._stopping:
            self._wake.clear()
            while done < self._due and not self._stopping:
                self._move()
                done += 1

    def _move(self) -> None:
        place, core = next(self._moves)
        mask = (ctypes.c_uint8 * _MASK_BYTES)()
        mask[core // 8] = 1 << core % 8
        self._moved += _libc.sched_setaffinity(self._tids[place], _MASK_BYTES, mask) == 0


@asynccontextmanager
async def churning(
    spec: ChurnSpec | None, pid: int, vcpu_tids: Collection[int], *, seed: int, cores: Sequence[int] | None = None
) -> AsyncIterator[Churn]:
    """Move the threads of the QEMU *pid* while the block runs; once it is left they may run where they might before.

    :param vcpu_tids: its vCPU threads, as ``query-cpus-fast`` tells them.
    :param cores: between which; by default those that this process may use.
    """
    where = sorted(os.sched_getaffinity(0)) if cores is None else cores
    churn = Churn(spec, movable(pid, vcpu_tids) if spec else (), where, seed)
    churn.start()
    try:
        yield churn
    finally:
        await churn.stop()


def movable(pid: int, vcpu_tids: Collection[int]) -> list[int]:
    """Return the threads of the QEMU *pid* that churn moves: vCPUs, main loop, and the monitors' thread.

    QEMU names that ``IO mon_iothread``, but only if told to name threads; otherwise it cannot be told from QEMU's other
    helpers, which then move as well. What KVM adds to the process has names of its own and stays where it is.
    """
    own = _name(pid, pid)
    try:
        tids = sorted(map(int, os.listdir(f"/proc/{pid}/task")))
    except OSError:
        return []
    return [tid for tid in tids if tid in vcpu_tids or _name(pid, tid) in (own, "IO mon_iothread")]


def migrations(tids: Iterable[int]) -> dict[int, int]:
    """Return how often the kernel has moved each thread to another CPU; threads that are gone are left out, and all are
    where it does not tell (before Linux 6.15: without ``CONFIG_SCHED_DEBUG``)."""
    counts = {}
    for tid in tids:
        with suppress(OSError):
            if match := _MIGRATIONS.search(Path(f"/proc/{tid}/sched").read_text()):
                counts[tid] = int(match[1])
    return counts


def _homes(tids: Iterable[int]) -> dict[int, set[int]]:
    homes = {}
    for tid in tids:
        with suppress(OSError):
            homes[tid] = os.sched_getaffinity(tid)
    return homes


def _name(pid: int, tid: int) -> str:
    try:
        return Path(f"/proc/{pid}/task/{tid}/comm").read_text().strip()
    except OSError:
        return ""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from qstress.guest import churn
from qstress.guest.churn import churning, migrations, movable, move_times, walks
from qstress.model import ChurnSpec, Milestone

CORES = sorted(os.sched_getaffinity(0))
FAST = ChurnSpec("2000/s", rate_hz=2000.0)
BURST = ChurnSpec("50 at pci+found", burst=50, at=(Milestone.PCI, Milestone.FOUND))
two_cores = pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")
#: A process of four threads, of which one has a name of its own.
THREADS = """
import threading
for name in ("python", "IO mon_iothread", "kvm-nx-lpage"):
    def work(name=name):
        open("/proc/thread-self/comm", "w").write(name)
        ready.release()
        threading.Event().wait()
    ready = threading.Semaphore(0)
    threading.Thread(target=work).start()
    ready.acquire()
open("/proc/self/comm", "w").write("python")
print("ready", flush=True)
"""


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A process with threads, ready."""
    with subprocess.Popen([sys.executable, "-c", THREADS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_a_walk_never_stays_and_goes_everywhere() -> None:
    moves = list(itertools.islice(walks(5, [0, 3, 7], seed=1), 3000))
    last: dict[int, int] = {}
    for thread, core in moves:
        assert last.get(thread) != core
        last[thread] = core
    assert {core for _, core in moves} == {0, 3, 7}
    assert min(Counter(thread for thread, _ in moves).values()) > 450


def test_a_walk_comes_from_its_seed() -> None:
    first, again, other = (list(itertools.islice(walks(4, [0, 1, 2], seed), 50)) for seed in (1, 1, 2))
    assert first == again != other


def test_moves_are_due_at_the_rate_that_was_asked_for() -> None:
    times = list(itertools.islice(move_times(1000.0, seed=1), 20_000))
    assert times == sorted(times)
    assert times[-1] == pytest.approx(20.0, rel=0.05)
    assert times[:10] == list(itertools.islice(move_times(1000.0, seed=1), 10))


def test_vcpus_the_main_loop_and_the_monitors_thread_move(process: subprocess.Popen[str]) -> None:
    names = {
        int(path.name): (path / "comm").read_text().strip() for path in Path(f"/proc/{process.pid}/task").iterdir()
    }
    kvm = next(tid for tid, name in names.items() if name.startswith("kvm"))
    assert len(names) == 4
    assert movable(process.pid, ()) == sorted(names.keys() - {kvm})
    assert movable(process.pid, {kvm}) == sorted(names)
    assert movable(2**22 - 1, ()) == []


async def wait_for_moves(tids: list[int], at_least: int) -> None:
    """Wait until the threads have been seen pinned to different cores."""
    seen: set[tuple[int, ...]] = set()
    while len(seen) < at_least:
        for tid in tids:
            where = os.sched_getaffinity(tid)
            if len(where) == 1:
                seen.add((tid, *where))
        await anyio.sleep(0.001)


@two_cores
async def test_threads_move_and_are_put_back(process: subprocess.Popen[str]) -> None:
    os.sched_setaffinity(process.pid, CORES[:1])
    tids = movable(process.pid, ())
    homes = {tid: os.sched_getaffinity(tid) for tid in tids}
    async with churning(FAST, process.pid, (), seed=1) as running:
        await wait_for_moves(tids, 2 * len(tids))
    assert {tid: os.sched_getaffinity(tid) for tid in tids} == homes
    assert running.count is not None
    assert running.count.moves >= 2 * len(tids)
    assert running.count.seconds > 0
    assert not [thread for thread in threading.enumerate() if thread.name == "qstress-churn"]


@two_cores
async def test_a_thread_that_runs_really_migrates() -> None:
    with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as spinner:
        try:
            if not migrations([spinner.pid]):
                pytest.skip("this kernel does not count migrations")
            before = migrations([spinner.pid])[spinner.pid]
            async with churning(FAST, spinner.pid, (), seed=1) as running:
                while migrations([spinner.pid])[spinner.pid] < before + 10:
                    await anyio.sleep(0.001)
        finally:
            spinner.kill()
    assert running.count is not None
    assert (running.count.migrations or 0) >= 10


@two_cores
async def test_a_burst_comes_with_its_milestone(process: subprocess.Popen[str]) -> None:
    async with churning(BURST, process.pid, (), seed=1) as running:
        for milestone in (Milestone.BANNER, Milestone.PCI, Milestone.FOUND, Milestone.BOOT):
            running.reached(milestone)
            while running._moved < 50 * (milestone >= Milestone.PCI) + 50 * (milestone >= Milestone.FOUND):
                await anyio.sleep(0.001)
    assert running.count is not None
    assert running.count.moves == 100


@two_cores
async def test_it_is_undone_also_when_it_is_cancelled(process: subprocess.Popen[str]) -> None:
    tids = movable(process.pid, ())
    homes = {tid: os.sched_getaffinity(tid) for tid in tids}
    with anyio.CancelScope() as scope:
        async with churning(FAST, process.pid, (), seed=1):
            await wait_for_moves(tids, len(tids))
            scope.cancel()
    assert {tid: os.sched_getaffinity(tid) for tid in tids} == homes


@two_cores
async def test_a_qemu_that_ends_meanwhile_is_no_error(process: subprocess.Popen[str]) -> None:
    async with churning(FAST, process.pid, (), seed=1) as running:
        await wait_for_moves(movable(process.pid, ()), 1)
        process.kill()
        process.wait()
    assert running.count is not None
    assert running.count.migrations is None


@pytest.mark.parametrize(("spec", "cores"), [(None, CORES), (FAST, CORES[:1]), (BURST, CORES[:1])])
async def test_nothing_moves_without_being_asked_or_on_one_core(
    spec: ChurnSpec | None, cores: list[int], process: subprocess.Popen[str]
) -> None:
    async with churning(spec, process.pid, (), seed=1, cores=cores) as running:
        running.reached(Milestone.PCI)
    assert running.count is None


def test_a_kernel_that_does_not_count_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    assert migrations([2**22 - 1]) == {}
    monkeypatch.setattr(churn, "_MIGRATIONS", re.compile("no such line"))
    assert migrations([os.getpid()]) == {}

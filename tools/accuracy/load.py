"""What a guest has to suffer from its host: CPU hogs, idle priority, a CPU quota."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from qstress.guest.argv import guarded

#: How many hogs a core gets.
OVERSUBSCRIBED = 8
#: CPU time in 100 ms, and that period, in microseconds: "10 ms cgroup quota".
QUOTA_US, PERIOD_US = 10_000, 100_000

CORES = len(os.sched_getaffinity(0))


@contextmanager
def hogs(a_core: int = OVERSUBSCRIBED) -> Iterator[None]:
    """Have so many hogs on each core of the host while the block runs; they die with us, whatever kills us."""
    argv = guarded(("sh", "-c", "while :; do :; done"), parent_pid=os.getpid())
    with ExitStack() as stack:
        for _ in range(a_core * CORES):
            hog = stack.enter_context(subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True))
            stack.callback(hog.kill)
        yield


def threads_of(pid: int) -> list[int]:
    """Return the threads of a living process."""
    return [int(name) for name in os.listdir(f"/proc/{pid}/task")]


def schedule(threads: Iterable[int], policy: int) -> None:
    """Give *threads* a policy: ``os.SCHED_IDLE`` (run when nothing else wants to) or ``os.SCHED_OTHER``."""
    for tid in threads:
        with suppress(ProcessLookupError):
            os.sched_setscheduler(tid, policy, os.sched_param(0))


def quota_root(quota_us: int = QUOTA_US) -> tuple[Path, dict[str, str]] | None:
    """Return where a CPU cgroup can be made, and what to write into its files; None where that is not for us.

    Version 1 has a folder for the CPU controller. In version 2 the controller must be on in the group that we see as
    the root: a container's own group holds its processes, and then it cannot be.
    """
    one, two = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    if (one / "cpu.cfs_quota_us").exists():
        root, files = one, {"cpu.cfs_period_us": f"{PERIOD_US}", "cpu.cfs_quota_us": f"{quota_us}"}
    elif "cpu" in _words(two / "cgroup.subtree_control"):
        root, files = two, {"cpu.max": f"{quota_us} {PERIOD_US}"}
    else:
        return None
    return (root, files) if os.access(root, os.W_OK) else None


@contextmanager
def quota(number: int, quota_us: int = QUOTA_US) -> Iterator[Callable[[int], None]]:
    """Make a CPU cgroup with so much CPU time in each :data:`PERIOD_US`; hand out what puts a process into it. It goes
    away with the block, when all its processes must be dead.

    :raises OSError: this host has no such thing for us (see :func:`quota_root`).
    """
    root, files = quota_root(quota_us) or (Path("/nonexistent"), {})
    group = root / f"qstress-accuracy-{os.getpid()}-{number}"
    group.mkdir()
    try:
        for name, text in files.items():
            (group / name).write_text(text)

        def take(pid: int) -> None:
            (group / "cgroup.procs").write_text(str(pid))

        yield take
    finally:
        group.rmdir()


def _words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []

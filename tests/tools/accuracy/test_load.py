"""Hogs come and go; nothing of the host's scheduling stays changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.accuracy import load


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_hogs_are_there_while_they_are_wanted_and_gone_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "CORES", 1)
    before = children()
    with load.hogs(2):
        assert len(children() - before) == 2
    assert children() == before
    with load.hogs(0):
        assert children() == before


def test_hogs_go_also_when_something_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "CORES", 1)
    before = children()
    with pytest.raises(KeyboardInterrupt), load.hogs():
        raise KeyboardInterrupt
    assert children() == before


@pytest.fixture
def sleeper() -> Iterator[int]:
    """The pid of a process that does nothing."""
    with subprocess.Popen(("sleep", "60"), stdin=subprocess.DEVNULL) as process:
        yield process.pid
        process.kill()


def test_threads_can_be_made_to_wait_for_all_others_and_let_go_again(sleeper: int) -> None:
    for policy in (os.SCHED_IDLE, os.SCHED_OTHER):
        load.schedule(load.threads_of(sleeper), policy)
        assert os.sched_getscheduler(sleeper) == policy


@pytest.mark.skipif(load.quota_root() is None, reason="no CPU cgroup can be made here")
def test_a_quota_takes_a_process_and_leaves_nothing() -> None:
    root, files = load.quota_root() or (Path(), {})
    with load.quota(0) as take:
        group = root / f"qstress-accuracy-{os.getpid()}-0"
        with subprocess.Popen(("sleep", "60"), stdin=subprocess.DEVNULL) as process:
            take(process.pid)
            taken = (group / "cgroup.procs").read_text().split()
            process.kill()
        assert taken == [str(process.pid)]
        assert {name: (group / name).read_text().strip() for name in files} == files
    assert not group.exists()

"""What every test gets: KVM tests skip with their reason, and no test may leave a QEMU behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from qstress.config.kvm import KvmFacts, probe

KVM: KvmFacts = probe()


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, saying why; keep a file's tests that start a QEMU in one process."""
    no_kvm = pytest.mark.skip(reason=f"no usable KVM: {KVM.reason}")
    no_qemu = pytest.mark.skip(reason="no qemu-system-x86_64 on PATH")
    for item in items:
        if item.get_closest_marker("kvm") and not KVM.usable:
            item.add_marker(no_kvm)
        if item.get_closest_marker("qemu") and shutil.which("qemu-system-x86_64") is None:
            item.add_marker(no_qemu)
        live = item.get_closest_marker("qemu") or item.get_closest_marker("kvm")
        if live and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(f"live {item.path.name}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say plainly how many live KVM tests ran and how many were skipped."""
    by_outcome = {
        outcome: sum("kvm" in report.keywords for report in terminalreporter.stats.get(outcome, []))
        for outcome in ("passed", "failed", "skipped")
    }
    ran = by_outcome["passed"] + by_outcome["failed"]
    why = "" if KVM.usable else f" ({KVM.reason})"
    terminalreporter.write_line(f"live KVM tests: {ran} ran, {by_outcome['skipped']} skipped{why}")


@pytest.fixture(autouse=True)
def no_qemu_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test that may start one: no QEMU of this test process is alive."""
    yield
    if request.node.get_closest_marker("qemu") or request.node.get_closest_marker("kvm"):
        assert qemus_of(os.getpid()) == []


def qemus_of(ancestor: int) -> list[str]:
    """Return ``pid name`` of every living QEMU that descends from *ancestor*."""
    parents: dict[int, tuple[int, str]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = stat.read_text().rpartition(") ")
        except OSError:
            continue
        pid, _, name = head.partition(" (")
        if tail[0] != "Z":
            parents[int(pid)] = (int(tail.split()[1]), name)

    def descends(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid][0]
            if pid == ancestor:
                return True
        return False

    return [f"{pid} {name}" for pid, (_, name) in parents.items() if name.startswith("qemu-system") and descends(pid)]

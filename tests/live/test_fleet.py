"""A soak on worker processes: live QEMU under TCG, one worker killed on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from distributed import Worker

from qstress.config.kvm import KvmFacts
from qstress.config.load import load_config_text
from qstress.config.resolve import resolve
from qstress.config.settings import FleetSettings
from qstress.model import Host, TrialResult
from qstress.recorded.export import trial_rows
from qstress.recorded.reports import printed
from qstress.recorded.run import open_recorded
from qstress.run import dask_fleet
from qstress.run import soak as job
from qstress.run.campaign import Reason
from qstress.run.soak import resume, start
from qstress.store.read import open_run
from tests.conftest import KVM
from tests.run.test_dask_fleet import look_named, scheduler, worker

pytestmark = pytest.mark.qemu

CONFIG = """
version: 1
name: crew
builds:
  faulty: {binary: qemu-system-x86_64, inject: {lost_ap: 0.2}}
  stock: {binary: qemu-system-x86_64}
guest: {accel: tcg, smp: 2}
compare: {baseline: faulty, candidate: stock}
stop: {trials: 24}
lanes: 2
workers: 2
seed: 5
"""

IN_PLACE = """
version: 1
name: fleet
builds:
  faulty: {binary: qemu-system-x86_64, inject: {lost_ap: 0.2, accel: any}}
  stock: {binary: qemu-system-x86_64}
guest: {accel: tcg, smp: 2, memory: 32M, firmware: smpscan, restart: reset, process_trials: 5}
hammer: []
stop: {trials: 40}
lanes: 1
"""
NO_KVM = KvmFacts(False, "not asked")


def children(pid: int) -> list[int]:
    """Return the processes that *pid* started."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def descendants(pid: int) -> dict[int, str]:
    """Return the command lines of all processes below *pid*."""
    found: dict[int, str] = {}
    for child in children(pid):
        try:
            found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        found |= descendants(child)
    return found


def started(tmp_path: Path, *more: str) -> subprocess.Popen[str]:
    config = tmp_path / "crew.yaml"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "qstress", "soak", str(config), "--runs-dir", str(tmp_path), "-v", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def verdicts(tmp_path: Path) -> tuple[Path, dict[int, str]]:
    """Return the run's folder, and the outcome of each counted trial."""
    (summary,) = tmp_path.glob("*/summary.json")
    from qstress.plan.schedule import Plan
    from qstress.recorded.settings import settings_of

    with open_run(summary.parent) as record:
        settings = settings_of(record.run)
        plan = Plan(settings.builds, settings.strata, settings.seed)
        done = {r.trial.number: r.verdict.outcome.value for results in record.results(plan.block) for r in results}
    return summary.parent, done


@pytest.mark.timeout(300)
def test_a_worker_that_is_killed_loses_no_trial_and_no_finding(tmp_path: Path) -> None:
    killed, lines = 0, []
    with started(tmp_path) as soak:
        assert soak.stderr is not None
        for line in soak.stderr:
            lines.append(line)
            if line.startswith("trial ") and not killed:
                guests: list[int] = []
                while not guests:  # with vCPUs: not one that is asked whether it has a sandbox
                    guests = [pid for pid, command in descendants(soak.pid).items() if " -smp " in command]
                killed = int(Path(f"/proc/{guests[0]}/stat").read_text().rpartition(")")[2].split()[1])
                os.kill(killed, signal.SIGKILL)
    assert soak.returncode in (0, 1, 5), lines
    assert any("its blocks are run again" in line for line in lines), lines
    run, outcomes = verdicts(tmp_path)
    assert sorted(outcomes) == list(range(24))
    planned = {number for number, outcome in outcomes.items() if outcome == "hang"}
    assert set(outcomes.values()) <= {"ok", "hang"}
    assert planned
    told = {int(line.split()[1]) for line in lines if ": hang:" in line}
    kept = {int(folder.name.partition("-")[0]) for folder in (run / "evidence").iterdir()}
    assert told == planned
    assert kept <= planned
    summary = json.loads((run / "summary.json").read_text())
    assert summary["reason"] == "trials"
    assert sum(worker["lost"] for worker in summary["fleet"]["workers"]) == 1
    assert sum(worker["blocks"] for worker in summary["fleet"]["workers"]) == 12


@pytest.mark.timeout(300)
def test_the_same_trials_end_the_same_with_one_process_and_with_workers(tmp_path: Path) -> None:
    outcomes = []
    for workers in ("1", "2"):
        folder = tmp_path / workers
        folder.mkdir()
        soak = started(folder, "--workers", workers, "--set", "stop.trials=12")
        soak.communicate()
        outcomes.append(verdicts(folder)[1])
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0]) == 12


@pytest.mark.timeout(300)
def test_a_signal_drains_and_no_guest_is_left_and_nothing_listened_beyond_loopback(tmp_path: Path) -> None:
    soak = started(tmp_path)
    assert soak.stderr is not None
    for line in soak.stderr:
        if line.startswith("trial "):
            break
    family = descendants(soak.pid)
    listening = _listening({soak.pid, *family})
    soak.send_signal(signal.SIGTERM)
    soak.communicate()
    assert soak.returncode == 143
    assert listening
    assert all(address == "0100007F" for address in listening)
    deadline_s = time.monotonic() + 60
    while left := [pid for pid in family if Path(f"/proc/{pid}/cwd").exists()]:
        assert time.monotonic() < deadline_s, left
        time.sleep(0.05)
    assert json.loads(next(tmp_path.glob("*/summary.json")).read_text())["reason"] == "interrupted"


@pytest.mark.timeout(300)
async def test_the_hosts_of_a_fleet_are_told_apart_and_read_back_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers in this process that say they are on hosts of their own; the soak ends once both ran a block."""
    monkeypatch.setattr(dask_fleet, "look_at_worker", look_named)
    config = load_config_text(CONFIG.replace("workers: 2", f"runs_dir: {tmp_path}"), "crew.yaml")
    asked = replace(resolve(config, kvm=KVM, cores=2, base=tmp_path), stop_trials=None, stop_duration_s=240.0)
    ran: set[Host | None] = set()

    def note(result: TrialResult, place: str | None) -> None:
        ran.add(result.host)
        if len(ran) == 2:
            soak.campaign.drain(Reason.TRIALS)

    with ExitStack() as stack:
        async with scheduler() as at, worker(at, "7"), worker(at, "8"):
            fleet = FleetSettings(at.address)
            soak = job.start(replace(asked, fleet=fleet, workers=2), KVM, stack=stack, on_result=note)
            await soak.run()
    assert ran == {Host("rack-7", "6.1"), Host("rack-8", "6.1")} == set(soak.tally.hosts)
    again = open_recorded(soak.store.path)
    assert [(cell.cell, cell.outcomes) for cell in again.totals.tally.cells] == [
        (cell.cell, cell.outcomes) for cell in soak.tally.cells
    ]
    assert printed(again, "json") == (soak.store.path / "summary.json").read_text()
    assert "hosts: rack-" in printed(again, "text")
    assert {row["host"] for row in trial_rows(again.path)} == {"rack-7", "rack-8"}


async def test_a_scheduler_that_goes_ends_the_run_with_4_and_another_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_fleet, "GONE_S", 0.0)
    monkeypatch.setattr(dask_fleet, "LOOK_S", 0.05)
    monkeypatch.setattr(dask_fleet, "CONNECT_S", 1.0)  # and so long dask's client tries to find it again
    config = load_config_text(IN_PLACE, "fleet.yaml", options={"runs_dir": str(tmp_path)})
    base = resolve(config, kvm=NO_KVM, cores=1, base=tmp_path)
    done: list[int] = []

    with ExitStack() as stack:
        async with scheduling(tmp_path) as (address, killed):
            soak = start(replace(base, fleet=FleetSettings(address)), NO_KVM, stack=stack,
                         on_result=lambda result, _: done.append(result.trial.number))  # fmt: skip
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(soak.run)
                while not done:
                    await anyio.sleep(0.01)
                killed.kill()
        assert "the scheduler is gone; --resume goes on" in str(soak.error)
        assert soak.exit_code == 4
        run = soak.store.path
    async with scheduling(tmp_path) as (address, _):
        with ExitStack() as stack:
            again = replace(base, fleet=FleetSettings(address))
            soak = resume(again, NO_KVM, run=run, stack=stack, on_result=lambda result, place: None)
            assert await soak.run() == 1
    with open_run(run) as record:
        results = [result for block in record.results(soak.plan.block) for result in block]
        counted = [found.number for found in record.findings() if found.counted]
    planned = [result.trial.number for result in results if result.trial.inject_lost_ap]
    assert [result.trial.number for result in results] == list(range(40))
    assert sorted(counted) == planned


@asynccontextmanager
async def scheduling(folder: Path) -> AsyncIterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a scheduler, and a worker of it in this process."""
    found = folder / "scheduler.json"
    found.write_text("")
    asked = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(found))
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", *asked]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            while not found.read_text().endswith("}"):
                await anyio.sleep(0.01)
            address = json.loads(found.read_bytes())["address"]
            async with Worker(address, nthreads=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"):
                yield address, process
        finally:
            process.kill()


def _listening(pids: set[int]) -> list[str]:
    """Return the addresses on which *pids* listen, in hexadecimal."""
    inodes = set()
    for pid in pids:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                inodes.add(os.readlink(fd))
            except OSError:
                continue
    tables = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    rows = [row for line in tables.splitlines() if len(row := line.split()) > 9 and row[3] == "0A"]
    return [row[1].partition(":")[0] for row in rows if f"socket:[{row[9]}]" in inodes]

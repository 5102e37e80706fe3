"""A soak's trials on an emulated host, whose QEMU is a stand-in: its agent, and the server of trials, run here."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.config.schema import HostEntry
from qstress.emulated.host import EmulatedHost, HostLost
from qstress.errors import RigError
from qstress.model import Cell, Outcome, Trial
from qstress.run import emulated
from qstress.run.emulated import MOST_HOSTS, Place, may_try_again, place_of, places_of, this_machine
from qstress.trial.context import Coordinator, FinishedTrial, TrialContext
from tests.conftest import KVM
from tests.emulated.hosts import AGENT, PANIC, no_kernel, stand_in
from tests.samples import build, stratum, trial

ENTRY = HostEntry.model_validate({"emulated": {"cpus": 3, "memory": "2G"}})


class Taking(Coordinator):
    def __init__(self) -> None:
        self.finished: list[FinishedTrial] = []

    def take(self, finished: Sequence[FinishedTrial]) -> bool:
        self.finished += finished
        return True


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[EmulatedHost]:
    """The emulated hosts that were booted."""
    booted: list[EmulatedHost] = []
    real = emulated._serving

    def serving(host: EmulatedHost) -> object:
        booted.append(host)
        return real(host)

    monkeypatch.setattr(emulated, "find", lambda wanted, say: no_kernel(tmp_path))
    monkeypatch.setattr(emulated, "QEMU", stand_in(tmp_path, AGENT))
    monkeypatch.setattr(emulated, "_serving", serving)
    return booted


def test_without_a_host_it_is_this_machine() -> None:
    with place_of(None, print) as place:
        assert (place.kvm, place.settings, place.run_process) == (KVM, None, None)
    assert place.cores == this_machine().cores


@pytest.mark.usefixtures("hosts")
async def test_a_trial_runs_there_and_its_result_comes_back() -> None:
    said: list[str] = []
    nowhere = Trial(4, 4, 0, Cell(build(binary="/no/such/qemu"), stratum()), 1)
    with place_of(ENTRY, said.append) as place:
        assert place.cores == 3
        assert place.kvm == KVM
        assert place.settings is not None
        assert (place.settings.release, place.settings.memory_bytes) == ("6.1.0-test", 2 << 30)
        assert place.run_process is not None
        taking = Taking()
        await place.run_process([nowhere], TrialContext(), taking)
    (finished,) = taking.finished
    assert finished.result.trial == nowhere
    assert finished.result.verdict.outcome is Outcome.RIG
    assert any("6.1.0-test" in line for line in said)


async def test_a_host_that_dies_is_a_rig_error_and_the_soak_may_go_on(hosts: list[EmulatedHost]) -> None:
    with place_of(ENTRY, lambda line: None) as place:
        os.kill(hosts[0].pid, signal.SIGKILL)
        assert place.run_process is not None
        with pytest.raises(HostLost, match="SIGKILL") as caught:
            await place.run_process([trial(1)], TrialContext(), Taking())
    assert may_try_again(caught.value, 1)


def test_it_is_tried_again_so_often_and_only_for_a_lost_host() -> None:
    lost = HostLost("gone", [])
    assert may_try_again(lost, MOST_HOSTS - 1)
    assert not may_try_again(lost, MOST_HOSTS)
    assert not may_try_again(RigError("disk full"), 1)
    assert not may_try_again(None, 1)


@pytest.mark.usefixtures("hosts")
def test_a_host_that_never_comes_up_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulated, "QEMU", stand_in(tmp_path, PANIC))
    with pytest.raises(HostLost, match="Kernel panic"), place_of(ENTRY, lambda line: None):
        pass


@pytest.mark.usefixtures("hosts")
def test_a_host_that_dies_while_it_boots_costs_a_second_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    was = tmp_path / "booted-before"
    first = f"if not os.path.exists({str(was)!r}):\n    open({str(was)!r}, 'w')\n    raise SystemExit({PANIC!r})\n"
    monkeypatch.setattr(emulated, "QEMU", stand_in(tmp_path, first + AGENT))
    said: list[str] = []
    with place_of(ENTRY, said.append) as place:
        assert place.settings is not None
    assert [line.partition(";")[2] for line in said if "Kernel panic" in line] != []


@pytest.mark.usefixtures("hosts")
def test_its_kernels_log_is_read_where_it_says(hosts: list[EmulatedHost]) -> None:
    with place_of(ENTRY, lambda line: None) as place:
        hosts[0].on_kernel(b"6,1,1,-;hello\n")
        fd = os.open(place.kernel_log, os.O_RDONLY | os.O_NONBLOCK)
        assert b"hello" in os.read(fd, 1000)
        os.close(fd)


@pytest.mark.usefixtures("hosts")
async def test_a_trial_runs_on_the_host_that_its_build_is_named_after() -> None:
    said: list[str] = []
    with places_of({"old": ENTRY, "new": ENTRY}, said.append) as place:
        assert list(place.hosts) == [name for name, _ in place.host_settings] == ["old", "new"]
        assert (place.cores, place.kvm, place.settings) == (3, KVM, None)
        assert place.facts["kernel"] == place.hosts["old"].facts["kernel"]
        taking = {name: Taking() for name in place.hosts}
        assert place.run_process is not None
        for name, each in taking.items():
            nowhere = Trial(4, 4, 0, Cell(build(name=name, binary="/no/such/qemu"), stratum()), 1)
            await place.run_process([nowhere], TrialContext(), each)
    assert [each.finished[0].result.trial.cell.build.name for each in taking.values()] == ["old", "new"]
    assert [line.partition(":")[0] for line in said if "booting" in line] == ["old", "new"]


def test_hosts_whose_kvms_differ_are_not_compared() -> None:
    here = this_machine()
    other = replace(here, kvm=replace(here.kvm, smm=not here.kvm.smm))
    with pytest.raises(RigError, match=r"hosts whose KVMs differ cannot be compared: old: .*; new: "):
        emulated._together({"old": here, "new": other})
    assert emulated._together({"old": here, "new": here}).kvm == here.kvm


async def test_each_of_several_hosts_gets_its_own_trials() -> None:
    ran: list[str] = []

    def of(name: str) -> Place:
        async def run_process(trials: Sequence[Trial], context: TrialContext, coordinator: Coordinator) -> None:
            ran.append(f"{name} {trials[0].cell.build.name}")

        return replace(this_machine(), run_process=run_process)

    place = emulated._together({name: of(name) for name in ("old", "new")})
    assert place.run_process is not None
    for name in ("new", "old"):
        await place.run_process([Trial(0, 0, 0, Cell(build(name=name), stratum()), 1)], TrialContext(), Taking())
    assert ran == ["new new", "old old"]

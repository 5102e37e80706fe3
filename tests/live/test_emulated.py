"""A soak whose host is lost and replaced. The hosts are stand-ins whose agents run here, the guests are real (TCG)."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from qstress.cli import cli
from qstress.emulated.host import EmulatedHost
from qstress.model import TrialResult
from qstress.recorded.run import open_recorded
from qstress.run import emulated
from qstress.run.campaign import Campaign, Reason
from qstress.run.screen import Screen
from tests.conftest import qemus_of
from tests.emulated.hosts import AGENT, no_kernel, stand_in

CONFIG = """
version: 1
name: lost-host
host: emulated
builds: {stock: {binary: qemu-system-x86_64, inject: {lost_ap: 0.5}}}
guest: {accel: tcg, smp: 2}
stop: {trials: 12}
lanes: 2
"""


HOSTS = """
version: 1
name: hosts
hosts: {old: emulated, new: emulated}
builds: {stock: {binary: qemu-system-x86_64}}
guest: {accel: tcg, smp: 2}
compare: {baseline: {host: old}, candidate: {host: new}}
stop: {trials: 8}
lanes: 1
"""


class Broken:
    """Soaks on emulated hosts of which the first is sent a signal after five trials (None: it is not)."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, number: signal.Signals | None) -> None:
        self.hosts: list[EmulatedHost] = []
        self.seen: list[int] = []
        self._folder = folder
        folder.mkdir()
        serving, on_result = emulated._serving, Screen.on_result

        def noting(host: EmulatedHost) -> object:
            self.hosts.append(host)
            return serving(host)

        def breaking(screen: Screen, result: TrialResult, place: str | None) -> None:
            self.seen.append(result.trial.number)
            on_result(screen, result, place)
            if len(self.seen) == 5 and number is not None:
                os.kill(self.hosts[0].pid, number)

        patch.setattr(emulated, "find", lambda wanted, say: no_kernel(folder))
        patch.setattr(emulated, "QEMU", stand_in(folder, AGENT))
        patch.setattr(emulated, "_serving", noting)
        patch.setattr(Screen, "on_result", breaking)

    def soak(self, config: str = CONFIG) -> Path:
        """Run it; return the run's folder."""
        (self._folder / "config.yaml").write_text(config)
        asked = ["soak", "-c", str(self._folder / "config.yaml"), "--runs-dir", str(self._folder / "runs")]
        said = CliRunner().invoke(cli, asked, standalone_mode=False)
        assert said.exception is None, said.output
        (run,) = (self._folder / "runs").iterdir()
        return run


def outcomes(run: Path) -> list[dict[str, int]]:
    return [cell["outcomes"] for cell in json.loads((run / "summary.json").read_text())["cells"]]


@pytest.mark.qemu
def test_a_lost_host_costs_no_trial_and_counts_none_twice(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        whole = Broken(tmp_path / "whole", patch, None)
        expected = whole.soak()
    with pytest.MonkeyPatch.context() as patch:
        broken = Broken(tmp_path / "broken", patch, signal.SIGKILL)
        run = broken.soak()
    assert (len(whole.hosts), len(broken.hosts)) == (1, 2)
    assert outcomes(run) == outcomes(expected)
    assert sum(outcomes(run)[0].values()) == 12
    assert set(broken.seen) == set(range(12))
    assert "killed by SIGKILL" in (run / "emulated-host-console.txt").read_text()
    assert json.loads((run / "run.json").read_text())["config"]["host"]["release"] == "6.1.0-test"
    assert qemus_of(os.getpid()) == []


@pytest.mark.qemu
def test_several_hosts_run_their_own_trials_and_a_lost_one_costs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(tmp_path / "broken", monkeypatch, signal.SIGKILL)
    run = broken.soak(HOSTS)
    summary = json.loads((run / "summary.json").read_text())
    assert len(broken.hosts) == 4
    assert [(cell["build"], cell["host"]["kind"], cell["host"]["name"]) for cell in summary["cells"]] == [
        ("old", "emulated", "old"), ("new", "emulated", "new"),
    ]  # fmt: skip
    assert [sum(cell.values()) for cell in outcomes(run)] == [4, 4]
    assert (summary["compare"]["baseline"], summary["compare"]["candidate"]) == ("old", "new")
    assert list(json.loads((run / "run.json").read_text())["host"]["hosts"]) == ["old", "new"]
    assert open_recorded(run).settings.hosts[1][1].release == "6.1.0-test"
    assert qemus_of(os.getpid()) == []


@pytest.mark.qemu
def test_who_interrupts_a_soak_gets_no_new_host_for_a_lost_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does whose host seems to stand still: Ctrl-C, and then it is found dead."""
    broken = Broken(tmp_path / "broken", monkeypatch, None)
    on_result, drain = Screen.on_result, Campaign.drain

    def interrupting(screen: Screen, result: TrialResult, place: str | None) -> None:
        on_result(screen, result, place)
        os.kill(os.getpid(), signal.SIGINT)

    def dying(campaign: Campaign, reason: Reason) -> None:
        drain(campaign, reason)
        broken.hosts[0].kill()

    monkeypatch.setattr(Screen, "on_result", interrupting)
    monkeypatch.setattr(Campaign, "drain", dying)
    run = broken.soak()
    assert len(broken.hosts) == 1
    assert json.loads((run / "summary.json").read_text())["reason"] in ("interrupted", "error")

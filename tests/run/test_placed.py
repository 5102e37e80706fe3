"""A soak in its place, as a program watches it; what a person sees is in ``tests/cli`` and ``tests/live``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from qstress.config.load import load_config
from qstress.config.resolve import resolve
from qstress.config.settings import Settings
from qstress.model import TrialResult
from qstress.run import placed
from qstress.run.emulated import Place
from qstress.run.placed import run_placed
from qstress.run.soak import Soak
from tests.cli.command import ROOT

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(150)]
CONFIG = ROOT / "configs/injected.yaml"


class Noted:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.trials: list[int] = []
        self.followed: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def on_result(self, result: TrialResult, place: str | None) -> None:
        self.trials.append(result.trial.number)

    @asynccontextmanager
    async def following(self, soak: Soak) -> AsyncIterator[None]:
        self.followed.append(soak.store.run_id)
        yield


def settings_in(runs_dir: Path, place: Place) -> Settings:
    few = {"stop.trials": 2, "guest.smp": 2, "runs_dir": str(runs_dir)}
    config = load_config(CONFIG, environ={}, options=few)
    return resolve(config, kvm=place.kvm, cores=place.cores, base=CONFIG.parent)


def test_who_looks_on_is_told(tmp_path: Path) -> None:
    watcher = Noted()
    soak = run_placed(None, lambda place: settings_in(tmp_path, place), watcher)
    assert sorted(watcher.trials) == [0, 1]
    assert watcher.followed == [soak.store.run_id]
    assert watcher.lines[0].startswith("qstress ")
    assert ": injected: " in watcher.lines[0]
    assert (soak.store.path / "summary.json").exists()


def test_a_lost_host_is_replaced_and_its_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher, seen = Noted(), []

    def again(error: object, hosts: int) -> bool:
        seen.append(hosts)
        return hosts < 2

    monkeypatch.setattr(placed, "may_try_again", again)
    soak = run_placed(None, lambda place: settings_in(tmp_path, place), watcher)
    assert seen == [1, 2]
    assert watcher.followed == [soak.store.run_id] * 2
    assert any(f"going on with {soak.store.run_id} on a new emulated host (2)" in line for line in watcher.lines)
    assert [path.name for path in tmp_path.iterdir()] == [soak.store.run_id]

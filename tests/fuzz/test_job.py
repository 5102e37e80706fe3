"""From a configuration to a session's folder, and back from there."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qstress.config.fuzzing import FuzzSettings
from qstress.config.load import load_config_text
from qstress.config.schema import Config
from qstress.config.settings import Settings
from qstress.errors import ConfigError
from qstress.fuzz import job
from qstress.fuzz.session import Session
from qstress.model import Accel, Build, Shape, Stratum
from tests.fuzz.guests import QEMU

BUILD = Build("stock", QEMU, "7.2.22", "ab" * 32)
SHAPE = Shape(2, "pc", Accel.TCG, 32 << 20, "seabios", ("-nodefaults",))
FUZZ = FuzzSettings((("-usb",), ("-S",)), 100, 0.3, 5, {"qmp": 3.0}, {"quit": 0.0}, 10.0, 60.0, None)
CONFIG = "version: 1\nname: f\nbuilds: {a: {binary: qemu}}\nstop: {duration: 1m}\nguest: {accel: auto}\n"


def settings(runs_dir: Path, **more: Any) -> Settings:
    made = Settings(
        name="a b", builds=(BUILD,), strata=(Stratum(SHAPE, ()),), stop_trials=None, stop_duration_s=60.0,
        stop_decided=False, compare=None, gate=None, lanes=1, seed=1, runs_dir=runs_dir, metrics_listen=None,
        metrics_textfile=None, accel_note="TCG, as configured; more",
    )  # fmt: skip
    return replace(made, **more)


def prepare(runs_dir: Path, **more: Any) -> job.Job:
    return job.prepare(settings(runs_dir), FUZZ, host={"cores": 2}, sandboxed=False, **more)


def test_a_session_has_a_folder_that_says_what_it_is(tmp_path: Path) -> None:
    made = prepare(tmp_path)
    run = json.loads((made.folder / "run.json").read_bytes())
    assert (run["kind"], run["name"], run["host"], run["run"]) == ("fuzz", "a b", {"cores": 2}, made.folder.name)
    assert made.folder.name.endswith(made.folder.name.rpartition("-a-b-")[2])
    assert run["qemu"]["binary"] == QEMU
    assert made.target.guests[0][-2:] == ("-nodefaults", "-usb")
    assert made.target.guests[1][-1] == "-S"
    assert made.note == "TCG, as configured; NO SANDBOX: what is fuzzed can harm this host"


def test_it_goes_on_with_the_same_configuration_only(tmp_path: Path) -> None:
    folder = prepare(tmp_path).folder
    longer = settings(tmp_path / "elsewhere", stop_duration_s=90.0)
    assert job.prepare(longer, FUZZ, host={}, sandboxed=False, resume=folder).folder == folder
    with pytest.raises(ConfigError, match="has changed since"):
        job.prepare(settings(tmp_path, seed=2), FUZZ, host={}, sandboxed=False, resume=folder)
    with pytest.raises(ConfigError, match="has changed since"):
        job.prepare(settings(tmp_path), replace(FUZZ, wrong=0.5), host={}, sandboxed=False, resume=folder)


@pytest.mark.parametrize("content", ["", "{}", '{"kind": "soak", "format": 1}', '{"kind": "fuzz", "format": 2}'])
def test_what_is_no_session_is_not_gone_on_with(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ConfigError, match=r"run\.json: not a"):
        prepare(tmp_path, resume=tmp_path)


def test_accel_auto_asks_who_may_open_kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    def settled(text: str = CONFIG, *, sandboxed: bool = True) -> Config:
        return job.for_confined(load_config_text(text, "f.yaml"), sandboxed=sandboxed)

    monkeypatch.setattr(job, "may_use_kvm", lambda: False)
    assert settled().guest.accel == "tcg"
    assert settled(sandboxed=False).guest.accel == "auto"
    assert settled(CONFIG.replace("auto", "kvm")).guest.accel == "kvm"
    monkeypatch.setattr(job, "may_use_kvm", lambda: True)
    assert settled().guest.accel == "auto"


class FakeSession:
    """A session that is told to stop, or finds something."""

    def __init__(self, unknown: list[str], stop: signal.Signals | None = None) -> None:
        self.findings = self
        self.unknown = unknown
        self.stopping = False
        self._stop = stop

    def run(self, *, duration_s: float | None, guests: int | None) -> None:
        assert (duration_s, guests) == (60.0, None)
        if self._stop is not None:
            signal.raise_signal(self._stop)
            assert self.stopping

    def document(self) -> dict[str, object]:
        return {"guests": 5}


@pytest.mark.parametrize(
    ("unknown", "stop", "code"),
    [([], None, 0), (["one"], None, 1), (["one"], signal.SIGINT, 130), ([], signal.SIGTERM, 143)],
)
def test_the_exit_code_and_the_summary(
    tmp_path: Path, unknown: list[str], stop: signal.Signals | None, code: int
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    made = prepare(tmp_path)
    fake: Any = FakeSession(unknown, stop)
    assert job.run(made, fake) == code
    summary = json.loads((made.folder / "summary.json").read_bytes())
    assert (summary["exit_code"], summary["guests"], summary["kind"]) == (code, 5, "fuzz")
    assert summary["reason"] == ("interrupted" if stop else "duration")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.qemu
def test_a_session_is_made_of_it(tmp_path: Path) -> None:
    (tmp_path / "known.yaml").write_text("version: 1\nknown: []\n")
    made = job.prepare(settings(tmp_path), replace(FUZZ, known=tmp_path / "known.yaml"), host={}, sandboxed=True)
    assert "confined by bubblewrap, as " in made.note
    session = job.session(made, lambda line: None)
    assert isinstance(session, Session)
    assert session.knowledge.settings.weight("quit") == 0.0
    assert session.knowledge.settings.mix == {"qmp": 3.0}

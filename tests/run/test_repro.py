"""A finding run again, without a QEMU: what is counted, what is said, which code it ends with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from qstress.config.binary import sha256_of
from qstress.errors import ConfigError, RigError
from qstress.model import FindingClass, Outcome, Smm, Trial, Verdict
from qstress.run import repro
from qstress.run.repro import run_again
from qstress.store.evidence import write_evidence
from qstress.trial.context import Coordinator, FinishedTrial
from tests.store import samples

OTHER = Verdict(Outcome.HANG, "the boot CPU spins", FindingClass.BSP_SPIN, "bsp-spin")
FINE, NO_QEMU = Verdict(Outcome.OK, "all up"), samples.NO_QEMU


@pytest.fixture
def finding(tmp_path: Path) -> Path:
    """A recorded lost INIT whose QEMU is there."""
    found = samples.result(2, samples.LOST_INIT)
    trial = found.trial
    cell = replace(trial.cell, build=replace(trial.cell.build, binary="/bin/true", smm=Smm.NONE))
    found = replace(found, trial=replace(trial, cell=cell))
    write_evidence(tmp_path / "2", found, samples.evidence(), run_id="x", repro_script="")
    return tmp_path / "2"


@pytest.fixture
def plays(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[Verdict]], list[Trial]]:
    """Have the trials end with these verdicts; the trials that were asked for are returned."""

    def use(verdicts: Sequence[Verdict]) -> list[Trial]:
        asked: list[Trial] = []

        async def run_process(trials: Sequence[Trial], context: object, coordinator: Coordinator) -> None:
            for trial, verdict in zip(trials, verdicts, strict=True):
                await anyio.lowlevel.checkpoint()
                asked.append(trial)
                coordinator.take([FinishedTrial(replace(samples.result(0), trial=trial, verdict=verdict))])

        monkeypatch.setattr(repro, "run_process", run_process)
        return asked

    return use


Plays = Callable[[Sequence[Verdict]], list[Trial]]


@pytest.mark.parametrize(
    ("verdicts", "told", "code"),
    [
        ([samples.LOST_INIT, FINE, samples.LOST_INIT], "lost-init: 2/3", 1),
        ([FINE, FINE], "lost-init: 0/2", 0),
        ([OTHER, FINE], "other findings: 1", 0),
        ([NO_QEMU, samples.LOST_INIT], "not counted: 1", 1),
        ([NO_QEMU, NO_QEMU], "not counted: 2", 5),
    ],
)
def test_what_shows_again_is_counted(
    finding: Path, plays: Plays, verdicts: list[Verdict], told: str, code: int
) -> None:
    plays(verdicts)
    text, ended = run_again(finding, len(verdicts), "text", say=lambda line: None)
    assert told in text
    assert ended == code


def test_trials_are_the_recorded_one_with_numbers_and_seeds_of_their_own(finding: Path, plays: Plays) -> None:
    asked = plays([FINE] * 3)
    said: list[str] = []
    answer = json.loads(run_again(finding / "finding.json", 3, "json", say=said.append)[0])
    assert answer == {"class": "lost-init", "shown": 0, "trials": 3, "exit_code": 0}
    assert [trial.number for trial in asked] == [0, 1, 2]
    assert len({trial.seed for trial in asked}) == 3
    assert "sha256 differs" in said[0]
    assert [line.split(":")[0] for line in said[1:]] == ["trial 1/3", "trial 2/3", "trial 3/3"]


def test_a_qemu_that_is_gone_is_said_before_anything_starts(finding: Path, plays: Plays) -> None:
    content = json.loads((finding / "finding.json").read_text())
    content["trial"]["cell"]["build"]["binary"] = "/nonexistent/qemu"
    (finding / "finding.json").write_text(json.dumps(content))
    asked = plays([])
    with pytest.raises(RigError, match="not there any more"):
        run_again(finding, 1, "text", say=lambda line: None)
    assert asked == []


def test_a_folder_without_a_finding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        run_again(tmp_path, 1, "text", say=lambda line: None)


def test_another_qemu_may_be_asked(finding: Path, plays: Plays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repro, "qemu_version", lambda path, env: "9.9.9")
    asked, said = plays([FINE, samples.LOST_INIT]), list[str]()
    text, code = run_again(finding, 2, "text", say=said.append, binary="/bin/false")
    assert (text, code) == ("lost-init: 1/2 (1.2-98.8 %) on QEMU 9.9.9 (/bin/false)", 1)
    build = asked[0].cell.build
    assert (build.binary, build.version, build.sha256) == ("/bin/false", "9.9.9", sha256_of(Path("/bin/false")))
    assert not any("warning" in line for line in said)
    document = json.loads(run_again(finding, 2, "json", say=said.append, binary="/bin/false")[0])
    assert (document["binary"], document["version"]) == ("/bin/false", "9.9.9")
    with pytest.raises(RigError, match="no executable"):
        run_again(finding, 1, "text", say=said.append, binary="no-such-qemu")

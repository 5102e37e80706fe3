"""A recorded finding is run again as it was."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from qstress.errors import ConfigError, RigError
from qstress.model import Accel, Trial
from qstress.run.repro import run_again
from qstress.store.evidence import write_evidence
from tests.live.rig import planned, run

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]


async def recorded(folder: Path, trial: Trial) -> None:
    result, evidence = await run(trial)
    assert evidence is not None
    write_evidence(folder, result, evidence, run_id="x", repro_script="")


@pytest.fixture
def finding(tmp_path: Path) -> Path:
    anyio.run(recorded, tmp_path / "7", planned(Accel.TCG, 3, number=7, hammers=(), lost_ap=True))
    return tmp_path / "7"


def test_it_shows_again_and_says_how_often(finding: Path) -> None:
    said: list[str] = []
    text, code = run_again(finding, 2, "text", say=said.append)
    assert (text.split(" (")[0], code) == ("lost-init: 2/2", 1)
    assert "sha256 differs" in said[0]  # the test's build carries no hash
    assert len(said) == 3
    assert json.loads(run_again(finding / "finding.json", 1, "json", say=said.append)[0])["shown"] == 1


def test_what_does_not_show_again_is_said_so(finding: Path) -> None:
    content = json.loads((finding / "finding.json").read_text())
    content["trial"]["inject_lost_ap"] = False
    (finding / "finding.json").write_text(json.dumps(content))
    text, code = run_again(finding, 2, "text", say=lambda line: None)
    assert (text.split(" (")[0], code) == ("lost-init: 0/2", 0)


def test_a_qemu_that_is_gone_is_a_rig_error(finding: Path) -> None:
    content = json.loads((finding / "finding.json").read_text())
    content["trial"]["cell"]["build"]["binary"] = "/nonexistent/qemu"
    (finding / "finding.json").write_text(json.dumps(content))
    with pytest.raises(RigError, match="not there any more"):
        run_again(finding, 1, "text", say=lambda line: None)


def test_a_folder_without_a_finding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        run_again(tmp_path, 1, "text", say=lambda line: None)

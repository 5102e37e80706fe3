"""A finding taken up later from its folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.errors import ConfigError, RigError
from qstress.fuzz import finding_commands
from qstress.fuzz.exchange import Exchange
from qstress.fuzz.recording import Recording, from_bytes, to_bytes
from tests.fuzz.guests import QEMU, qmp
from tests.fuzz.test_replay import crashing


def folder(tmp_path: Path, recording: Recording) -> Path:
    (tmp_path / "repro.jsonl").write_bytes(to_bytes(recording))
    return tmp_path


def test_a_finding_is_known_by_its_recording(tmp_path: Path) -> None:
    assert not finding_commands.is_fuzz_finding(tmp_path)
    assert finding_commands.is_fuzz_finding(folder(tmp_path, crashing("")))
    assert finding_commands.is_fuzz_finding(tmp_path / "repro.jsonl")


@pytest.mark.qemu
@pytest.mark.timeout(60)
def test_it_is_run_again_and_counted(tmp_path: Path, planted: str) -> None:
    said: list[str] = []
    text, code = finding_commands.replay_finding(
        folder(tmp_path, crashing(planted)), 2, "text", build=None, sandboxed=True, say=said.append
    )
    assert text.startswith("crash: SIGSEGV at query-name: 2/2 ")
    assert code == 1
    assert said == [f"trial {number}/2: crash: SIGSEGV at query-name" for number in (1, 2)]
    calm = replace(crashing(planted), steps=crashing(planted).steps[:2])
    text, code = finding_commands.replay_finding(
        folder(tmp_path, calm), 1, "json", build=QEMU, sandboxed=True, say=said.append
    )
    assert (json.loads(text)["shown"], code, said[-1]) == (0, 0, "trial 1/1: nothing wrong")


@pytest.mark.qemu
@pytest.mark.timeout(60)
def test_it_is_made_smaller_in_its_place_and_the_first_one_is_kept(tmp_path: Path, planted: str) -> None:
    ballast = Exchange("qmp", tuple(qmp("query-kvm", f"q{number}") for number in range(10, 40)))
    short = crashing(planted)
    long = replace(short, steps=(*short.steps[:2], ballast, short.steps[2]))
    text, code = finding_commands.reduce_finding(folder(tmp_path, long), budget_s=30, build=None, sandboxed=True)
    assert text.startswith("crash: SIGSEGV at query-name: 33 -> 1 command(s), shown again 5/5")
    assert code == 0
    assert len(from_bytes((tmp_path / "repro.jsonl").read_bytes(), "").sends) == 1
    assert from_bytes((tmp_path / "repro-full.jsonl").read_bytes(), "") == long
    assert '"query-name"' in (tmp_path / "repro.sh").read_text()


@pytest.mark.qemu
def test_what_does_not_show_is_left_as_it_is(tmp_path: Path, planted: str) -> None:
    calm = replace(crashing(planted), steps=crashing(planted).steps[:1], title="no reply to x: y", kind="stall")
    text, code = finding_commands.reduce_finding(folder(tmp_path, calm), budget_s=0.1, build=None, sandboxed=True)
    assert "no replay showed it again; left as it is" in text
    assert code == 5
    assert not (tmp_path / "repro-full.jsonl").exists()


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"repro\.jsonl: No such file"):
        finding_commands.recording_to_play(tmp_path, None)
    gone = replace(crashing(""), binary="/nowhere/qemu")
    with pytest.raises(RigError, match="name one with --build"):
        finding_commands.recording_to_play(folder(tmp_path, gone), None)
    with pytest.raises(RigError, match="no executable"):
        finding_commands.recording_to_play(tmp_path, "no-such-qemu")

from __future__ import annotations

import json
from dataclasses import is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstress.errors import ConfigError
from qstress.model import Evidence, FindingClass, Trial, TrialResult
from qstress.store.evidence import (
    JOURNAL_FILE,
    SERIAL_FILE,
    finding,
    kept_bytes,
    read_finding,
    trial_from_json,
    write_evidence,
)
from tests.recorded.old_runs import RACE, old_runs
from tests.store.samples import LOST_INIT, evidence, result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    script = "#!/bin/sh\nexit 3\n"
    write_evidence(tmp_path / "17", result(17, LOST_INIT), evidence(), run_id="run-1", repro_script=script)
    return tmp_path / "17"


def every_field(kind: type) -> st.SearchStrategy[Any]:
    """Draw a dataclass with every field drawn, those with a default too, and whatever field is added later."""
    if kind is float:
        return st.floats(allow_nan=False)  # NaN is not equal to itself
    if not is_dataclass(kind):
        return st.from_type(kind)
    return st.builds(kind, **{name: of_hint(hint) for name, hint in get_type_hints(kind).items()})


def of_hint(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is tuple and get_args(hint)[1:] == (...,):
        return st.lists(of_hint(get_args(hint)[0]), max_size=2).map(tuple)
    if get_origin(hint) in (Union, UnionType):
        return st.one_of([of_hint(kind) for kind in get_args(hint)])
    return every_field(hint)


@given(every_field(Trial))
def test_any_trial_comes_back_equal(trial: Trial) -> None:
    assert trial_from_json(json.loads(json.dumps(finding_of(trial)["trial"]))) == trial


def finding_of(trial: Trial) -> dict[str, Any]:
    found: dict[str, Any] = finding(TrialResult(trial, LOST_INIT, 0.0, 0.0), Evidence(), run_id="r")
    return found


def test_the_folder_is_private_and_complete(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "finding.json": 0o600, "dumps.txt": 0o600, "console.log": 0o600, "commands.jsonl": 0o600,
        "threads.json": 0o600, "events.jsonl": 0o600, "stderr.txt": 0o600, "repro.sh": 0o700,
    }  # fmt: skip


def test_a_trials_journal_is_kept_as_it_came_and_counted(folder: Path, tmp_path: Path) -> None:
    told = replace(evidence(), journal=b'{"format": 1}\n')
    size = write_evidence(tmp_path / "1", result(1, LOST_INIT), told, run_id="r", repro_script="")
    assert (tmp_path / "1" / JOURNAL_FILE).read_bytes() == told.journal
    assert (tmp_path / "1" / JOURNAL_FILE).stat().st_mode & 0o777 == 0o600
    assert size == sum(path.stat().st_size for path in (tmp_path / "1").iterdir())
    assert not (folder / JOURNAL_FILE).exists()  # one that was found by another way has none
    assert read_finding(folder)[1] == LOST_INIT


def test_what_came_over_the_serial_port_is_kept_where_there_is_one(folder: Path, tmp_path: Path) -> None:
    told = replace(evidence(), serial=b"BdsDxe: loading\r\n\xff")
    size = write_evidence(tmp_path / "1", result(1, LOST_INIT), told, run_id="r", repro_script="")
    assert (tmp_path / "1" / SERIAL_FILE).read_bytes() == told.serial
    assert size == sum(path.stat().st_size for path in (tmp_path / "1").iterdir())
    assert not (folder / SERIAL_FILE).exists()


def test_files_for_people_lie_beside_the_witnesses_and_everything_is_counted(tmp_path: Path) -> None:
    texts = {"story.txt": "é\n", "timeline.svg": "<svg/>"}
    size = write_evidence(
        tmp_path / "1", result(1, LOST_INIT), evidence(), run_id="r", repro_script="#!/bin/sh\n", texts=texts
    )
    assert (tmp_path / "1" / "story.txt").read_text() == "é\n"
    assert (tmp_path / "1" / "timeline.svg").stat().st_mode & 0o777 == 0o600
    assert size == sum(path.stat().st_size for path in (tmp_path / "1").iterdir()) == kept_bytes(tmp_path)


def test_nothing_kept_is_no_bytes(tmp_path: Path) -> None:
    assert kept_bytes(tmp_path) == 0


def test_the_finding_says_what_where_and_why(folder: Path) -> None:
    content = json.loads((folder / "finding.json").read_bytes())
    expected = {
        "format": 1, "run": "run-1", "number": 17, "block": 8, "class": "lost-init", "outcome": "hang",
        "signature": "lost-init:1/4", "title": "AP 2 never left its reset vector", "confidence": "certain",
        "because": ["EIP=0000fff0 in two dumps", "the boot CPU spins"],
        "build": {
            "name": "fix-imitated", "version": "7.2.22", "sha256": "ab" * 32,
            "binary": "/opt/qemu/bin/qemu-system-x86_64",
        },
        "smp": 4, "machine": "pc", "accel": "kvm", "smm": "pretended", "fix_imitated": True, "tier": "T1",
        "hammer": "info registers -a @ every 2ms", "seed": 119, "detection_s": 3.25,
        "wait_loop": {"expected": 4, "found": 3, "address": 0xEE2E1, "later": False, "unwoken": []},
        "notes": {"deadline_s": 8.0, "load": [0.5, 0.4, 0.3]},
    }  # fmt: skip
    assert {key: content[key] for key in expected} == expected
    assert content["threads"][1] == {"vcpu": 2, "state": "S", "share": 0.0}


def test_the_other_files_hold_the_witnesses(folder: Path) -> None:
    assert (folder / "console.log").read_bytes() == b"SeaBIOS (version 1.16.2)\n\xff\x00"
    assert (folder / "dumps.txt").read_text() == (
        "==== dump 1, 1.500000 s after cont ====\nCPU#0\nEIP=000ee2e1\n\n"
        "==== dump 2, 2.500000 s after cont ====\nCPU#0\nEIP=000ee2e3\n\n"
    )
    lines = (folder / "commands.jsonl").read_bytes().splitlines()
    assert [json.loads(line) for line in lines] == list(evidence().commands)
    assert json.loads((folder / "threads.json").read_bytes())[0]["tid"] == 101
    assert (folder / "stderr.txt").read_text() == "warning: é\n"
    assert (folder / "repro.sh").read_text() == "#!/bin/sh\nexit 3\n"


def test_trial_and_verdict_are_read_back(folder: Path) -> None:
    assert read_finding(folder) == (result(17).trial, LOST_INIT, None)


def test_a_note_that_json_lacks_does_not_cost_the_finding(tmp_path: Path) -> None:
    odd = Evidence(notes={"path": Path("/x"), "bytes": b"y"}, stderr="\udcff")
    write_evidence(tmp_path / "1", result(1, LOST_INIT), odd, run_id="r", repro_script="")
    assert json.loads((tmp_path / "1" / "finding.json").read_bytes())["notes"]["path"] == "/x"


def test_a_folder_that_is_there_is_never_written_over(folder: Path) -> None:
    with pytest.raises(FileExistsError):
        write_evidence(folder, result(17, LOST_INIT), evidence(), run_id="r", repro_script="")


@pytest.mark.parametrize("change", [{"number": "many"}, {"cell": {}}, {"cell": None}])
def test_a_damaged_trial_is_refused_by_its_place(change: dict[str, object]) -> None:
    obj = {**finding_of(result(3).trial)["trial"], **change}
    with pytest.raises(ConfigError, match=f"not a recorded trial: {next(iter(change))}"):
        trial_from_json(obj)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2}', '{"format": 1}', "[" * 100000, "\udcff"])
def test_what_is_not_a_finding_is_one_clear_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "finding.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=r"finding.json: not a finding") as caught:
        read_finding(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_finding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_finding(tmp_path)


def test_a_finding_recorded_long_ago_is_read(tmp_path: Path) -> None:
    trial, verdict, _ = read_finding(old_runs(tmp_path) / RACE / "evidence" / "245")
    assert (trial.number, trial.cell.build.name, verdict.finding_class) == (245, "unpatched", FindingClass.LOST_INIT)
    assert verdict.title == "lost INIT: CPU#1, CPU#2 never left the reset vector while CPU#0 spins"

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.errors import ConfigError
from qstress.run.rejudge import judge_again, read_journal
from tests.trial.test_journal import CASES


def evidence(folder: Path, name: str, title: str = "") -> Path:
    journal, verdict = CASES[name]
    (folder / "journal.jsonl").write_bytes(journal.written(replace(verdict, title=title or verdict.title)))
    return folder


def test_a_finding_that_is_what_it_was_is_told_with_its_reasons(tmp_path: Path) -> None:
    said = judge_again(evidence(tmp_path, "lost-init"), "text").splitlines()
    assert said[0] == "lost-init (certain)"
    assert said[1].startswith("  lost INIT: CPU#1 never left the reset vector")
    assert "  - the console is silent since 'handle_smp: apic_id=0x1' and never said Found" in said
    assert said[-1] == "as recorded"
    assert judge_again(tmp_path / "journal.jsonl", "text").splitlines() == said


def test_one_that_is_judged_otherwise_today_says_what_it_was(tmp_path: Path) -> None:
    said = judge_again(evidence(tmp_path, "crash", "something else"), "text").splitlines()
    assert said[0] == "crash (certain)"
    assert said[-1] == "recorded was crash (certain): something else"


def test_as_json_both_are_told(tmp_path: Path) -> None:
    said = json.loads(judge_again(evidence(tmp_path, "stall", "x"), "json"))
    assert said["verdict"]["class"] == said["recorded"]["class"] == "monitor-stall"
    assert (said["recorded"]["title"], said["same"], said["skipped_events"]) == ("x", False, 0)
    assert said["verdict"]["because"]
    assert said["trial"] == {"trial": 3}


def test_a_watch_that_comes_to_no_verdict_says_so(tmp_path: Path) -> None:
    lines = (evidence(tmp_path, "lost-init") / "journal.jsonl").read_bytes().splitlines()
    (tmp_path / "journal.jsonl").write_bytes(b"\n".join([lines[0], *lines[1:5], lines[-2], lines[-1]]))
    said = judge_again(tmp_path, "text").splitlines()
    assert said[0].startswith("no verdict")
    assert said[-2].startswith("recorded was lost-init")
    assert said[-1].startswith("1 events")
    assert json.loads(judge_again(tmp_path, "json"))["verdict"] is None


def test_evidence_without_a_journal_and_what_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="older findings have none"):
        judge_again(tmp_path, "text")
    (tmp_path / "journal.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match="not a journal"):
        read_journal(tmp_path / "journal.jsonl")
    with pytest.raises(ConfigError, match="directory"):
        read_journal(tmp_path)

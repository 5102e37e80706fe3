from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trial.test_journal import CASES
from tools import rejudge


def kept(folder: Path) -> None:
    folder.mkdir()
    for name, (journal, verdict) in CASES.items():
        (folder / f"{name}.jsonl").write_bytes(journal.written(verdict))
    (folder / "events.jsonl").write_text("not a journal\n")


def test_a_folder_of_journals_is_judged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(tmp_path / "a")
    monkeypatch.setattr(sys, "argv", ["rejudge", str(tmp_path)])
    assert rejudge.main() == 0
    assert f"{len(CASES)} of     {len(CASES)} the same\n" in capsys.readouterr().out


def test_one_that_differs_and_one_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(tmp_path / "a")
    journal, verdict = CASES["ok"]
    (tmp_path / "other.jsonl").write_bytes(journal.written(replace(verdict, title="x")))
    (tmp_path / "cut.jsonl").write_bytes(journal.written(verdict)[:100])
    monkeypatch.setattr(sys, "argv", ["rejudge", str(tmp_path)])
    assert rejudge.main() == 1
    told = capsys.readouterr()
    assert f"{len(CASES)} of     {len(CASES) + 2} the same\n" in told.out
    assert "other.jsonl: was 'x', is 'Found 4 cpu(s)'" in told.err
    assert "cut.jsonl: not a journal" in told.err


def test_nothing_to_judge_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["rejudge", str(tmp_path)])
    assert rejudge.main() == 1

"""A fuzzing session recorded long ago, and one that was killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qstress.errors import ConfigError
from qstress.recorded.sessions import printed_session
from tests.recorded.old_runs import FUZZ, RACE, old_runs


def test_a_session_is_printed_as_when_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(old_runs(tmp_path).parent)
    said = printed_session(Path("runs") / FUZZ, "text")
    assert said.startswith("4 guests, 3,329 commands in 11 s")
    assert f"qstress repro runs/{FUZZ}/findings/002-crash-sigsegv-at-memsave\n" in said
    assert "2 findings" not in said
    errors = [line for line in printed_session(Path("runs") / FUZZ, "github").splitlines() if "::error" in line]
    assert len(errors) == 2
    assert errors[1].startswith("::error title=crash::crash: SIGSEGV at memsave: qstress repro runs/")
    assert json.loads(printed_session(Path("runs") / FUZZ, "json"))["guests"] == 4
    tap = printed_session(Path("runs") / FUZZ, "tap").splitlines()
    assert tap[:4] == ["TAP version 13", "1..3", "# 4 guests, 3,329 commands", "ok 1 session fuzz-quick"]
    assert tap[-1] == "not ok 3 finding crash: SIGSEGV at memsave"


def test_a_killed_session_tells_what_it_left(tmp_path: Path) -> None:
    path = old_runs(tmp_path) / FUZZ
    (path / "summary.json").unlink()
    (path / "state.json").write_text('{"guests": 3, "commands": 1234, "elapsed_s": 9.5}')
    said = printed_session(path, "text").splitlines()
    assert said[:3] == [
        "not ended: 3 guests, 1,234 commands so far", "findings: 1", "  crash: SIGSEGV at memsave",
    ]  # fmt: skip
    assert "ok 1 session fuzz-quick # SKIP it has not ended" in printed_session(path, "tap")
    (path / "state.json").unlink()
    assert printed_session(path, "text").startswith("not ended: 0 guests")


def test_what_is_no_session_or_damaged_is_one_clear_line(tmp_path: Path) -> None:
    runs = old_runs(tmp_path)
    with pytest.raises(ConfigError, match="not a fuzzing session"):
        printed_session(runs / RACE, "text")
    (runs / FUZZ / "summary.json").write_text("{}")
    with pytest.raises(ConfigError, match="no commands, findings, guests, reason"):
        printed_session(runs / FUZZ, "text")

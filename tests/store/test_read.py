from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qstress.errors import ConfigError
from qstress.store.read import is_fuzzing_session, list_runs, open_run
from qstress.store.write import RunStore
from tests.recorded.old_runs import FUZZ, RACE, old_runs
from tests.store.samples import LOST_INIT, result


def new_store(runs_dir: Path, name: str, hour: int) -> RunStore:
    return RunStore.create(runs_dir, name, {"seed": 3}, now=datetime(2026, 1, 2, hour, tzinfo=UTC), token="t")


def test_a_run_reads_back_what_describes_it(tmp_path: Path) -> None:
    with new_store(tmp_path, "a", 3) as store, open_run(store.path) as record:
        assert (record.run_id, record.path, record.run["seed"], record.summary) == (store.run_id, store.path, 3, None)
        store.write_summary({"reason": "trials"})
    with open_run(store.path) as record:
        assert record.summary == {"reason": "trials"}


def test_a_killed_run_is_read_without_changing_what_was_committed(tmp_path: Path) -> None:
    store = new_store(tmp_path, "a", 3)
    store.record(result(1, LOST_INIT), None)
    shutil.copytree(store.path, tmp_path / "copy")  # with the WAL that a killed process leaves
    store.close()
    for _ in range(2):
        with open_run(tmp_path / "copy") as record:
            assert [found.number for found in record.findings()] == [1]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("run.json", None, "not a recorded run: there is no run.json"),
        ("run.json", b"{", "run.json: not JSON"),
        ("run.json", b"\xff", "run.json: not JSON"),
        ("run.json", b"[" * 100_000, "run.json: not JSON"),
        ("run.json", b"[]", "run.json: not a JSON object"),
        ("run.json", b'{"format": 2}', "run.json: format 2, this qstress reads format 1"),
        ("summary.json", b"", "summary.json: not JSON"),
        ("trials.db", None, r"not a recorded run: there is no trials.db"),
        ("trials.db", b"x" * 5000, "trials.db: file is not a database"),
    ],
)
def test_a_foreign_or_corrupt_folder_is_one_clear_line(
    tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    with new_store(tmp_path, "a", 3) as store:
        store.write_summary({"reason": "trials"})
    if content is None:
        (store.path / name).unlink()
    else:
        (store.path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=told) as caught:
        open_run(store.path)
    assert "\n" not in str(caught.value)


def test_runs_are_listed_newest_first_with_how_they_ended(tmp_path: Path) -> None:
    with new_store(tmp_path, "done", 3) as done:
        done.record(result(0), None)
        done.record(result(1, LOST_INIT), None)
        done.finish_block(0)
        done.record(result(3, LOST_INIT), None)  # of an open block: not counted
        done.write_summary({"reason": "trials", "finished": "2026-01-02T04:00:00+00:00", "exit_code": 1})
    new_store(tmp_path, "killed", 4).close()
    broken = new_store(tmp_path, "broken", 2)
    broken.close()
    (broken.path / "trials.db").write_bytes(b"x" * 5000)
    (tmp_path / "notes").mkdir()
    with new_store(tmp_path, "live", 5):
        entries = list_runs(tmp_path)
    assert [(e.name, e.started[11:13], e.finished, e.reason, e.exit_code, e.trials, e.hangs) for e in entries] == [
        ("live", "05", None, "running", None, 0, 0),
        ("killed", "04", None, "killed", None, 0, 0),
        ("done", "03", "2026-01-02T04:00:00+00:00", "trials", 1, 2, 1),
        ("", "", None, "unreadable", None, 0, 0),
    ]
    assert entries[2].path == done.path
    assert entries[2].run_id == done.run_id


@pytest.mark.parametrize(
    ("compared", "decisions"),
    [
        ({"compare": None}, ()),
        ({"compare": {"decision": "inconclusive"}}, ("inconclusive",)),
        ({"compare": {"decision": "a"}, "comparisons": [{"decision": "a"}, {"decision": "b"}]}, ("a", "b")),
    ],
)
def test_what_a_run_decided_is_listed_for_each_candidate(
    tmp_path: Path, compared: dict[str, object], decisions: tuple[str, ...]
) -> None:
    with new_store(tmp_path, "a", 3) as store:
        store.write_summary({"reason": "trials", **compared})
    assert [entry.decisions for entry in list_runs(tmp_path)] == [decisions]


def test_a_resumed_run_that_is_killed_has_no_end(tmp_path: Path) -> None:
    with new_store(tmp_path, "a", 3) as store:
        store.write_summary({"reason": "interrupted", "finished": "x", "exit_code": 130})
    RunStore.reopen(store.path).close()
    (entry,) = list_runs(tmp_path)
    assert (entry.reason, entry.finished, entry.exit_code) == ("killed", None, None)
    assert json.loads((store.path / "summary.json").read_bytes())["reason"] == "interrupted"


def test_a_runs_folder_may_be_missing_but_not_a_file(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "none") == []
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="Not a directory"):
        list_runs(tmp_path / "file")


def test_a_fuzzing_session_is_told_apart(tmp_path: Path) -> None:
    runs = old_runs(tmp_path)
    assert is_fuzzing_session(runs / FUZZ)
    assert not is_fuzzing_session(runs / RACE)
    assert not is_fuzzing_session(runs)
    with pytest.raises(ConfigError, match="a fuzzing session, not a soak; qstress report shows it"):
        open_run(runs / FUZZ)
    (runs / FUZZ / "summary.json").unlink()
    (entry, _) = list_runs(runs)
    assert (entry.kind, entry.reason, entry.finished, entry.findings) == ("fuzz", "unfinished", None, 1)
    (runs / FUZZ / "run.json").write_text('{"kind": "fuzz", "format": 9}')
    assert [entry.reason for entry in list_runs(runs)] == ["decided", "unreadable"]

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from types import FrameType

import pytest

from qstress.errors import ConfigError, RigError
from qstress.model import FindingClass, Outcome, Verdict
from qstress.store import write
from qstress.store.evidence import kept_bytes
from qstress.store.read import open_run
from qstress.store.write import USUAL_RULES, EvidenceRules, RunStore
from tests.store.samples import LOST_INIT, NO_QEMU, evidence, result, trials_of

CRASH = Verdict(Outcome.CRASH, "QEMU crashed", FindingClass.CRASH, "crash/1")
NOW = datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2)))


def new_store(runs_dir: Path, rules: EvidenceRules = USUAL_RULES) -> RunStore:
    return RunStore.create(runs_dir, "smp64", {"seed": 1}, now=NOW, token="k3x9", rules=rules)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with new_store(tmp_path / "runs") as store:
        yield store


def evidence_names(store: RunStore) -> list[str]:
    return sorted(os.listdir(store.path / "evidence"))


def test_a_run_has_a_private_folder_of_its_own(store: RunStore) -> None:
    assert store.run_id == store.path.name == "20260102T030405Z-smp64-k3x9"
    for path in (store.path, store.path / "evidence"):
        assert path.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in store.path.iterdir() if path.is_file())
    assert json.loads((store.path / "run.json").read_bytes()) == {
        "format": 1, "run": store.run_id, "name": "smp64", "started": "2026-01-02T03:04:05+00:00", "seed": 1,
    }  # fmt: skip


def test_a_name_cannot_leave_the_runs_folder(tmp_path: Path) -> None:
    with RunStore.create(tmp_path, "../a b/ü", {}, now=NOW, token="t") as store:
        assert store.path == tmp_path / "20260102T030405Z-..-a-b--t"


def test_a_finding_is_there_before_its_block_ends(store: RunStore) -> None:
    assert store.record(result(0), None) is None
    assert store.record(result(1, LOST_INIT), evidence()) == "evidence/1"
    with open_run(store.path) as record:
        (found,) = record.findings()
        assert (found.number, found.verdict, found.evidence, found.counted) == (1, LOST_INIT, "evidence/1", False)
        assert list(record.results(trials_of)) == []


def test_a_finding_counts_once_its_block_is_finished(store: RunStore) -> None:
    for number, verdict in enumerate((None, LOST_INIT, NO_QEMU)):
        store.record(result(number, verdict), evidence() if verdict else None)
    store.finish_block(0)
    with open_run(store.path) as record:
        assert [found.counted for found in record.findings()] == [True]
        assert [[r.trial.number for r in block] for block in record.results(trials_of)] == [[0, 1]]
        assert record.next_block() == 1


def test_a_block_without_results_cannot_be_finished(store: RunStore) -> None:
    store.record(result(2), None)
    with pytest.raises(ValueError, match="no trial of block 0"):
        store.finish_block(0)


def test_blocks_are_finished_in_planned_order(store: RunStore) -> None:
    for number in (0, 2):
        store.record(result(number), None)
    with pytest.raises(ValueError, match="block 1 cannot be finished: the next one is 0"):
        store.finish_block(1)
    store.finish_block(0)
    store.close()
    with RunStore.reopen(store.path) as again:
        again.record(result(2), None)
        again.finish_block(1)


def test_a_report_is_replaced_whole(store: RunStore) -> None:
    for content in ("a long report", "é"):
        store.write_report("report.html", content)
    assert (store.path / "report.html").read_text() == "é"
    assert (store.path / "report.html").stat().st_mode & 0o777 == 0o600


def test_repeats_of_a_signature_in_a_cell_get_rows_without_folders(tmp_path: Path) -> None:
    two = EvidenceRules(max_per_signature=2)
    store = new_store(tmp_path, two)
    folders = [store.record(result(n, LOST_INIT), evidence()) for n in (0, 2, 4, 1)]
    assert folders == ["evidence/0", "evidence/2", None, "evidence/1"]
    store.close()
    with RunStore.reopen(store.path, rules=two) as again:
        assert again.kept_of(0) == {(LOST_INIT.finding_class, LOST_INIT.signature): 2}
        assert again.record(result(6, LOST_INIT), evidence()) is None
        with open_run(again.path) as record:
            assert [found.number for found in record.findings()] == [0, 1, 2, 4, 6]


def test_five_hundred_equal_hangs_are_one_finding_with_a_count_and_five_folders(store: RunStore) -> None:
    folders = [store.record(result(number, LOST_INIT), evidence()) for number in range(0, 1000, 2)]  # of one cell
    assert folders == [f"evidence/{number}" for number in range(0, 10, 2)] + [None] * 495
    with open_run(store.path) as record:
        found = list(record.findings())
    assert len(found) == 500
    assert len({(one.cell_index, one.verdict.finding_class, one.verdict.signature) for one in found}) == 1


def test_once_its_budget_is_used_up_a_run_keeps_no_more_evidence_and_every_finding(tmp_path: Path) -> None:
    store = new_store(tmp_path, EvidenceRules(max_bytes=1))  # the first is kept whole, and fills it
    assert store.record(result(0, LOST_INIT), evidence()) == "evidence/0"
    assert not store.wants_evidence(result(1, CRASH))
    assert store.record(result(1, CRASH), evidence()) is None
    more = EvidenceRules(max_bytes=kept_bytes(store.path / "evidence") + 1)
    store.close()
    with RunStore.reopen(store.path, rules=more) as again:
        assert again.record(result(2, CRASH), evidence()) == "evidence/2"
    with RunStore.reopen(store.path, rules=more) as again:  # what an earlier session kept counts
        assert again.evidence_limit == 0
        assert again.record(result(3, CRASH), evidence()) is None
        with open_run(again.path) as record:
            assert [found.evidence for found in record.findings()] == ["evidence/0", None, "evidence/2", None]


def test_the_reproducer_is_what_the_caller_makes(tmp_path: Path) -> None:
    rules = EvidenceRules(lambda result, evidence: f"{result.trial.number} {evidence.argv[-1]}\n")
    with new_store(tmp_path, rules) as store:
        store.record(result(1, LOST_INIT), evidence())
    assert (store.path / "evidence/1/repro.sh").read_text() == "1 4\n"


def test_without_a_maker_the_reproducer_calls_qstress(store: RunStore) -> None:
    store.record(result(1, LOST_INIT), evidence())
    assert 'exec qstress repro "$(dirname "$0")" "$@"' in (store.path / "evidence/1/repro.sh").read_text()


def test_an_open_block_run_again_keeps_its_first_finding_uncounted(store: RunStore) -> None:
    store.record(result(1, LOST_INIT), evidence())
    store.close()
    with RunStore.reopen(store.path) as again:
        assert again.record(result(1, LOST_INIT), evidence()) == "evidence/1-2"
        again.record(result(0), None)
        again.finish_block(0)
        with open_run(again.path) as record:
            counted = {found.evidence: found.counted for found in record.findings()}
            assert counted == {"evidence/1": False, "evidence/1-2": True}
            assert [f.evidence for f in record.findings() if not f.counted] == ["evidence/1"]
            assert [[r.trial.number for r in block] for block in record.results(trials_of)] == [[0, 1]]


def test_only_one_process_writes_a_run(store: RunStore) -> None:
    with pytest.raises(ConfigError, match="another qstress is writing this run"):
        RunStore.reopen(store.path)


def test_a_folder_that_is_not_a_run_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a recorded run"):
        RunStore.reopen(tmp_path)
    assert os.listdir(tmp_path) == []


def test_durations_of_sessions_add_up(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"s": 100.0}
    monkeypatch.setattr("qstress.store.ledger.time.monotonic", lambda: clock["s"])
    store.close()
    with open_run(store.path) as record:
        before_s = record.duration_s()
    with RunStore.reopen(store.path) as again:
        clock["s"] += 2.5
        again.record(result(1, LOST_INIT), None)
        clock["s"] += 60.0  # never committed: as if it were killed here
        with open_run(store.path) as record:
            assert record.duration_s() == pytest.approx(before_s + 2.5)


def test_the_summary_is_replaced_whole_and_ends_the_session(store: RunStore) -> None:
    store.write_summary({"reason": "interrupted", "long": "x" * 1000})
    store.write_summary({"reason": "decided"})
    assert json.loads((store.path / "summary.json").read_bytes()) == {"reason": "decided"}
    with open_run(store.path) as record:
        assert record.ended_because() == "decided"


def test_results_may_come_from_several_threads(tmp_path: Path) -> None:
    store = new_store(tmp_path, EvidenceRules(max_per_signature=0))
    threads = [threading.Thread(target=store.record, args=(result(n, LOST_INIT), evidence())) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    with open_run(store.path) as record:
        assert [found.number for found in record.findings()] == list(range(20))


def test_a_runs_folder_that_cannot_be_made_is_a_rig_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RigError, match=r"file/2026.*-k3x9: cannot record: .*--runs-dir") as caught:
        new_store(tmp_path / "file")
    assert caught.value.reason == "store"


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(write, "replace_file", full)
    with pytest.raises(RigError) as caught:
        new_store(tmp_path)
    assert caught.value.reason == "disk-full"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("where", ["write_file", "sync_folder"])
def test_evidence_that_cannot_be_written_leaves_no_trace(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    place = "qstress.store.evidence.write_file" if where == "write_file" else "qstress.store.write.sync_folder"
    with monkeypatch.context() as patched:
        patched.setattr(place, full)
        with pytest.raises(RigError, match="free some space"):
            store.record(result(1, LOST_INIT), evidence())
    assert evidence_names(store) == []
    assert store.record(result(1, LOST_INIT), evidence()) == "evidence/1"


def test_a_verdict_that_cannot_be_committed_takes_its_folder_along(store: RunStore) -> None:
    store._ledger._db.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(store.path / "trials.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RigError):
        store.record(result(1, LOST_INIT), evidence())
    other.close()
    assert evidence_names(store) == []


def test_what_a_killed_process_left_is_cleared_up_or_taken_in(store: RunStore) -> None:
    store.record(result(1, LOST_INIT), evidence())
    store.close()
    root = store.path / "evidence"
    shutil.copytree(root / "1", root / "2")  # complete, but its verdict was not committed
    (root / ".3.half").mkdir()
    (root / "notes").mkdir()  # the user's
    for _ in range(2):  # once is enough
        RunStore.reopen(store.path).close()
    assert evidence_names(store) == ["1", "2", "notes"]
    with open_run(store.path) as record:
        assert [(f.number, f.evidence, f.verdict) for f in record.findings()] == [
            (1, "evidence/1", LOST_INIT), (1, "evidence/2", LOST_INIT),
        ]  # fmt: skip


# --- kill -9 at every step ------------------------------------------------------------------------------------

VERDICTS = {1: LOST_INIT, 2: NO_QEMU, 3: LOST_INIT}  # of trials 0 to 3 in blocks 0 and 1; the others are ok


def run_block(store: RunStore, block: int, acknowledged: int) -> None:
    """Record a block as a campaign does, and say on descriptor *acknowledged* what the store has promised."""
    for number in (2 * block, 2 * block + 1):
        verdict = VERDICTS.get(number)
        store.record(result(number, verdict), evidence() if verdict is LOST_INIT else None)
        if verdict is LOST_INIT:
            os.write(acknowledged, b"f%d " % number)
    store.finish_block(block)
    os.write(acknowledged, b"b%d " % block)


def killed_run(runs_dir: Path, kill_at: int) -> tuple[bool, list[str]]:
    """Run a small campaign in a child that kills itself before its *kill_at*-th effect on the host.

    Effects are the calls into the OS, into buffered files and into SQLite. Returns whether it was killed, and what
    had been promised before.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        steps = 0

        def profile(_frame: FrameType, event: str, function: object) -> None:
            nonlocal steps
            owner = getattr(function, "__self__", None)
            module = getattr(function, "__module__", None)
            if event == "c_call" and (
                module in ("posix", "io") or isinstance(owner, sqlite3.Connection | io.BufferedWriter)
            ):
                steps += 1
                if steps == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            sys.setprofile(profile)
            with new_store(runs_dir) as store:
                for block in (0, 1):
                    run_block(store, block, writer)
                store.write_summary({"reason": "trials"})
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as file:
        promised = file.read().decode().split()
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL)
    return status != 0, promised


def check_after_kill(path: Path, promised: list[str]) -> None:
    with RunStore.reopen(path) as store:
        with open_run(path) as record:
            findings = Counter(found.number for found in record.findings())
            assert {f"f{number}" for number in findings} >= {word for word in promised if word[0] == "f"}
            assert set(findings.values()) <= {1}, "doubled"
            assert record.next_block() >= sum(word[0] == "b" for word in promised)
            begin = record.next_block()
            assert all(found.counted == (found.number < 2 * begin) for found in record.findings())
        with open(os.devnull, "wb") as null:
            for block in range(begin, 2):
                run_block(store, block, null.fileno())
    with open_run(path) as record:
        outcomes = [[r.verdict.outcome for r in block] for block in record.results(trials_of)]
        assert outcomes == [["ok", "hang"], ["rig", "hang"]]
        assert [found.number for found in record.findings() if found.counted] == [1, 3]
        kept = sorted(found.evidence or "" for found in record.findings())
    assert kept == [f"evidence/{name}" for name in sorted(os.listdir(path / "evidence"))]
    assert all((path / name / "repro.sh").exists() for name in kept)


@pytest.mark.parametrize("first_step", range(1, 9))  # in eight parts, each well below the limit of a test
def test_whatever_step_a_kill_falls_on_no_finding_is_lost_or_doubled(tmp_path: Path, first_step: int) -> None:
    runs, killed = 0, True
    for step in count(first_step, 8):
        if not killed:
            break
        killed, promised = killed_run(tmp_path, step)
        (folder,) = tmp_path.iterdir() if any(tmp_path.iterdir()) else (tmp_path / "none",)
        if (folder / "run.json").exists():
            runs += 1
            check_after_kill(folder, promised)
        else:
            assert promised == []
        shutil.rmtree(folder, ignore_errors=True)
    assert runs > 15, "the hooks no longer see the store's steps"


# --- a full disk ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["evidence", "rows"])
def test_a_full_disk_loses_nothing_that_was_found(tmp_path: Path, kind: str) -> None:
    # In a mount namespace of its own the tmpfs is gone with the process, however that ends.
    unshare = ["unshare", "--mount", "--propagation", "private"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("needs root: a mount namespace cannot be made here")
    command = [*unshare, sys.executable, "-W", "error", "-m", "tests.store.full_disk", str(tmp_path), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["reason"] == "disk-full"
    assert "No space left" in told["error"] or "disk is full" in told["error"]
    assert len(told["promised"]) > 3
    assert told["read while full"] == told["promised"]
    assert told["folders while full"] == told["kept"]
    assert told["read after more space"] == [*told["promised"], 9999]

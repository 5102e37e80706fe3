"""A session on real guests: what it keeps, what it finds, how it goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.errors import ConfigError, RigError
from qstress.fuzz import session as sessions
from qstress.fuzz.findings import Findings
from qstress.fuzz.generator import GeneratorSettings
from qstress.fuzz.recording import Recording, from_bytes
from qstress.fuzz.reduce import Reduced
from qstress.fuzz.session import Session, Target
from qstress.observe.hostlog import HostLog
from tests.fuzz.guests import ARGUMENTS, QEMU, guest_setup, plant
from tests.hostlog.samples import recorded

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(180)]
TARGET = Target(QEMU, "7.2", (ARGUMENTS,), ())
#: Little that harms: the tests are about the session.
CALM = GeneratorSettings(
    commands=60, wrong=0.0, mix={"qmp": 1, "corpus": 0, "lifecycle": 0, "hammer": 1, "hmp": 0, "corrupt": 0},
    weights=dict.fromkeys(("quit", "human-monitor-command", "migrate", "netdev_add", "memsave", "pmemsave"), 0),
)  # fmt: skip


def session(
    folder: Path,
    env: tuple[tuple[str, str], ...] = (),
    reduce: Callable[[Recording], Reduced] | None = None,
    say: Callable[[str], None] = print,
) -> Session:
    folder.mkdir(exist_ok=True)
    findings = Findings(folder / "findings", (), "7.2")
    target = replace(TARGET, env=env)
    return Session(target, CALM, guest_setup(env), findings, folder, seed=3, reduce=reduce, say=say)


def test_a_session_keeps_its_corpus_its_counts_and_its_coverage_and_goes_on_with_them(tmp_path: Path) -> None:
    first = session(tmp_path)
    first.run(duration_s=None, guests=2)
    assert first.totals.guests == 2
    assert first.totals.commands > 120
    assert len(first.knowledge.schema.commands) > 150
    entries = (tmp_path / "corpus" / "corpus.jsonl").read_bytes()
    assert entries.count(b"\n") == len(first.knowledge.corpus.entries) > 20
    (tmp_path / "corpus" / "corpus.jsonl").write_bytes(entries + b'{"key": "cut off')
    again = session(tmp_path)
    assert replace(again.totals, elapsed_s=0.0) == replace(first.totals, elapsed_s=0.0)
    assert 0.0 < again.totals.elapsed_s <= first.totals.elapsed_s
    assert again.knowledge.corpus.entries == first.knowledge.corpus.entries
    assert again.knowledge.coverage.document() == first.knowledge.coverage.document()
    assert again.knowledge.coverage.keys == first.knowledge.coverage.keys
    again.run(duration_s=None, guests=3)
    assert again.totals.guests == 3
    assert len(again.knowledge.corpus.entries) >= len(first.knowledge.corpus.entries)
    document = json.loads(json.dumps(again.document()))
    assert document["coverage"]["sent"] == sum(
        reached.sent > 0
        for name, reached in again.knowledge.coverage.commands.items()
        if name in again.knowledge.schema.commands
    )


def test_a_crash_is_found_once_written_down_and_its_command_is_sent_less_often(tmp_path: Path, planted: str) -> None:
    said: list[str] = []
    made = session(tmp_path, plant(planted, "crash:query-cpus-fast"), say=said.append)
    made.run(duration_s=None, guests=5)
    found = [finding for finding in made.findings.all if finding.title == "crash: SIGSEGV at query-cpus-fast"]
    assert len(found) == 1
    assert found[0].count > 1
    folder = tmp_path / "findings" / found[0].folder
    recording = from_bytes((folder / "repro.jsonl").read_bytes(), "")
    assert recording.kind == "crash"
    assert recording.arguments == ARGUMENTS
    last = json.loads((folder / "trace.jsonl").read_bytes().splitlines()[-1])
    assert None in last["results"]
    assert made.knowledge.corpus.suspects["query-cpus-fast"] == 4 * found[0].count
    assert any("SIGSEGV" in line for line in said)


def test_a_finding_is_on_disk_at_once_and_made_smaller_later(tmp_path: Path, planted: str) -> None:
    said: list[str] = []

    def reduce(recording: Recording) -> Reduced:
        told = [json.loads(path.read_bytes()) for path in tmp_path.glob("findings/*/finding.json")]
        assert recording.title in [each["title"] for each in told if not each["tried"]]
        return Reduced(replace(recording, steps=recording.steps[:1]), 5, 5, ("why",))

    made = session(tmp_path, plant(planted, "crash:query-cpus-fast"), reduce, said.append)
    made.run(duration_s=None, guests=3)
    assert made.findings.all
    assert all((found.repeats, found.because) == ("5/5", ("why",)) for found in made.findings.all)
    assert "found in guest 0" in said[0]
    assert "shown again 5/5" in said[-1]
    assert made.totals.reducing_s > 0


def test_nothing_is_made_smaller_when_it_is_told_to_stop(tmp_path: Path, planted: str) -> None:
    def say(line: str) -> None:
        made.stopping = True

    def reduce(recording: Recording) -> Reduced:
        raise AssertionError

    made = session(tmp_path, plant(planted, "crash:query-cpus-fast"), reduce, say)
    made.run(duration_s=None, guests=3)
    assert [found.tried for found in made.findings.all] == [0]


def test_what_was_cut_short_goes_on_waiting(tmp_path: Path, planted: str) -> None:
    def reduce(recording: Recording) -> Reduced:
        made.stopping = True
        return Reduced(replace(recording, steps=()), 5, 5)

    made = session(tmp_path, plant(planted, "crash:query-cpus-fast"), reduce)
    made.run(duration_s=None, guests=1)
    assert made.findings.waiting == made.findings.all != []
    assert not list(tmp_path.glob("findings/*/repro-full.jsonl"))


def test_what_the_hosts_kernel_says_meanwhile_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_fd, fd = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
    path = Path(f"/proc/self/fd/{read_fd}")
    monkeypatch.setattr(sessions, "HostLog", lambda on_report: HostLog(on_report, path))
    made = session(tmp_path)
    os.write(fd, recorded(["kvm: a vCPU is in trouble"]))
    made.run(duration_s=None, guests=1)
    os.close(read_fd)
    os.close(fd)
    assert [note for note in made.totals.notes if note.startswith("host kernel: ") and "trouble" in note]
    assert len(made.document()["host_log"]["reports"]) == 1


def test_it_stops_when_told(tmp_path: Path) -> None:
    made = session(tmp_path)
    made.stopping = True
    made.run(duration_s=None, guests=None)
    assert made.totals.guests == 0


def test_a_qemu_that_never_starts_is_our_fault_and_not_a_finding(tmp_path: Path) -> None:
    made = session(tmp_path)
    made.target = replace(TARGET, guests=(("-machine", "nonsense"),))
    with pytest.raises(RigError, match="nonsense|unsupported machine"):
        made.run(duration_s=None, guests=None)
    assert made.findings.all == []


def test_a_state_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"guests": 1}')
    with pytest.raises(ConfigError, match=r"state\.json: not the state"):
        session(tmp_path)

"""``qstress fuzz`` as users run it, ended by force and gone on with; and that its bytes follow from what QEMU says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qstress.fuzz.corpus import Corpus
from qstress.fuzz.coverage import Coverage
from qstress.fuzz.exchange import Exchange
from qstress.fuzz.executor import Executor
from qstress.fuzz.findings import Findings
from qstress.fuzz.generator import Generator, GeneratorSettings, Knowledge
from qstress.fuzz.hmp import Hmp
from qstress.fuzz.ops import Result
from qstress.fuzz.pool import Pool
from qstress.fuzz.protocol import Reader
from qstress.fuzz.session import Session, Target
from tests.fuzz.conftest import planted
from tests.fuzz.guests import ARGUMENTS, QEMU, fuzzed_guest, guest_setup

__all__ = ["planted"]
pytestmark = [pytest.mark.qemu, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "fuzz-quick.yaml"
#: A session of 20 s, and not longer: what it finds stays as it was found.
SHORT = ("--set", "stop.duration=20s", "--set", "fuzz.reduce=0", "--seed", "7")
COMMAND = "query-uuid"


def start(runs: Path, library: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a session on a QEMU that crashes at :data:`COMMAND`, so that something is found for sure."""
    command = [sys.executable, "-m", "qstress", "fuzz", "-c", str(CONFIG), "--runs-dir", str(runs), *SHORT]
    command += ["--set", f"fuzz.weights.{COMMAND}=20"]
    for name, value in (("LD_PRELOAD", library), ("QSTRESS_PLANT", f"crash:{COMMAND}")):
        command += ["--set", f"builds.stock.env.{name}={value}"]
    return subprocess.Popen(
        [*command, *arguments], cwd=runs.parent, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until *condition*, with a generous deadline."""
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def found(folder: Path) -> dict[str, dict[str, Any]]:
    """The findings below *folder*, by title."""
    made = [json.loads(path.read_bytes()) for path in folder.glob("findings/0*/finding.json")]
    return {finding["title"]: finding for finding in made}


def using(library: str) -> list[str]:
    """The living processes whose command line or environment names *library*."""
    pids = [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if library.encode() in told(path)]
    return [pid for pid in pids if pid != str(os.getpid())]


def told(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_quick_session_killed_goes_on_with_its_corpus_and_findings(tmp_path: Path, planted: str) -> None:
    title = f"crash: SIGSEGV at {COMMAND}"
    first = start(tmp_path / "runs", planted)
    try:
        runs = tmp_path / "runs"
        wait_for(lambda: first.poll() is not None or any(title in found(folder) for folder in runs.glob("*")))
        assert first.poll() is None, first.communicate()
        (folder,) = (tmp_path / "runs").iterdir()
        wait_for((folder / "state.json").exists)
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    wait_for(lambda: not using(planted))  # no guest outlives it
    before, state = found(folder), json.loads((folder / "state.json").read_bytes())
    corpus = (folder / "corpus" / "corpus.jsonl").read_bytes()
    assert before[title]["count"] >= 1
    assert not (folder / "summary.json").exists()

    again = start(tmp_path / "runs", planted, "--resume", str(folder))
    output, _ = again.communicate()
    assert again.returncode == 1, output  # something was found
    assert list((tmp_path / "runs").iterdir()) == [folder]
    summary = json.loads((folder / "summary.json").read_bytes())
    assert (summary["exit_code"], summary["reason"]) == (1, "duration")
    assert summary["elapsed_s"] >= 20
    assert summary["guests"] > state["guests"]
    assert summary["commands"] > state["commands"]
    assert summary["coverage"]["accepted"] > 150
    kept = corpus[: corpus.rfind(b"\n") + 1]
    assert (folder / "corpus" / "corpus.jsonl").read_bytes().startswith(kept)
    assert summary["corpus"] > kept.count(b"\n") > 5
    names = {name for finding in summary["findings"] for name in (finding["title"], *finding["aliases"])}
    assert names >= set(before)
    (planted_one,) = [finding for finding in summary["findings"] if finding["title"] == title]
    assert planted_one["count"] >= before[title]["count"]
    for finding in summary["findings"]:
        assert (folder / "findings" / finding["folder"] / "repro.sh").exists()
    assert title in output


def learned(session: Session, settings: GeneratorSettings) -> Knowledge:
    """What a session knows at its start, once more."""
    pool, knows = Pool(), session.knowledge
    hmp = Hmp(list(knows.hmp.commands.values()), pool)
    return Knowledge(knows.schema, hmp, pool, Reader(knows.schema), Corpus(), Coverage(), settings)


def test_the_transcript_of_live_guests_gives_the_same_bytes_whatever_the_timing(tmp_path: Path) -> None:
    session = Session(
        Target(QEMU, "", (ARGUMENTS,), ()),
        GeneratorSettings(),
        guest_setup(),
        Findings(tmp_path / "f", (), ""),
        tmp_path,
        seed=1,
    )
    settings = GeneratorSettings(commands=400, weights={"quit": 0, "hmp quit": 0})
    first, lives = learned(session, settings), []
    for life in range(2):
        told: list[tuple[Exchange, tuple[Result, ...]]] = []
        with fuzzed_guest() as guest:
            executor, generator = Executor(guest, reply_s=10.0), Generator(first, 5, life)
            while (exchange := generator.next()) is not None:
                outcome = executor.execute(exchange.ops)
                generator.feed(exchange, outcome.results)
                told.append((exchange, outcome.results))
                if outcome.over:  # QEMU crashed: that is the transcript then
                    break
        lives.append(told)
    second, same = learned(session, settings), 0
    for life, told in enumerate(lives):
        generator = Generator(second, 5, life)
        for exchange, results in told:
            repeated = generator.next()
            assert repeated is not None
            assert repeated.ops == exchange.ops
            generator.feed(repeated, results)
            same += len(exchange.ops)
    assert same > 100

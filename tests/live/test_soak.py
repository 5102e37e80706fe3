"""``qstress soak`` as users run it: real guests, real signals, a real full disk, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.conftest import KVM, qemus_of

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(150)]
LONG = pytest.mark.skipif("TEST_LONG" not in os.environ, reason="takes minutes: set TEST_LONG=1")

CONFIG = """
version: 1
name: test
builds:
  faulty: {binary: qemu-system-x86_64, inject: {lost_ap: 0.5}}
  healthy: {binary: qemu-system-x86_64}
guest: {accel: tcg, smp: 3}
hammer: [{command: info registers -a, via: hmp, rate: max}]
stop: {trials: 12}
compare: {baseline: faulty, candidate: healthy}
seed: 5
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "test.yaml"
    path.write_text(CONFIG)
    return path


class Soak:
    """A running ``qstress soak`` process."""

    def __init__(self, config: Path, *arguments: str) -> None:
        self.runs = config.parent / "runs"
        command = [sys.executable, "-m", "qstress", "soak", "-c", str(config), "--runs-dir", str(self.runs), "-v"]
        self.process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=config.parent,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        self.lines: list[str] = []
        self._heard = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._heard:
                self.lines.append(line)
                self._heard.notify_all()

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until stderr has said *text*; the test's time limit is the deadline."""
        with self._heard:
            while sum(text in line for line in self.lines) < times:
                assert self._reader.is_alive() or self.process.poll() is None, "".join(self.lines)
                self._heard.wait(0.1)

    def end(self) -> tuple[int, str]:
        """Wait for the end; return exit code and what was printed."""
        assert self.process.stdout is not None
        printed = self.process.stdout.read()
        code = self.process.wait()
        self._reader.join()
        self.process.stdout.close()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code, printed

    @property
    def run(self) -> Path:
        """The run's folder."""
        (run,) = self.runs.iterdir()
        return run

    @property
    def summary(self) -> dict[str, Any]:
        """``summary.json``."""
        summary: dict[str, Any] = json.loads((self.run / "summary.json").read_text())
        return summary


@pytest.fixture
def soaks() -> Iterator[list[Soak]]:
    """Processes to end whatever happens."""
    started: list[Soak] = []
    yield started
    for soak in started:
        if soak.process.poll() is None:
            soak.process.kill()
            soak.end()


def outcomes(summary: dict[str, Any], build: str) -> dict[str, int]:
    return {
        key: value
        for cell in summary["cells"]
        if cell["build"] == build
        for key, value in cell["outcomes"].items()
        if value
    }


def findings_on_disk(run: Path) -> list[tuple[int, str | None]]:
    with sqlite3.connect(f"file:{run}/trials.db?mode=ro", uri=True) as db:
        return db.execute(
            "SELECT number, evidence FROM verdict v JOIN kind k ON k.id = v.kind WHERE outcome = 'hang'"
        ).fetchall()


def assert_no_qemu_of(pid: int) -> None:
    """Its guests die with it; the kernel may take a moment to reap them."""
    while qemus_of(pid):  # the test's time limit is the deadline
        os.sched_yield()


def test_a_run_from_start_to_summary(config: Path, soaks: list[Soak]) -> None:
    soak = Soak(config)
    soaks.append(soak)
    code, printed = soak.end()
    assert code in (0, 5), "".join(soak.lines)
    assert "the race itself cannot occur under TCG" in soak.lines[0]
    assert "cannot occur" in printed.strip().splitlines()[-1]
    summary = soak.summary
    assert (summary["reason"], summary["exit_code"]) == ("trials", code)
    assert outcomes(summary, "healthy") == {"ok": 6}
    lost = outcomes(summary, "faulty")["hang"]
    assert 0 < lost < 6
    (finding,) = summary["findings"]
    assert (finding["class"], finding["count"]) == ("lost-init", lost)
    assert finding["repro"] in printed
    assert stat_mode(soak.run) == 0o700
    assert {"report.html", "junit.xml"} <= {path.name for path in soak.run.iterdir()}
    assert reported(soak.run) == summary
    evidence = soak.run / finding["evidence"][0]
    assert {path.name for path in evidence.iterdir()} >= {
        "finding.json", "dumps.txt", "console.log", "commands.jsonl", "threads.json", "repro.sh",
    }  # fmt: skip
    assert all(stat_mode(path) & 0o077 == 0 for path in evidence.iterdir())
    assert json.loads((evidence / "finding.json").read_text())["wait_loop"]["expected"] == 3
    again = subprocess.run(
        [sys.executable, "-m", "qstress", "repro", str(evidence), "--trials", "2"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert (again.returncode, again.stdout.split(" (")[0]) == (1, "lost-init: 2/2"), again.stderr


def reported(run: Path) -> dict[str, Any]:
    """The summary as ``qstress report`` makes it again from what was recorded."""
    done = subprocess.run(
        [sys.executable, "-m", "qstress", "report", str(run), "--format", "json"],
        capture_output=True, text=True, check=True, cwd=run.parents[1],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def stat_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_drains_saves_and_reports(
    config: Path, soaks: list[Soak], number: signal.Signals, expected: int
) -> None:
    soak = Soak(config, "--set", "stop.trials=1000000")
    soaks.append(soak)
    soak.wait_for("lost INIT")
    pid = soak.process.pid
    soak.process.send_signal(number)
    code, printed = soak.end()
    assert code == expected, "".join(soak.lines)
    assert soak.summary["reason"] == "interrupted"
    assert sum(finding["count"] for finding in soak.summary["findings"]) == len(findings_on_disk(soak.run)) >= 1
    assert reported(soak.run) == soak.summary
    assert "lost INIT" in printed
    assert_no_qemu_of(pid)


def test_a_second_signal_kills_what_runs(config: Path, soaks: list[Soak]) -> None:
    soak = Soak(
        config, "--set", "stop.trials=1000000", "--set", "guest.smp=120", "--set", "builds.faulty.inject.lost_ap=1"
    )
    soaks.append(soak)
    soak.wait_for("trial ")
    while not qemus_of(soak.process.pid):
        os.sched_yield()
    soak.process.send_signal(signal.SIGINT)
    soak.process.send_signal(signal.SIGTERM)
    soak.process.send_signal(signal.SIGINT)
    code, _ = soak.end()
    assert code in (130, 143)
    assert soak.summary["reason"] == "interrupted"


def test_kill_9_loses_nothing_and_a_resumed_run_doubles_nothing(config: Path, soaks: list[Soak]) -> None:
    soak = Soak(config)
    soaks.append(soak)
    soak.wait_for("lost INIT", times=2)
    qemus = [int(line.split()[0]) for line in qemus_of(soak.process.pid)]
    soak.process.kill()
    soak.end()
    for pid in qemus:
        while Path(f"/proc/{pid}").exists():  # the test's time limit is the deadline
            os.sched_yield()
    before = findings_on_disk(soak.run)
    assert len(before) >= 2
    resumed = Soak(config, "--resume", str(soak.run))
    soaks.append(resumed)
    code, _ = resumed.end()
    assert code in (0, 5), "".join(resumed.lines)
    after = findings_on_disk(soak.run)
    assert all(found in after for found in before)
    summary = soak.summary
    assert sum(cell["trials"] for cell in summary["cells"]) == 12
    assert outcomes(summary, "healthy") == {"ok": 6}
    assert reported(soak.run) == summary
    uninterrupted = Soak(config, "--runs-dir", str(config.parent / "other"))
    soaks.append(uninterrupted)
    uninterrupted.end()
    (other,) = (config.parent / "other").iterdir()
    whole = json.loads((other / "summary.json").read_text())
    assert outcomes(whole, "faulty") == outcomes(summary, "faulty")


def test_a_changed_configuration_is_not_resumed_and_a_longer_stop_needs_none(config: Path, soaks: list[Soak]) -> None:
    soak = Soak(config, "--set", "stop.trials=2")
    soaks.append(soak)
    soak.end()
    resumed = Soak(config, "--resume", str(soak.run), "--seed", "9")
    soaks.append(resumed)
    code, _ = resumed.end()
    assert code == 2
    assert "changed since: seed; stop alone can" in "".join(resumed.lines)
    command = [sys.executable, "-m", "qstress", "soak", "--resume", str(soak.run), "--set", "stop.trials=4"]
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    longer = subprocess.run(command, capture_output=True, text=True, check=False, env=where, cwd=config.parent)
    assert longer.returncode in (0, 5), longer.stderr
    assert sum(cell["trials"] for cell in soak.summary["cells"]) == 4


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounting a tmpfs needs root")
def test_a_full_disk_ends_the_run_and_loses_nothing(config: Path, soaks: list[Soak], tmp_path: Path) -> None:
    small = tmp_path / "runs"
    small.mkdir()
    code = (
        "import subprocess, sys\n"
        f"subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=700k', 'tmpfs', {str(small)!r}], check=True)\n"
        f"done = subprocess.run([sys.executable, '-m', 'qstress', 'soak', '-c', {str(config)!r}, '--runs-dir',"
        f" {str(small)!r}, '--set', 'stop.trials=1000', '--set', 'builds.faulty.inject.lost_ap=1', '-v'],"
        " text=True, capture_output=True)\n"
        "print(done.returncode); print(done.stderr)\n"
        f"subprocess.run(['cp', '-r', {str(small)!r}, {str(tmp_path / 'kept')!r}], check=True)\n"
    )
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    if "unshare failed" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.stdout.startswith("4\n"), done.stdout + done.stderr
    assert "No space left" in done.stdout or "disk" in done.stdout
    (run,) = (tmp_path / "kept").iterdir()
    said = [
        int(line.split()[1]) for line in done.stdout.splitlines() if "lost INIT" in line and line.startswith("trial")
    ]
    assert said
    assert {number for number, _ in findings_on_disk(run)} >= set(said)
    for _, evidence in findings_on_disk(run):
        assert evidence is None or (run / evidence / "finding.json").exists()


def test_a_bad_binary_starts_nothing(config: Path, soaks: list[Soak]) -> None:
    soak = Soak(config, "--set", "builds.healthy.binary=/nonexistent/qemu")
    soaks.append(soak)
    code, _ = soak.end()
    assert code == 4
    assert "/nonexistent/qemu" in "".join(soak.lines)
    assert not soak.runs.exists()


def test_arguments_that_qemu_refuses_end_the_run_with_its_words(config: Path, soaks: list[Soak]) -> None:
    soak = Soak(config, "--set", "guest.args=[-no-such-option]")
    soaks.append(soak)
    code, _ = soak.end()
    assert code == 4
    assert "-no-such-option: invalid option" in "".join(soak.lines)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("trials", [400, pytest.param(1000, marks=LONG)])
def test_many_trials_leave_no_trace(config: Path, soaks: list[Soak], trials: int) -> None:
    """No growth of descriptors, threads or children; memory flat after the first 200 trials."""
    soak = Soak(
        config, "--set", f"stop.trials={trials}", "--set", "builds.faulty.inject.lost_ap=0", "--set", "guest.smp=2"
    )
    soaks.append(soak)
    sizes: dict[int, tuple[int, int, int]] = {}
    for done in (200, trials - 40):
        soak.wait_for(": ok: ", times=done)
        proc = Path(f"/proc/{soak.process.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        sizes[done] = len(os.listdir(proc / "fd")), int(status["Threads"]), int(status["VmRSS"].split()[0])
    code, _ = soak.end()
    assert code in (0, 5)
    assert outcomes(soak.summary, "healthy") == {"ok": trials // 2}
    (fds, threads, rss), (more_fds, more_threads, more_rss) = sizes.values()
    assert more_fds <= fds + 12  # what one guest that is starting or ending has open
    assert more_threads <= threads
    assert more_rss <= rss * 1.05, (rss, more_rss)


@pytest.mark.kvm
def test_on_kvm_the_quickstart_finds_the_real_race(tmp_path: Path, soaks: list[Soak]) -> None:
    quickstart = tmp_path / "quickstart.yaml"
    quickstart.write_text((Path(__file__).parents[2] / "configs/quickstart.yaml").read_text())
    soak = Soak(quickstart, "--set", "stop.trials=40")
    soaks.append(soak)
    _, printed = soak.end()
    summary = soak.summary
    by_build = {cell["build"]: cell for cell in summary["cells"]}
    assert by_build["unpatched"]["classes"]["lost-init"]["count"] > 0, printed
    assert by_build["fix-imitated"]["classes"]["lost-init"]["count"] == 0, printed
    if not KVM.smm:
        assert {cell["smm"] for cell in summary["cells"]} == {"pretended"}
        assert "SMM was pretended" in printed


async def test_a_test_runner_that_is_killed_leaves_no_guest(tmp_path: Path) -> None:
    """A pytest process that runs a live test is killed with SIGKILL while its guest lives."""
    test = tmp_path / "test_hangs.py"
    test.write_text(
        "import anyio, pytest\n"
        "from qstress.model import Accel\n"
        "from qstress.guest.live import live_guest\n"
        "from tests.live.rig import planned, stock\n"
        "async def test_it() -> None:\n"
        "    shape = planned(Accel.TCG).cell.stratum.shape\n"
        "    async with live_guest(stock(), shape, env={}, on_change=lambda: None) as guest:\n"
        "        print('guest', guest.process.pid, flush=True)\n"
        "        await anyio.sleep_forever()\n"
    )
    root = Path(__file__).parents[2]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-s",
        "-p",
        "no:cacheprovider",
        "-c",
        str(root / "pyproject.toml"),
        str(test),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    ) as runner:
        assert runner.stdout is not None
        pid = next(int(line.split()[-1]) for line in runner.stdout if "guest " in line)
        assert Path(f"/proc/{pid}").exists()
        runner.kill()
    while Path(f"/proc/{pid}").exists():  # the test's time limit is the deadline
        await anyio.sleep(0.01)

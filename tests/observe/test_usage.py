from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qstress.observe import usage
from qstress.verdict.limits import Load


@contextmanager
def running_cat(*fds: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has answered: Popen returns while the program is still being loaded, with files open for that and
    without its name. It has the three standard descriptors and *fds*."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=fds) as cat:
        assert cat.stdin is not None
        assert cat.stdout is not None
        cat.stdin.write(b"x\n")
        cat.stdin.flush()
        cat.stdout.readline()
        yield cat  # it ends with its input


def test_who_spins_and_who_sleeps_is_told_apart() -> None:
    spinner = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    sleeper = subprocess.Popen(["sleep", "1000"])
    try:
        shares: dict[int, usage.UsageSample] = {}
        for pid in (spinner.pid, sleeper.pid):
            shares[pid] = usage.sample(pid, {0: pid})
        while usage.sample(spinner.pid, {0: spinner.pid}).cpu_s[0] < shares[spinner.pid].cpu_s[0] + 0.1:
            os.sched_yield()  # until it has spun for 0.1 s, however busy the host is
        (spun,) = usage.usage_between(spinner.pid, shares[spinner.pid], usage.sample(spinner.pid, {0: spinner.pid}))
        (slept,) = usage.usage_between(sleeper.pid, shares[sleeper.pid], usage.sample(sleeper.pid, {0: sleeper.pid}))
        assert spun.cpu_s >= 0.1
        assert slept.cpu_s < 0.05
        assert slept.state == "S"
        assert spun.wall_s > 0
        assert spun.share == pytest.approx(spun.cpu_s / spun.wall_s)
        assert usage.process_state(spinner.pid) == "R"
        spinner.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, spinner.pid, os.WSTOPPED)
        assert usage.process_state(spinner.pid) == "T"
    finally:
        for process in (spinner, sleeper):
            process.kill()
            process.wait()


def test_threads_that_are_gone_are_left_out() -> None:
    seen = usage.sample(os.getpid(), {0: threading.get_native_id(), 1: 2**22 - 1})
    assert list(seen.cpu_s) == [0]
    assert usage.process_state(2**22 - 1) == ""


def test_a_process_is_looked_at_from_outside_and_one_that_is_gone_has_nothing() -> None:
    with open(os.devnull) as file, running_cat(file.fileno()) as process:
        assert usage.open_descriptors(process.pid) == 4
        assert usage.private_bytes(process.pid) >= 4096
        assert [line.partition(": ")[0] for line in usage.wait_channels(process.pid)] == ["cat"]
    assert usage.open_descriptors(process.pid) == usage.private_bytes(process.pid) == 0
    assert usage.wait_channels(process.pid) == ()
    assert usage.run_and_queue_s(process.pid) == (0.0, 0.0)


def test_how_long_a_process_ran_and_waited_for_a_core_grows() -> None:
    before = usage.run_and_queue_s(os.getpid())
    while usage.run_and_queue_s(os.getpid())[0] <= before[0]:
        pass  # until it was counted that this ran
    assert usage.run_and_queue_s(os.getpid())[1] >= before[1]


def test_private_memory_grows_with_what_is_written_to() -> None:
    before = usage.private_bytes(os.getpid())
    held = b"x" * (64 << 20)
    assert usage.private_bytes(os.getpid()) - before >= len(held) // 2


def test_a_child_is_found() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=-1, start_new_session=True) as shell:
        try:
            assert shell.stdout is not None
            child = int(shell.stdout.readline())
            assert usage.child_of(shell.pid) == child
            assert usage.child_of(child) == 0
        finally:
            os.killpg(shell.pid, signal.SIGKILL)


def test_the_hosts_memory_is_what_the_kernel_says() -> None:
    told = Path("/proc/meminfo").read_text().splitlines()[0].split()
    assert told[0] == "MemTotal:"
    assert usage.memory_bytes() == int(told[1]) * 1024


def test_the_hosts_load_is_told() -> None:
    assert len(str(usage.host_load()["loadavg"]).split()) == 5


def test_the_load_is_read_as_numbers() -> None:
    load = usage.load_since(usage.CpuTimes())
    assert load.cores == len(os.sched_getaffinity(0))
    assert load.runnable >= 0
    assert 0.0 <= load.waiting <= 1.0
    assert 0.0 <= load.stolen <= 1.0
    now = usage.cpu_times()
    assert now.total > now.stolen >= 0


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, Load(cores=2)),
        ({"loadavg": "9.00 9.00 9.00 17/245 4711"}, Load(cores=2, runnable=16)),  # without this one
        ({"loadavg": "gone wrong", "pressure/cpu": "full avg10=99.00", "stat": "cpu 1 2 3"}, Load(cores=2)),
        ({"pressure/cpu": "some avg10=87.50 avg60=1.00 avg300=0.10 total=1"}, Load(cores=2, waiting=0.875)),
        ({"stat": "cpu  100 0 0 700 0 0 0 200 0 0\ncpu0 1"}, Load(cores=2, stolen=0.2)),
    ],
)
def test_what_the_kernel_does_not_tell_is_no_load(
    files: dict[str, str], expected: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "_text", lambda path: files.get(str(path).removeprefix("/proc/"), ""))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert usage.load_since(usage.CpuTimes()) == expected


def test_only_what_was_stolen_since_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_text", lambda path: "cpu  0 0 0 1000 0 0 0 500" if path.name == "stat" else "")
    assert usage.load_since(usage.CpuTimes(1400, 480)).stolen == pytest.approx(0.2)
    assert usage.load_since(usage.CpuTimes(1500, 500)).stolen == 0.0


def test_all_threads_of_a_process_are_found_main_loop_first() -> None:
    assert usage.threads_of(os.getpid())[0] == os.getpid()
    assert usage.threads_of(2**22 - 1) == {}


def test_a_process_is_found_by_its_threads() -> None:
    held = threading.Event()
    thread = threading.Thread(target=held.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        assert usage.process_of([thread.native_id, os.getpid()]) == os.getpid()
        assert usage.own_numbers(os.getpid())[thread.native_id] == thread.native_id
        assert usage.process_of([thread.native_id, 1]) == 0
    finally:
        held.set()
        thread.join()
    assert usage.process_of([2**22 - 1]) == usage.process_of([]) == 0
    assert usage.own_numbers(2**22 - 1) == {}


def test_a_process_has_its_programs_name() -> None:
    with running_cat() as cat:
        assert usage.process_name(cat.pid) == "cat"
    assert usage.process_name(2**22 - 1) == ""


def test_on_an_emulated_host_the_machine_beneath_says_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "STOLEN", tmp_path / "stolen")
    assert usage.starved_beneath_s() == 0.0
    (tmp_path / "stolen").write_text("0.250 12.5")
    assert usage.load_since(usage.cpu_times()).stolen == 0.25
    assert usage.starved_beneath_s() == 12.5

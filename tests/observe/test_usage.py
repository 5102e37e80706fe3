from __future__ import annotations

import os
import signal
import subprocess
import threading

import pytest

from qstress.observe import usage


def test_who_spins_and_who_sleeps_is_told_apart() -> None:
    spinner = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    sleeper = subprocess.Popen(["sleep", "1000"])
    try:
        shares: dict[int, usage.UsageSample] = {}
        for pid in (spinner.pid, sleeper.pid):
            shares[pid] = usage.sample(pid, {0: pid})
        while usage.sample(spinner.pid, {0: spinner.pid}).cpu_s[0] < shares[spinner.pid].cpu_s[0] + 0.1:
            os.sched_yield()  # until it has spun for 0.1 s, however busy the host is
        (spun,) = usage.between(spinner.pid, shares[spinner.pid], usage.sample(spinner.pid, {0: spinner.pid}))
        (slept,) = usage.between(sleeper.pid, shares[sleeper.pid], usage.sample(sleeper.pid, {0: sleeper.pid}))
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


def test_the_hosts_load_is_told() -> None:
    assert len(str(usage.host_load()["loadavg"]).split()) == 5

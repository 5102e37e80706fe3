"""``repro.sh`` run for real, under TCG."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from qstress.guest.argv import guest_arguments
from qstress.model import Accel, Build, Cell, HammerSpec, Rate, Shape, Stratum, Trial
from qstress.report.repro import boot_repro_sh

pytestmark = pytest.mark.qemu

QEMU = shutil.which("qemu-system-x86_64") or ""
HAMMER = HammerSpec("info registers -a", "hmp", Rate(0.002, "every 2ms"))


def trial(smp: int, *, inject: bool) -> Trial:
    shape = Shape(smp, "pc", Accel.TCG, 32 << 20, "seabios")
    return Trial(3, 1, 0, Cell(Build("stock", QEMU, "7.2.22", "0" * 64), Stratum(shape, (HAMMER,))), 11, inject)


class Bench:
    """A folder with a ``repro.sh``, an empty TMPDIR, and a QEMU that notes its pid before it becomes QEMU."""

    def __init__(self, folder: Path, trial: Trial) -> None:
        self.folder = folder
        self.tmp = folder / "tmp"
        self.tmp.mkdir()
        self.pids = folder / "pids"
        self.started = folder / "started"
        self.qemu = folder / "qemu"
        note = f'echo $$ >>"{self.pids}"\ntest ! -p "{self.started}" || : >"{self.started}"\n'
        self.qemu.write_text(f'#!/bin/sh\n{note}exec {QEMU} "$@"\n')
        self.qemu.chmod(0o700)
        build, shape = trial.cell.build, trial.cell.stratum.shape
        argv = guest_arguments(build, shape, lost_ap=trial.inject_lost_ap)
        (folder / "repro.sh").write_text(boot_repro_sh(trial, argv, (), None))
        self.env = {**os.environ, "TMPDIR": str(self.tmp), "QEMU": str(self.qemu), "QUIET_S": "3"}

    def start(self, boots: int) -> subprocess.Popen[str]:
        command = ["sh", str(self.folder / "repro.sh"), str(boots)]
        return subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def assert_clean(self, boots: int) -> None:
        pids = self.pids.read_text().split()
        assert len(pids) == boots
        assert [pid for pid in pids if os.path.exists(f"/proc/{pid}")] == []
        assert os.listdir(self.tmp) == []


@pytest.fixture(autouse=True)
def _qemu_is_there() -> None:
    if not QEMU:
        pytest.skip("no qemu-system-x86_64 here")


@pytest.mark.parametrize("smp", [1, 4])
def test_healthy_boots_are_told_and_nothing_is_left(tmp_path: Path, smp: int) -> None:
    bench = Bench(tmp_path, trial(smp, inject=False))
    with bench.start(2) as process:
        said, _ = process.communicate()
    assert said == "boot 1: ok\nboot 2: ok\n0/2 boots hung (lost-init), 0/2 restarted\n"
    assert process.returncode == 0
    bench.assert_clean(2)


@pytest.mark.parametrize("smp", [2, 4])
def test_an_injected_fault_shows_the_hang(tmp_path: Path, smp: int) -> None:
    bench = Bench(tmp_path, trial(smp, inject=True))
    with bench.start(2) as process:
        said, _ = process.communicate()
    assert said.splitlines()[-1] == "2/2 boots hung (lost-init), 0/2 restarted"
    assert f"    CPU#{smp - 1} EIP=0000fff0 HLT=1 CS =f000 ffff0000" in said
    assert process.returncode == 1
    bench.assert_clean(2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_script_that_is_stopped_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    bench = Bench(tmp_path, trial(4, inject=True))
    os.mkfifo(bench.started)
    with bench.start(1) as process:
        bench.started.read_bytes()  # waits for the QEMU that opens it
        process.send_signal(number)
        process.communicate()
    assert process.returncode == 128 + number
    bench.assert_clean(1)

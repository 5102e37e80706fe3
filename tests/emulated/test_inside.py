from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qstress.emulated.inside import without_host
from tests.emulated.hosts import AGENT, stand_in
from tests.emulated.test_fetch import BUILT_IN
from tests.emulated.test_kernel import RELEASE, bzimage, module


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (["check", "--host", "emulated", "--bringups", "4"], ["check", "--bringups", "4"]),
        (["check", "--host=emulated:6.12"], ["check"]),
        (["doctor"], ["doctor"]),
        (["repro", "--host", "emulated", "--", "--host", "x"], ["repro", "--", "--host", "x"]),
    ],
)
def test_the_same_command_line_without_its_host(given: list[str], left: list[str]) -> None:
    assert without_host(given) == left


def test_a_command_with_input_output_and_status_as_if_it_ran_here(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(bzimage())
    modules = tmp_path / "lib/modules" / RELEASE
    modules.mkdir(parents=True)
    (modules / "modules.builtin").write_text(BUILT_IN)
    (modules / "kvm-amd.ko").write_bytes(module("kvm"))
    code = f"""
import sys
from qstress.emulated.command import Machine
from qstress.emulated.inside import run_inside
say = lambda line: print(line, file=sys.stderr)
sys.exit(run_inside(["sh", "-c", "cat; exit 5"], {str(tmp_path)!r}, Machine(), say, qemu={stand_in(tmp_path, AGENT)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], input=b"given", capture_output=True, env=os.environ)
    assert (done.returncode, done.stdout) == (5, b"given"), done.stderr
    assert b"emulated host: kernel 6.1.0-9-amd64, up in" in done.stderr

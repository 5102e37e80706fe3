from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qstress.model import (
    Accel,
    Build,
    Cell,
    HammerSpec,
    Milestone,
    Rate,
    Shape,
    Smm,
    SmmWriteback,
    Stratum,
    Trial,
)
from qstress.report.repro import boot_repro_sh

BUILD = Build("stock", "/opt/qemu", "7.2.22", "ab" * 32)
SHAPE = Shape(4, "pc", Accel.KVM, 32 << 20, "seabios")
HAMMERS = (
    HammerSpec("info registers -a", "hmp", Rate(0.002, "every 2ms")),
    HammerSpec("query-cpus-fast", "qmp", Rate(None, "max"), '{"a": null}', Milestone.BANNER, Milestone.CHECKIN),
)
TRIAL = Trial(17, 8, 0, Cell(BUILD, Stratum(SHAPE, HAMMERS)), seed=99)

#: Plays the guest that its argument -name says: prints on the console at ``cont``, answers QMP, notes what it got.
FAKE_QEMU = """
import json, os, re, socket, sys

text = " ".join(sys.argv)
play = sys.argv[sys.argv.index("-name") + 1]
console = open(re.search("path=(.*?) -device", text)[1].replace(",,", ","), "ab", buffering=0)
qmp = socket.socket(fileno=int(re.search(r"fd=(\\d+)", text)[1])).makefile("rwb", buffering=0)
qmp.write(b'{"QMP": {}}\\n')
seen = []
PRINTS = {
    "ok": "SeaBIOS (version 1)\\nFound 4 cpu(s) max supported 4 cpu(s)\\nSeaBIOS (version 1)\\n",
    "banner": "SeaBIOS (version 1)\\nSeaBIOS (version 1)\\n",
    "resume": "SeaBIOS (version 1)\\nIn resume (status=0)\\n",
}
LOST = ("\\r\\nCPU#0\\r\\nEIP=000ee2e1 HLT=0\\r\\nCS =0008 00000000"
        "\\r\\nCPU#1\\r\\nEIP=0000fff0 HLT=0\\r\\nCS =f000 ffff0000 0000ffff")
for line in qmp:
    request = json.loads(line)
    seen.append(request)
    with open("seen.json", "w") as file:
        json.dump({"argv": sys.argv, "env": dict(os.environ), "qmp": seen}, file)
    if play == "die" and len(seen) > 2:
        sys.exit("Assertion failed\\n")
    if play == "silent" and len(seen) > 2:
        continue
    if request["execute"] == "cont":
        console.write(PRINTS.get(play, "SeaBIOS (version 1)\\n").encode())
    hmp = request["arguments"].get("command-line")
    reply = LOST.replace("0000fff0", "000fd09a" if play == "spin" else "0000fff0") if hmp else {}
    qmp.write(b'{"event": "RESUME"}\\n')
    qmp.write(json.dumps({"return": reply}).encode() + b"\\n")
"""


def run(
    folder: Path,
    play: str,
    *,
    trial: Trial = TRIAL,
    args: Sequence[str] = (),
    guest_env: Sequence[tuple[str, str]] = (),
    source: str | None = None,
    boots: int = 1,
    quiet_s: float = 5,
    tmp_name: str = "tmp, dir",
) -> tuple[int, str, dict[str, Any]]:
    """Run a script for a guest that plays *play*; return exit status, output, and what the last QEMU was given."""
    qemu = folder / "qemu it's"
    qemu.write_text(f"#!{sys.executable}\n{FAKE_QEMU}")
    qemu.chmod(0o700)
    tmp = folder / tmp_name
    tmp.mkdir()
    path = folder / "repro.sh"
    path.write_text(boot_repro_sh(trial, [str(qemu), "-name", play, *args], guest_env, source))
    env = {**os.environ, "TMPDIR": str(tmp), "QUIET_S": str(quiet_s)}
    done = subprocess.run(
        ["sh", str(path), str(boots)], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert os.listdir(tmp) == []
    return done.returncode, done.stdout, json.loads((folder / "seen.json").read_bytes())


@pytest.mark.parametrize(
    ("play", "quiet_s", "last_line"),
    [
        ("ok", 5, "0/2 boots hung (lost-init), 0/2 restarted"),
        ("banner", 5, "0/2 boots hung (lost-init), 2/2 restarted"),
        ("resume", 5, "0/2 boots hung (lost-init), 2/2 restarted"),
        ("lost", 1, "2/2 boots hung (lost-init), 0/2 restarted"),
        ("spin", 1, "0/2 boots hung (lost-init), 0/2 restarted, 2/2 hung (other)"),
        ("die", 5, "0/2 boots hung (lost-init), 0/2 restarted, 2/2 QEMU died"),
        ("silent", 1, "0/2 boots hung (lost-init), 0/2 restarted, 2/2 monitor silent"),
    ],
)
def test_each_end_of_a_boot_is_counted_as_what_it_is(tmp_path: Path, play: str, quiet_s: float, last_line: str) -> None:
    status, said, _ = run(tmp_path, play, boots=2, quiet_s=quiet_s)
    assert said.splitlines()[-1] == last_line
    assert status == (play != "ok")


def test_a_hang_shows_every_vcpu(tmp_path: Path) -> None:
    _, said, _ = run(tmp_path, "lost", quiet_s=1)
    assert said.splitlines()[:2] == [
        "    CPU#0 EIP=000ee2e1 HLT=0 CS =0008 00000000",
        "    CPU#1 EIP=0000fff0 HLT=0 CS =f000 ffff0000",
    ]


def test_a_qemu_that_dies_has_the_last_word(tmp_path: Path) -> None:
    _, said, _ = run(tmp_path, "die")
    assert "QEMU ended with status 1: Assertion failed" in said


def test_the_commands_are_those_of_the_hammers(tmp_path: Path) -> None:
    _, _, seen = run(tmp_path, "lost", quiet_s=1)
    hmp = {"execute": "human-monitor-command", "arguments": {"command-line": "info registers -a"}}
    assert [request["execute"] for request in seen["qmp"][:2]] == ["qmp_capabilities", "cont"]
    assert hmp in seen["qmp"][2:]
    assert {"execute": "query-cpus-fast", "arguments": {"a": None}} in seen["qmp"][2:]


def test_a_hammer_waits_for_its_milestone(tmp_path: Path) -> None:
    late = replace(HAMMERS[1], start=Milestone.CHECKIN, until=Milestone.BOOT)
    cell = Cell(BUILD, Stratum(SHAPE, (HAMMERS[0], late)))
    _, _, seen = run(tmp_path, "lost", trial=replace(TRIAL, cell=cell), quiet_s=1)
    assert {request["execute"] for request in seen["qmp"][2:]} == {"human-monitor-command"}


def test_a_guest_that_nothing_hammers_can_be_run(tmp_path: Path) -> None:
    quiet = replace(TRIAL, cell=Cell(BUILD, Stratum(SHAPE, ())))
    status, _, seen = run(tmp_path, "ok", trial=quiet)
    assert (status, len(seen["qmp"])) == (0, 2)


def test_arguments_and_environment_arrive_as_they_were(tmp_path: Path) -> None:
    odd = ["it's", 'a "b"', "$(touch x) `touch y` \\", "END_OF_PYTHON", "a\nEND_OF_PYTHON\nb", "é", "-x", ""]
    env = (("ODD", odd[2]), ("QSTRESS_LOG_FD", "7"))
    _, _, seen = run(tmp_path, "ok", args=odd, guest_env=env)
    assert seen["argv"][3 : 4 + len(odd)] == [*odd, "-S"]
    assert seen["env"]["ODD"] == odd[2]
    assert "QSTRESS_LOG_FD" not in seen["env"]
    assert {"x", "y"}.isdisjoint(os.listdir(tmp_path))


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_an_interposed_build_brings_its_interposer_along(tmp_path: Path) -> None:
    source = (
        "/* it's $HOME \\ \nEND_OF_C\n*/\n#include <stdlib.h>\n"
        '__attribute__((constructor)) static void on(void) { setenv("INTERPOSED_BY", "END_OF_C_", 1); }\n'
    )
    env = (("LD_PRELOAD", "/old/cache/interpose.so"), ("QSTRESS_INTERPOSE_SMM", "pretend"))
    status, _, seen = run(tmp_path, "ok", guest_env=env, source=source, tmp_name="tmp")
    assert status == 0
    assert seen["env"]["INTERPOSED_BY"] == "END_OF_C_"
    assert seen["env"]["QSTRESS_INTERPOSE_SMM"] == "pretend"
    assert seen["env"]["LD_PRELOAD"].startswith(str(tmp_path / "tmp"))


def test_an_interposer_that_could_not_be_preloaded_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "repro.sh"
    path.write_text(boot_repro_sh(TRIAL, [sys.executable], (), "int x;"))
    env = {**os.environ, "TMPDIR": str(tmp_path / "a b")}
    (tmp_path / "a b").mkdir()
    done = subprocess.run(["sh", str(path)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "set TMPDIR to a path without spaces" in done.stderr


def test_a_missing_qemu_is_told_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "repro.sh"
    path.write_text(boot_repro_sh(TRIAL, (), (), None))
    env = {**os.environ, "QEMU": str(tmp_path / "none")}
    done = subprocess.run(["sh", str(path)], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"no QEMU at {tmp_path}/none: name one with QEMU=/path/to/qemu\n")


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "busybox"])
def test_any_shell_can_read_it(tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    path = tmp_path / "repro.sh"
    path.write_text(boot_repro_sh(TRIAL, ["q"], (), "int x;"))
    command = [shell, *(["sh"] if shell == "busybox" else []), "-n", str(path)]
    assert subprocess.run(command, capture_output=True, check=False).stderr == b""


def program(trial: Trial, **options: Any) -> dict[str, str]:
    """The constants of the Python part."""
    text = boot_repro_sh(trial, ["/opt/qemu", "-smp", "3"], (), None, **options)
    body = text.partition("<<'END_OF_PYTHON'\n")[2].partition("\nEND_OF_PYTHON\n")[0]
    constants = [node for node in ast.parse(body).body if isinstance(node, ast.Assign)]
    return {ast.unparse(node.targets[0]): ast.unparse(node.value) for node in constants}


def test_what_was_done_to_the_guest_is_done_again() -> None:
    plain = program(TRIAL)
    expected = {"INJECT": "False", "BSP_ALONE": "False", "SMP": "4", "ARGS": "['-smp', '3']"}
    assert {name: plain[name] for name in expected} == expected
    alone = replace(SHAPE, placement="bsp-alone")
    special = program(replace(TRIAL, inject_lost_ap=True, cell=Cell(BUILD, Stratum(alone, HAMMERS))))
    assert (special["INJECT"], special["BSP_ALONE"]) == ("True", "True")


def header(trial: Trial, **options: Any) -> str:
    lines = boot_repro_sh(trial, ["/opt/qemu"], (), None, **options).splitlines()
    assert lines[0] == "#!/bin/sh"
    end = next(i for i, line in enumerate(lines) if line.startswith("exec "))
    assert all(line.startswith("#") for line in lines[:end])
    return "\n".join(lines[1:end])


def test_the_header_says_what_was_found_with_what() -> None:
    text = header(TRIAL, found="AP 2 never left its reset vector", kernel="6.18.1")
    for words in (
        "AP 2 never left", "trial 17 (seed 99)", "QEMU 7.2.22, /opt/qemu", "ab" * 32, "kernel 6.18.1",
        "4 vCPUs, pc, kvm", "info registers -a @ every 2ms + query-cpus-fast @ max", "some boots hang",
    ):  # fmt: skip
        assert words in text
    for words in ("PRETENDED", "IMITATED", "INJECTED", "core of its own"):
        assert words not in text


def test_the_header_says_how_far_it_was_from_production() -> None:
    build = replace(BUILD, smm=Smm.PRETENDED, smm_writeback=SmmWriteback.RESET_ONLY)
    shape = replace(SHAPE, placement="bsp-alone")
    text = header(Trial(1, 0, 0, Cell(build, Stratum(shape, ())), 0, inject_lost_ap=True))
    for words in ("PRETENDED", "IMITATED", "INJECTED", "core of its own", "every boot hangs"):
        assert words in text


def test_the_header_promises_no_race_under_tcg() -> None:
    cell = Cell(BUILD, Stratum(replace(SHAPE, accel=Accel.TCG), ()))
    assert "that race needs KVM" in header(replace(TRIAL, cell=cell))


def test_no_name_can_leave_the_comment() -> None:
    build = replace(BUILD, name="a\nrm -rf /\x1b[31m\u2028")
    text = header(replace(TRIAL, cell=Cell(build, Stratum(SHAPE, ()))), found="x\ntouch y\r\udcff")
    assert "x?touch y??" in text
    assert "a?rm -rf /?[31m?" in text

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qstress.emulated import host as module
from qstress.emulated.command import Machine
from qstress.emulated.fetch import find
from qstress.emulated.host import EmulatedHost, HostLost, Streams, booted
from qstress.errors import RigError
from tests.emulated.hosts import AGENT, PANIC, SILENT, no_kernel, stand_in


@pytest.fixture
def host(tmp_path: Path) -> Iterator[EmulatedHost]:
    with booted(no_kernel(tmp_path), Machine(), qemu=stand_in(tmp_path, AGENT)) as host:
        yield host


def executed(host: EmulatedHost, *argv: str, given: bytes = b"") -> tuple[int, bytes, bytes]:
    """Run *argv* inside with *given* as its input; return status and what it printed."""
    read_in, write_in = os.pipe()
    os.write(write_in, given)
    os.close(write_in)
    out, err = os.memfd_create("out"), os.memfd_create("err")
    try:
        status = host.execute(argv, Streams(read_in, out, err))
        return status, os.pread(out, 1 << 20, 0), os.pread(err, 1 << 20, 0)
    finally:
        for fd in (read_in, out, err):
            os.close(fd)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_command_inside_is_as_one_here(host: EmulatedHost) -> None:
    assert executed(host, "sh", "-c", "cat; echo no >&2; exit 4", given=b"input") == (4, b"input", b"no\n")
    assert executed(host, "sh", "-c", "kill -9 $$")[0] == 128 + signal.SIGKILL
    assert executed(host, "pwd")[1].decode().strip() == os.getcwd()
    assert host.facts()["kernel"] == os.uname().release


def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    with booted(no_kernel(tmp_path), Machine(), qemu=stand_in(tmp_path, AGENT)) as host:
        pid = host.pid
        assert not is_gone(pid)
    assert is_gone(pid)


def test_a_first_signal_is_passed_on_and_a_second_ends_the_host(host: EmulatedHost) -> None:
    for sent, expected in ((bytes([signal.SIGTERM]), 128 + signal.SIGTERM), (b"\x02\x02", 130)):
        reader, writer = os.pipe()
        os.write(writer, sent)
        null = os.open(os.devnull, os.O_WRONLY)
        argv = ["sh", "-c", "trap '' INT; while :; do sleep 1000; done"]
        assert host.execute(argv, Streams(None, null, null), signals=reader) == expected
        for fd in (reader, writer, null):
            os.close(fd)
    assert is_gone(host.pid)


def test_a_panic_is_told_in_the_kernels_own_words(tmp_path: Path) -> None:
    qemu, words = stand_in(tmp_path, PANIC), "Kernel panic - not syncing: Attempted to kill init!"
    with pytest.raises(HostLost, match=words) as caught, booted(no_kernel(tmp_path), Machine(), qemu=qemu):
        pass
    assert len(caught.value.console) == 2
    assert caught.value.reason == "emulated-host"


def test_a_qemu_that_is_killed_is_a_lost_host(host: EmulatedHost) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    argv = ["sh", "-c", f"kill -9 {host.pid}; sleep 1000"]
    with pytest.raises(HostLost, match="SIGKILL"):
        host.execute(argv, Streams(None, null, null))
    os.close(null)
    assert is_gone(host.pid)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead is who was silent for a quarter of a second."""
    monkeypatch.setattr(module, "_TICK_S", 0.05)
    monkeypatch.setattr(module, "is_dead", lambda silent_s, starved, booting: silent_s > 0.25 and not booting)


@pytest.mark.usefixtures("impatient")
def test_a_frozen_host_is_found_and_ended(tmp_path: Path) -> None:
    with booted(no_kernel(tmp_path), Machine(), qemu=stand_in(tmp_path, SILENT)) as host:
        with pytest.raises(HostLost, match="frozen"):
            host.execute(["true"], Streams(None, 1, 2))
        assert is_gone(host.pid)


@pytest.mark.usefixtures("impatient")
def test_a_stopped_qemu_is_told_as_such(tmp_path: Path) -> None:
    with booted(no_kernel(tmp_path), Machine(), qemu=stand_in(tmp_path, SILENT)) as host:
        os.kill(host.pid, signal.SIGSTOP)
        with pytest.raises(HostLost, match="its QEMU is stopped"):
            host.execute(["true"], Streams(None, 1, 2))
        assert is_gone(host.pid)


def test_no_qemu_is_a_clear_line(tmp_path: Path) -> None:
    with (
        pytest.raises(RigError, match="needs no-such-qemu"),
        booted(no_kernel(tmp_path), Machine(), qemu="no-such-qemu"),
    ):
        pass


def test_it_dies_with_us(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from qstress.emulated.host import EmulatedHost
from qstress.emulated.command import Machine
from tests.emulated.hosts import no_kernel
host = EmulatedHost(no_kernel(Path({str(tmp_path)!r})), Machine(), {stand_in(tmp_path, SILENT)!r})
host.wait()
print(host.pid, flush=True)
time.sleep(1000)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    while not is_gone(pid) and Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z":
        pass


@pytest.mark.qemu
@pytest.mark.timeout(300)
def test_a_real_one_has_kvm_with_smm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    try:
        kernel = find("auto", lambda line: None)
    except RigError as error:
        pytest.skip(f"no kernel for an emulated host: {error}")
    with booted(kernel, Machine()) as host:
        facts = host.facts()
        kvm = facts["kvm"]
        assert isinstance(kvm, dict)
        assert (kvm["usable"], kvm["kind"], kvm["smm"]) == (True, "svm", True)
        assert facts["kernel"] == kernel.release
        status, out, _ = executed(host, "cat", "/run/qstress-emulated.json")
        assert status == 0
        assert json.loads(out)["kernel_sha256"] == kernel.sha256

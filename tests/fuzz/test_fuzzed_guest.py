"""A confined QEMU: connected, looked at, and gone without a trace."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qstress.errors import RigError
from qstress.fuzz.channel import FLOOD_BYTES
from qstress.fuzz.confine import confinement
from qstress.fuzz.fuzzed_guest import GuestSetup, guest_environment
from qstress.fuzz.ops import To
from qstress.observe import usage
from tests.fuzz.guests import ARGUMENTS, QEMU, confined, fuzzed_guest

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]


def soon() -> float:
    return time.monotonic() + 30.0


@pytest.fixture
def open_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of the test's own (others run beside it) that the user inside may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_it_is_connected_looked_at_from_outside_and_gone_without_a_trace(open_folder: Path) -> None:
    fds = set(os.listdir("/proc/self/fd"))
    with fuzzed_guest() as guest:
        pid = guest.qemu_pid
        assert os.readlink(f"/proc/{pid}/exe") == QEMU
        assert guest.ask("query-status", timeout_s=30)["status"] == "prelaunch"
        assert guest.ask("query-yank", timeout_s=30, oob=True)
        assert guest.ask("qom-list", {"path": 5}, timeout_s=30)["class"] == "GenericError"
        looked = guest.footprint()
        assert looked.descriptors > 5
        assert looked.anon_bytes > 1 << 20
        waits = usage.wait_channels(pid)
        assert len(waits) >= 3  # the main loop, the monitors' thread, the vCPUs'
        assert waits[0].startswith("qemu-system-x86: ")
        assert (guest.open(To.QMP, soon()) or b"").startswith(b'{"QMP"')
        assert (guest.open(To.HMP, soon()) or b"").endswith(b"(qemu) ")
        guest.channels[To.QMP].close()
        assert (guest.open(To.QMP, soon()) or b"").startswith(b'{"QMP"')  # it listens again
        guest.ask("cont", timeout_s=30)
        assert guest.poller.wait(lambda: b"Found 2 cpu(s)" in guest.console_text, soon())
        assert guest.ended() is None
    assert not Path(f"/proc/{pid}").exists()
    assert set(os.listdir("/proc/self/fd")) == fds
    assert os.listdir(open_folder) == []


def test_a_script_that_calls_qemu_is_confined_as_qemu_is() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        script = Path(folder) / "qemu-system-x86_64"
        script.write_text(f'#!/bin/sh\nexec {QEMU} "$@"\n')
        for path in (script, script.parent):
            path.chmod(0o755)
        made = confinement(str(script), {})
        with GuestSetup(made, guest_environment(())).guest(str(script), ARGUMENTS) as guest:
            assert os.readlink(f"/proc/{guest.qemu_pid}/exe") == QEMU
            assert guest.ask("query-status", timeout_s=30)["status"] == "prelaunch"


def test_our_environment_cannot_be_read_from_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSTRESS_TEST_SECRET", "token")
    with fuzzed_guest() as guest:
        pid, told = guest.qemu_pid, b""
        while pid != os.getpid():  # QEMU, process 1 of its namespace, bubblewrap
            told += Path(f"/proc/{pid}/environ").read_bytes()
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    assert b"PATH=" in told
    assert b"token" not in told


def test_a_signal_is_told_as_such() -> None:
    with fuzzed_guest() as guest:
        os.kill(guest.qemu_pid, signal.SIGSEGV)
        ended = guest.ended(within_s=30)
        assert ended is not None
        assert ended.returncode == -signal.SIGSEGV
        assert guest.ask("query-status", timeout_s=30) is None


def test_a_guest_that_does_not_start_says_why() -> None:
    with (
        pytest.raises(RigError, match="ended with status 1: .*unsupported machine type"),
        fuzzed_guest("-machine", "nonsense"),
    ):
        pass
    with pytest.raises(RigError, match="ended with status 127"), GuestSetup(confined(), {}).guest("/usr/bin/none", ()):
        pass


def test_without_a_sandbox_it_runs_in_a_folder_of_its_own() -> None:
    with GuestSetup(None, guest_environment(())).guest(QEMU, ARGUMENTS) as guest:
        assert "qstress-fuzz-" in os.readlink(f"/proc/{guest.qemu_pid}/cwd")
        assert guest.ask("query-status", timeout_s=30)["status"] == "prelaunch"


def test_what_it_says_is_kept_from_its_end_however_much_it_is() -> None:
    with fuzzed_guest("-d", "in_asm,nochain") as guest:
        guest.ask("cont", timeout_s=30)
        assert guest.poller.wait(lambda: len(guest.said) == 64 * 1024, soon())
        guest.ask("query-status", timeout_s=30)
        assert len(guest.said) == 64 * 1024


def test_a_flood_is_not_kept() -> None:
    with fuzzed_guest() as guest:
        guest.open(To.HMP, soon())
        guest.channels[To.HMP].send(b"x /4000000xb 0\n", soon())
        channel = guest.channels[To.HMP]
        assert guest.poller.wait(lambda: channel.flooded, soon())
        guest.poller.pump(0.1)
        assert len(channel.taken) < FLOOD_BYTES + (1 << 20)

"""libvirt's way to a monitor, with a virsh of our own; with a real libvirtd in tests/live/test_libvirt.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qstress.errors import ConfigError, RigError
from qstress.guest.qmp import CommandRefused, MonitorSilent
from qstress.guest.virsh import VirshMonitor


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A virsh that prints its arguments to a file and does what ``does`` says."""
    path = tmp_path / "virsh"
    path.write_text('#!/bin/sh\nfor each in "$@"; do echo "$each"; done > "${0%/*}/heard"\n. "${0%/*}/does"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def does(folder: Path, script: str) -> None:
    (folder / "does").write_text(script)


async def test_a_command_and_its_reply(virsh: Path) -> None:
    does(virsh, """printf %s '{"return":"a\\r\\nb","id":"libvirt-1"}'""")
    assert await VirshMonitor("web", "qemu:///session").hmp("info registers -a", timeout_s=30) == "a\r\nb"
    *said, message = (virsh / "heard").read_text().splitlines()
    assert said == ["--connect", "qemu:///session", "qemu-monitor-command", "web", "--"]
    line = {"command-line": "info registers -a"}
    assert json.loads(message) == {"execute": "human-monitor-command", "arguments": line}


async def test_qemus_refusal(virsh: Path) -> None:
    does(virsh, """echo '{"id":"libvirt-2","error":{"class":"CommandNotFound","desc":"not found"}}'""")
    with pytest.raises(CommandRefused, match="nope: not found"):
        await VirshMonitor("web").execute("nope", timeout_s=30)
    assert "--connect" not in (virsh / "heard").read_text()
    with pytest.raises(CommandRefused, match="out-of-band"):
        await VirshMonitor("web").execute("query-yank", timeout_s=30, oob=True)


@pytest.mark.parametrize(
    ("said", "error", "told"),
    [
        (
            "error: failed to get domain 'web'",
            ConfigError,
            "libvirt domain web: failed to get domain 'web'; virsh list",
        ),
        ("error: Requested operation is not valid: domain is not running", ConfigError, "domain is not running"),
        ("error: authentication unavailable: no polkit agent available", RigError, "member of the group libvirt"),
        ("error: failed to connect to the hypervisor\nerror: Failed to connect socket", RigError, "libvirt: failed to"),
    ],
)
async def test_what_libvirt_says_is_told(virsh: Path, said: str, error: type[Exception], told: str) -> None:
    does(virsh, f'echo "{said}" >&2; exit 1')
    with pytest.raises(error) as raised:
        await VirshMonitor("web").execute("query-status", timeout_s=30)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_a_virsh_that_hangs_and_none_at_all(virsh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    does(virsh, "exec sleep 600")
    with pytest.raises(MonitorSilent):
        await VirshMonitor("web").execute("query-status", timeout_s=0.2)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(RigError, match="libvirt-clients"):
        await VirshMonitor("web").execute("query-status", timeout_s=30)

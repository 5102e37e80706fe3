"""A real libvirtd in session mode: ``explain --libvirt`` and ``watch --connect`` at a guest that it holds."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from qstress.errors import ConfigError
from qstress.guest.virsh import VirshMonitor
from qstress.host.explain import explain_domain
from qstress.verdict.explain.picture import DumpVerdict
from tests.live.rig import QEMU

MISSING = [name for name in ("libvirtd", "virsh") if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
pytestmark = [
    pytest.mark.qemu,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(MISSING), reason=f"no {' and '.join(MISSING)} here (.ci/host test installs them)"),
]
DOMAIN = f"""
<domain type='qemu'><name>hung</name><memory unit='MiB'>32</memory><vcpu current='3'>4</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>{QEMU}</emulator></devices></domain>
"""


@pytest.fixture
def uri() -> Iterator[str]:
    """A libvirtd of its own with one guest, not started yet: as root it runs as nobody, since root's has no session."""
    folder = Path(tempfile.mkdtemp(prefix="qs-"))
    guarded: tuple[str, ...] = ("setpriv", "--pdeathsig", "KILL")
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        guarded += ("--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid), "--clear-groups")
    env = {"PATH": f"{os.environ['PATH']}:/usr/sbin", "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    at = f"qemu+unix:///session?socket={folder}/libvirt/libvirt-sock"
    daemon = subprocess.Popen((*guarded, "libvirtd"), env=env, stderr=subprocess.PIPE, text=True)
    try:
        while subprocess.run(("virsh", "-c", at, "version"), capture_output=True, check=False).returncode:
            assert daemon.poll() is None, "libvirtd ended"
        create = ("virsh", "-c", at, "create", "/dev/stdin", "--paused")
        subprocess.run(create, input=DOMAIN, text=True, check=True, capture_output=True)
        yield at
    finally:
        subprocess.run(("virsh", "-c", at, "destroy", "hung"), capture_output=True, check=False)
        daemon.terminate()
        daemon.communicate()
        shutil.rmtree(folder)


async def hang(uri: str) -> None:
    """Make the guest wait for a vCPU that was left out, and plug it in then (docs/background/qemu.md, "Injecting a lost
    AP")."""
    monitor = VirshMonitor("hung", uri)
    for line in ("o /b 0x70 0x5f", "o /b 0x71 3"):
        await monitor.hmp(line, timeout_s=60)
    await anyio.run_process(("virsh", "-c", uri, "resume", "hung"))
    while not any("has 3" in why for why in (await explain_domain("hung", uri, dump=True, gap_s=0.1)).because):
        pass
    places = await monitor.execute("query-hotpluggable-cpus", timeout_s=60)
    assert isinstance(places, list)
    (free,) = [place for place in places if "qom-path" not in place]
    await monitor.execute("device_add", {"driver": free["type"], "id": "left-out", **free["props"]}, timeout_s=60)


def qstress(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run((sys.executable, "-m", "qstress", *arguments), capture_output=True, text=True, check=False)


async def test_a_hung_guest_is_told_through_libvirt_with_all_witnesses(uri: str) -> None:
    done = qstress("explain", "--libvirt", "hung", "--connect", uri)
    assert done.stdout.startswith("reset-vector (certain)\n"), done
    await hang(uri)
    done = qstress("explain", "--libvirt", "hung", "--connect", uri)
    assert done.stdout.startswith("busy (likely)\n"), done
    done = qstress("explain", "--libvirt", "hung", "--connect", uri, "--dump", "--format", "json")
    told = json.loads(done.stdout)
    assert (told["verdict"], told["confidence"]) == ("lost-init", "certain"), told
    assert [vcpu["state"] for vcpu in told["vcpus"]] == ["running", "halted", "halted", "reset-vector"]
    assert any("expects 4 CPUs and has 3" in reason for reason in told["because"])
    assert any(reason.startswith("CPU time of the vCPU threads") for reason in told["because"])

    done = qstress("watch", "--connect", uri, "--for", "120", "--format", "json")
    (seen,) = [guest for guest in json.loads(done.stdout)["guests"] if guest["name"] == "hung"]
    assert (done.returncode, seen["state"], seen["missing"]) == (1, "hung", [3]), seen


async def test_a_domain_that_is_not_there(uri: str) -> None:
    with pytest.raises(ConfigError, match="virsh list"):
        await explain_domain("nobody-knows", uri, dump=False)
    assert DumpVerdict.RESET_VECTOR is (await explain_domain("hung", uri, dump=False, gap_s=0.01)).verdict

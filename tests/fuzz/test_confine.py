"""The command line of the sandbox, and whether it works on this host."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from glob import glob
from pathlib import Path

import pytest

from qstress.errors import RigError
from qstress.fuzz import confine
from qstress.fuzz.confine import Confinement, as_user, confined, confinement, folders, hidden, unavailable
from qstress.guest.argv import guarded

HERE = Confinement(uid=confine.UID if os.geteuid() == 0 else None)


def inside(*argv: str, made: Confinement = HERE, files: tuple[int, ...] = ()) -> str:
    """Run *argv* in the sandbox and return what it says."""
    null = os.open("/dev/null", os.O_WRONLY)
    line = confined(argv, made, env={"PATH": "/usr/bin:/bin", "ONLY": "this"}, status_fd=null, file_fds=files)
    done = subprocess.run(line, pass_fds=(null, *files), capture_output=True, text=True, check=False, timeout=15)
    os.close(null)
    return done.stdout + done.stderr


def test_it_works_here() -> None:
    assert unavailable(HERE) == ""


def test_inside_there_is_nobody_else_and_nothing_to_write_but_one_place() -> None:
    script = (
        'id -u; echo "$(ls /proc | grep -c "^[0-9]")"; env | sort | tr "\\n" " "; echo; grep CapEff /proc/self/status;'
        " touch /usr/x /etc/x /x /dev/x /home/x 2>/dev/null && echo writes; touch /tmp/x && echo tmp;"
        "ls /home /root /var /run /sys 2>/dev/null; cat /proc/net/dev | tail -n +3 | cut -d: -f1; pwd"
    )
    lines = inside("sh", "-c", script).split("\n")
    assert lines[0] == str(HERE.uid if HERE.uid is not None else os.getuid())
    assert int(lines[1]) < 8  # bubblewrap's init, the shell and what it runs
    assert "ONLY=this" in lines[2]
    assert "HOME" not in lines[2]
    assert lines[3].split() == ["CapEff:", "0000000000000000"]
    assert lines[4:] == ["tmp", "    lo", "/tmp", ""]


def test_no_namespace_can_be_made_inside_and_the_limits_are_there() -> None:
    assert "not permitted" in inside("unshare", "--user", "true") or "No space" in inside("unshare", "--user", "true")
    said = inside("sh", "-c", "ulimit -v; ulimit -c; cat /proc/self/oom_score_adj")
    assert said.split() == [str(confine.ADDRESS_SPACE_BYTES // 1024), "0", "1000"]
    assert "No space left" in inside("sh", "-c", "head -c 100M /dev/zero > /tmp/big")


def test_files_are_handed_in_whoever_may_read_them(tmp_path: Path) -> None:
    secret = tmp_path / "bios.bin"
    secret.write_text("ROM")
    secret.chmod(0o400)
    fd = os.open(secret, os.O_RDONLY)
    assert inside("cat", str(secret), made=replace(HERE, files=(str(secret),)), files=(fd,)) == "ROM"
    os.close(fd)


@pytest.mark.parametrize(
    ("binary", "found"),
    [
        ("/usr/bin/qemu-system-x86_64", ()),
        ("/opt/qemu/bin/qemu-system-x86_64", ("/opt/qemu", "/opt/qemu/bin")),
        ("/srv/build/qemu-system-x86_64", ("/srv/build",)),
    ],
)
def test_a_binary_brings_its_own_tree(binary: str, found: tuple[str, ...]) -> None:
    assert folders(binary) == found


@pytest.mark.skipif(not glob("/usr/lib/*-linux-*/qemu"), reason="this host's QEMU has no modules")
def test_a_qemu_that_has_modules_of_its_own_does_not_see_the_systems(tmp_path: Path) -> None:
    assert hidden(()) == hidden((str(tmp_path),)) == ()
    modules = tmp_path / "root/usr/lib/x86_64-linux-gnu/qemu"
    modules.mkdir(parents=True)
    (modules / "hw-usb-host.so").touch()
    (place,) = hidden((str(tmp_path),))
    assert int(inside("sh", "-c", f"ls {place} | wc -l")) > 0
    assert int(inside("sh", "-c", f"ls {place} | wc -l", made=replace(HERE, hidden=(place,)))) == 0


def test_a_preloaded_library_is_handed_in(tmp_path: Path) -> None:
    library = str(tmp_path / "x.so")
    assert confinement("/usr/bin/true", {"LD_PRELOAD": f"/usr/lib/y.so:{library}"}).files == (library,)


def test_only_root_becomes_somebody_else() -> None:
    assert as_user(Confinement(uid=None)) == ()
    assert as_user(Confinement(uid=5))[:4] == ("setpriv", "--reuid", "5", "--regid")
    assert "--groups" in as_user(Confinement(uid=5, kvm=True, kvm_group=104))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_somebody_else_still_dies_with_its_parent() -> None:
    line = guarded((*as_user(HERE), "setpriv", "--dump"), parent_pid=os.getpid())
    said = subprocess.run(line, capture_output=True, text=True, check=False, timeout=15).stdout
    assert f"uid: {confine.UID}" in said
    assert "Parent death signal: KILL" in said


def test_without_bubblewrap_there_is_no_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RigError, match="no bwrap on PATH; on Debian or Ubuntu, install") as caught:
        confinement("/usr/bin/true", {})
    assert caught.value.reason == "no-sandbox"


def test_a_bubblewrap_that_is_refused_speaks_for_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho bwrap: no permissions to create new namespace >&2\nexit 1\n")
    fake.chmod(0o755)
    tmp_path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(confine, "UID", os.geteuid())
    with pytest.raises(RigError, match=r"no permissions to create new namespace(?!.*install)"):
        confinement("/usr/bin/true", {})


def test_kvm_is_for_those_who_may_open_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Status:
        st_gid, st_mode = 104, 0o020660

    monkeypatch.setattr(os, "stat", lambda path: Status)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert confine.kvm_group() == 104
    assert confine.may_use_kvm()
    Status.st_gid, Status.st_mode = 0, 0o020600
    assert confine.kvm_group() is None
    assert not confine.may_use_kvm()
    Status.st_mode = 0o020666
    assert confine.may_use_kvm()

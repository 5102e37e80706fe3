"""What differs between distributions, in roots of our own: none of RHEL's could be had here."""

from __future__ import annotations

from pathlib import Path

import pytest

from qstress.distribution import access_control, install_hint, refusal_hint, restricts_user_namespaces


def write(root: Path, name: str, text: str = "") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_packages_by_the_names_of_the_host(tmp_path: Path) -> None:
    assert install_hint("gcc", "libc6-dev", root=tmp_path) == (
        "on Debian or Ubuntu, install the packages gcc and libc6-dev"
    )
    write(tmp_path, "usr/bin/dnf")
    assert install_hint("gcc", "libc6-dev", root=tmp_path) == "install the packages gcc and glibc-devel (dnf install)"
    assert install_hint("qemu-system-x86", root=tmp_path) == "install the package qemu-kvm-core (dnf install)"
    write(tmp_path, "usr/bin/apt-get")
    assert install_hint("seabios", root=tmp_path) == "on Debian or Ubuntu, install the package seabios"


@pytest.mark.parametrize(
    ("place", "text", "who"),
    [
        ("sys/fs/selinux/enforce", "1", "SELinux"),
        ("sys/fs/selinux/enforce", "0", ""),
        ("sys/module/apparmor/parameters/enabled", "Y\n", "AppArmor"),
        ("sys/module/apparmor/parameters/enabled", "N\n", ""),
    ],
)
def test_who_may_have_refused(tmp_path: Path, place: str, text: str, who: str) -> None:
    assert refusal_hint(PermissionError(13, "Permission denied"), tmp_path) == ""
    write(tmp_path, place, text)
    assert who in access_control(tmp_path)
    assert bool(access_control(tmp_path)) == bool(who)
    said = "qemu: could not open '/x': Permission denied"
    assert refusal_hint(said, tmp_path) == (f" ({access_control(tmp_path)})" if who else "")
    assert refusal_hint("No such file or directory", tmp_path) == ""


def test_user_namespaces(tmp_path: Path) -> None:
    assert not restricts_user_namespaces(tmp_path)
    write(tmp_path, "proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")
    assert restricts_user_namespaces(tmp_path)

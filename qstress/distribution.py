"""What differs between Linux distributions: what packages are called, where QEMU is, and who else refuses an access.

RHEL, CentOS Stream, Alma and Rocky have one QEMU, ``/usr/libexec/qemu-kvm``, which is on no ``PATH``; RHEL 10's has no
machine ``pc`` any more. Names of their packages are those of RHEL 9 and its EPEL.
"""

from __future__ import annotations

import re
from pathlib import Path

#: The QEMU of distributions that do not have it on ``PATH``, by the name that is looked for.
ELSEWHERE = {"qemu-system-x86_64": Path("/usr/libexec/qemu-kvm")}
_DNF = {
    "qemu-system-x86": "qemu-kvm-core", "seabios": "seabios-bin", "libc6-dev": "glibc-devel",
    "libvirt-clients": "libvirt-client", "ovmf": "edk2-ovmf", "libvirt-daemon": "libvirt-daemon-driver-qemu",
}  # fmt: skip
_REFUSED = re.compile(r"permission denied|operation not permitted", re.IGNORECASE)


def install_hint(*packages: str, root: Path = Path("/")) -> str:
    """Return what to install here, as a remedy: *packages* by Debian's names, told by dnf's where dnf is.

    >>> install_hint("seabios", root=Path("/nonexistent"))
    'on Debian or Ubuntu, install the package seabios'
    """
    dnf = (root / "usr/bin/dnf").exists() and not (root / "usr/bin/apt-get").exists()
    names = " and ".join(_DNF.get(name, name) if dnf else name for name in packages)
    what = f"package{'s' * (len(packages) > 1)} {names}"
    return f"install the {what} (dnf install)" if dnf else f"on Debian or Ubuntu, install the {what}"


def access_control(root: Path = Path("/")) -> str:
    """Return who on this host refuses what file modes allow, and where it says so; empty where nobody does.

    Source: ``/sys/fs/selinux/enforce`` (selinux(8)), ``/sys/module/apparmor/parameters/enabled``.
    """
    if _first_word(root / "sys/fs/selinux/enforce") == "1":
        return "SELinux is enforcing; what it refuses: ausearch -m avc -ts recent"
    if _first_word(root / "sys/module/apparmor/parameters/enabled") == "Y":
        return "AppArmor is on; what it refuses: journalctl -k --grep apparmor=.DENIED"
    return ""


def restricts_user_namespaces(root: Path = Path("/")) -> bool:
    """Whether AppArmor keeps programs without a profile from making user namespaces, as Ubuntu's does since 23.10."""
    return _first_word(root / "proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1"


def refusal_hint(said: object, root: Path = Path("/")) -> str:
    """Return, where *said* tells of a refused access, who may have refused it, to be put behind it; else ''."""
    who = access_control(root) if _REFUSED.search(str(said)) else ""
    return f" ({who})" if who else ""


def _first_word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

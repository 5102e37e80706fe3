"""QEMU behind bubblewrap: what it may see of the host, and nothing that it could harm.

A fuzzed QEMU is asked to write any file, run any program and open any socket. So it gets: the system's programs and
libraries read-only, a small tmpfs to write to, no network but its own loopback, its own process, IPC and user namespace
in which no further one can be made, no capabilities, a user of its own where we are root, limits on memory and
processes, the first place in the kernel's out-of-memory order, and QEMU's seccomp filter. It is killed when
qstress ends.

What it inherits are the monitors' listening sockets, the console's and stderr's pipes: nothing of it is a path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from glob import escape, glob
from pathlib import Path

from qstress.distribution import install_hint, refusal_hint
from qstress.errors import RigError

#: A user id of its own, from the range that systemd keeps for such (systemd: docs/UIDS-GIDS, "Dynamic service users").
UID = 64_737
#: The one place that can be written, inside.
WORK = "/tmp"
WORK_BYTES = 64 << 20
#: TCG alone maps a buffer of 1 GiB (docs/architecture.md, "Started paused, console on a pipe"); threads have stacks of
#: 8 MiB.
ADDRESS_SPACE_BYTES = 4 << 30
PROCESSES = 1024
#: QEMU's own filter. It allows all file and network calls, so it is the second fence and not the first.
SECCOMP = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
#: Where the QEMU of Debian (and of Fedora) has its modules. One from elsewhere that has modules too would look there
#: for what it lacks, load what is for another QEMU, and abort.
_MODULES = ("/usr/lib/*-linux-*/qemu", "/usr/lib64/qemu")
_OWN_MODULES = ("lib*/qemu", "lib*/*/qemu", "*/lib*/qemu", "*/lib*/*/qemu", "*/*/lib*/qemu", "*/*/lib*/*/qemu")
_READABLE = ("/usr", "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
_TEST_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Confinement:
    """How a guest is confined. ``folders`` are those beyond the system's that QEMU reads, ``files`` single files that
    are handed in as copies, so that their modes do not matter; ``hidden`` are folders of the system's that are empty
    inside; ``uid`` is None where we are not root and stay who we are."""

    folders: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    uid: int | None = UID
    kvm: bool = False
    kvm_group: int | None = None


def folders(binary: str) -> tuple[str, ...]:
    """Return what QEMU reads beside the system: its own tree, where that is not ``/usr``.

    A binary in ``…/bin`` brings the folder above with it, where its firmware is; any other one its own folder.
    """
    folder = Path(binary).resolve().parent
    tree = str(folder.parent if folder.name == "bin" else folder)
    found = dict.fromkeys((tree, str(Path(binary).parent)))
    return tuple(path for path in found if not f"{path}/".startswith("/usr/") and path != "/")


def hidden(folders: Sequence[str]) -> tuple[str, ...]:
    """Return the system's folders that a QEMU which reads *folders* must not see."""
    own = any(glob(f"{escape(folder)}/{place}/*.so") for folder in folders for place in _OWN_MODULES)
    return tuple(path for place in _MODULES for path in sorted(glob(place))) if own else ()


def confined(
    argv: Sequence[str], confinement: Confinement, *, env: Mapping[str, str], status_fd: int, file_fds: Sequence[int]
) -> tuple[str, ...]:
    """Return *argv* behind bubblewrap.

    :param env: the whole environment of QEMU.
    :param status_fd: where bubblewrap tells the pid of its child (JSON).
    :param file_fds: open for reading, one for each of ``confinement.files``.
    """
    return (*as_user(confinement), *_bubblewrap(confinement, env, status_fd, file_fds), *limited(argv))


def as_user(confinement: Confinement) -> tuple[str, ...]:
    """Return what becomes the unprivileged user; nothing where we are not root.

    A new user would come without the parent-death signal (prctl(2)): a parent that is killed before bubblewrap has set
    its own one would leave it behind.
    """
    if confinement.uid is None:
        return ()
    uid = str(confinement.uid)
    groups = ("--clear-groups",) if confinement.kvm_group is None else ("--groups", str(confinement.kvm_group))
    return ("setpriv", "--reuid", uid, "--regid", uid, *groups, "--pdeathsig", "keep", "--")


def limited(argv: Sequence[str]) -> tuple[str, ...]:
    """Return *argv* with limits. None on file sizes: beyond it SIGXFSZ kills; the tmpfs is small instead."""
    limits = (f"--as={ADDRESS_SPACE_BYTES}", "--core=0", f"--nproc={PROCESSES}")
    return ("prlimit", *limits, "--", "choom", "-n", "1000", "--", *argv)


def _bubblewrap(confinement: Confinement, env: Mapping[str, str], status_fd: int, fds: Sequence[int]) -> Sequence[str]:
    arguments = ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]
    arguments += ["--cap-drop", "ALL", "--hostname", "qstress", "--clearenv"]
    for name, value in env.items():
        arguments += ["--setenv", name, value]
    for path in _READABLE:
        arguments += ["--ro-bind-try", path, path]
    for path in _SYSTEM:
        if os.path.islink(path):
            arguments += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            arguments += ["--ro-bind", path, path]
    arguments += ["--proc", "/proc", "--dev", "/dev", "--size", str(1 << 20), "--tmpfs", "/dev/shm"]
    if confinement.kvm:
        arguments += ["--dev-bind", "/dev/kvm", "/dev/kvm"]
    arguments += ["--size", str(WORK_BYTES), "--tmpfs", WORK]
    for path in confinement.hidden:
        arguments += ["--tmpfs", path]
    for path in confinement.folders:
        arguments += ["--ro-bind", path, path]
    for path, fd in zip(confinement.files, fds, strict=True):
        arguments += ["--ro-bind-data", str(fd), path]
    arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK]
    return (*arguments, "--json-status-fd", str(status_fd), "--")


def confinement(binary: str, env: Mapping[str, str], *, kvm: bool = False, files: Sequence[str] = ()) -> Confinement:
    """Return how guests of *binary* are confined on this host.

    :param env: what is added to QEMU's environment; a preloaded library is handed in.
    :param files: more files that QEMU reads (a firmware).
    :raises RigError: reason ``no-sandbox``: bubblewrap is missing, or this host does not let it work.
    """
    root = os.geteuid() == 0
    preloaded = [path for path in env.get("LD_PRELOAD", "").split(":") if path]
    inside = [path for path in (*preloaded, *files) if not path.startswith("/usr/")]
    trees = folders(binary)
    group = kvm_group() if kvm and root else None
    made = Confinement(trees, hidden(trees), tuple(inside), UID if root else None, kvm=kvm, kvm_group=group)
    if reason := unavailable(made):
        missing = f"; {install_hint('bubblewrap')}" if shutil.which("bwrap") is None else ""
        told = f"{reason}{refusal_hint(reason)}{missing}; --unsafe-no-sandbox runs QEMU without it"
        raise RigError(f"no sandbox for the fuzzed QEMU: {told}", reason="no-sandbox")
    return made


def unavailable(confinement: Confinement) -> str:
    """Return why bubblewrap does not work here, in its own words; empty when it does. Starts it once."""
    for tool in ("bwrap", "setpriv", "prlimit", "choom"):
        if shutil.which(tool) is None:
            return f"no {tool} on PATH"
    bare = replace(confinement, files=())
    try:
        with open(os.devnull, "wb") as null:
            argv = confined(("true",), bare, env={"PATH": "/usr/bin:/bin"}, status_fd=null.fileno(), file_fds=())
            done = subprocess.run(
                argv, pass_fds=(null.fileno(),), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=_TEST_TIMEOUT_S, check=False, cwd="/",
            )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = done.stdout.decode(errors="replace").strip().replace("\n", " | ")
    return "" if done.returncode == 0 else said or f"bwrap ended with status {done.returncode}"


def kvm_group() -> int | None:
    """Return the group that may open ``/dev/kvm``, unless that is root's."""
    try:
        status = os.stat("/dev/kvm")
    except OSError:
        return None
    return status.st_gid if status.st_gid and status.st_mode & 0o060 == 0o060 else None


def may_use_kvm() -> bool:
    """Whether a confined QEMU can open ``/dev/kvm``: as our unprivileged user where we are root, else as we are."""
    if os.geteuid() != 0:
        return os.access("/dev/kvm", os.R_OK | os.W_OK)
    try:
        return kvm_group() is not None or os.stat("/dev/kvm").st_mode & 0o006 == 0o006
    except OSError:
        return False

"""The single checks of ``qstress doctor``: each asks one thing of this host and never raises.

``fail`` is only what the main job cannot do without: a QEMU with its SeaBIOS, ``setpriv`` in front of every guest, and
a compiler where KVM would be used (the shipped configurations then load the interposer). Without KVM, TCG suffices.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from qstress.config import binary
from qstress.config.kvm import KvmFacts
from qstress.distribution import access_control, install_hint, restricts_user_namespaces
from qstress.errors import ConfigError, RigError
from qstress.firmware.pflash import find_pflash
from qstress.host.facts import EMULATED_HOST, emulated_host
from qstress.host.sandbox import has_sandbox
from qstress.interposer.build import library
from qstress.model import Build

_FIRMWARE = "bios-256k.bin"
#: A guest costs about 10 descriptors here, and one thread a vCPU and a few in QEMU.
_ENOUGH = (("open files", resource.RLIMIT_NOFILE, 1024), ("processes and threads", resource.RLIMIT_NPROC, 2048))

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what is there, and, unless all is well, what helps (empty when nothing does)."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def emulated(path: Path = EMULATED_HOST) -> Iterator[Check]:
    """Say that this is an emulated host, where it is one."""
    if about := emulated_host(path):
        kernel, outer = str(about.get("kernel_sha256", ""))[:12], about.get("qemu_version")
        yield Check("host", "ok", f"emulated by QEMU {outer}: kernel {platform.release()} (sha256 {kernel})")


def qemus(names: Sequence[str]) -> Iterator[Check]:
    """Check each QEMU; one that is complete suffices, and what the others lack is then no failure."""
    groups = [list(_qemu(name)) for name in names]
    one_is_complete = any(all(check.status != "fail" for check in group) for group in groups)
    for check in (check for group in groups for check in group):
        yield replace(check, status="warn") if one_is_complete and check.status == "fail" else check


def _qemu(name: str) -> Iterator[Check]:
    try:
        path = binary.find_binary(name, Path.cwd())
        version = binary.qemu_version(path, {})
    except RigError as error:
        detail, _, remedy = str(error).partition("; ")
        yield Check("qemu", "fail", detail, remedy)
        return
    yield Check("qemu", "ok", f"{path}: {version}")
    folders = _data_folders(path)
    firmware = next((folder / _FIRMWARE for folder in folders if (folder / _FIRMWARE).is_file()), None)
    if firmware:
        yield Check("seabios", "ok", str(firmware))
    else:
        detail = f"{path} finds no {_FIRMWARE} in {', '.join(map(str, folders)) or 'any folder'}"
        yield Check("seabios", "fail", detail, install_hint("seabios"))
    machines = {line.split()[0] for line in _printed(path, "-machine") if line.strip()}
    if machines and "pc" not in machines:
        detail = f"{path} has no machine pc, which configurations name if they name none"
        yield Check("machine", "warn", detail, "guest.machine: q35 (soak --set guest.machine=q35, check --machine q35)")
    if shutil.which("setpriv"):
        sandboxed = has_sandbox(Build(name, str(path), version, ""))
        detail = f"{path} {'has' if sandboxed else 'was built without'} its seccomp sandbox"
        yield Check("sandbox", "ok" if sandboxed else "warn", detail)


def _data_folders(path: Path) -> list[Path]:
    """Return where this QEMU looks for firmware, as ``-L help`` prints it."""
    return [Path(os.path.normpath(line)) for line in _printed(path, "-L") if line.startswith("/")]


def _printed(path: Path, option: str) -> list[str]:
    """Return the lines that this QEMU prints as help of *option*."""
    try:
        done = subprocess.run([path, option, "help"], input=b"", capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return os.fsdecode(done.stdout).splitlines()


def ovmf(root: Path = Path("/")) -> Check:
    """Check for what ``firmware: ovmf`` boots; the main job can do without."""
    try:
        return Check("ovmf", "ok", find_pflash(root)[0])
    except ConfigError as error:
        return Check("ovmf", "warn", str(error).partition(":")[0], install_hint("ovmf"))


def setpriv() -> Check:
    """Check for what makes a guest die with us."""
    if path := shutil.which("setpriv"):
        return Check("setpriv", "ok", path)
    detail = "no setpriv on PATH: guests could outlive qstress, so none is started"
    return Check("setpriv", "fail", detail, install_hint("util-linux"))


def interposer(facts: KvmFacts) -> Check:
    """Whether QEMU can be given the interposer: by its first use, which compiles it where the committed one does not
    fit."""
    try:
        return Check("interposer", "ok", str(library()))
    except RigError as error:
        detail, _, remedy = " | ".join(str(error).splitlines()).partition("; ")
        return Check("interposer", "fail" if facts.usable else "warn", detail, remedy)


def kvm(facts: KvmFacts) -> Iterator[Check]:
    """Check what decides whether the race can occur; without KVM there is one line, and no more to ask."""
    if not facts.usable:
        detail, _, remedy = facts.reason.partition("; ")
        yield Check("kvm", "warn", f"{detail}; guests run under TCG, where the race cannot occur", remedy)
        return
    place = {True: "nested in another hypervisor", False: "on bare metal", None: "nested or not: unknown"}[facts.nested]
    yield Check("kvm", "ok", f"{facts.kind}, {place}, up to {facts.max_vcpus} vCPUs, irqchip in the kernel")
    if facts.smm:
        yield Check("kvm smm", "ok", "KVM has SMM: QEMU's own write-back can lose an INIT")
    else:
        detail = "KVM has no SMM, so QEMU never writes its SMM state back and loses no INIT by itself"
        remedy = "kvm_smm: auto tells QEMU that KVM has it (said in every result); the kernel's part stays real"
        yield Check("kvm smm", "warn", detail, remedy)
    match facts.clears_latched_init:
        case True:
            yield Check("latched init", "ok", "this kernel drops a pending INIT when told to: the race can occur")
        case False:
            detail = "this kernel keeps a pending INIT whatever it is told (older than 2019): lost-init cannot occur"
            yield Check("latched init", "warn", detail, "use a newer kernel")
        case None:
            yield Check("latched init", "warn", "this kernel does not tell whether it drops a pending INIT")


def refusals(root: Path = Path("/")) -> Iterator[Check]:
    """Say who else refuses accesses on this host, where somebody does."""
    if who := access_control(root):
        yield Check("access", "ok", who)
    if restricts_user_namespaces(root):
        detail = "AppArmor keeps programs without a profile from making user namespaces: fuzzing's sandbox needs one"
        yield Check(
            "access", "warn", detail, "give bwrap a profile, or sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        )


def resource_limits() -> Iterator[Check]:
    """Check what bounds how many guests can run at once."""
    for name, limit, enough in _ENOUGH:
        soft, hard = resource.getrlimit(limit)
        detail = f"at most {_count(soft)} {name} (could be raised to {_count(hard)})"
        low = soft != resource.RLIM_INFINITY and soft < enough
        remedy = f"allow {enough} or more, with ulimit or in limits.conf" if low else ""
        yield Check("limits", "warn" if low else "ok", detail, remedy)


def _count(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


def cores(loadavg: Path, count: int | None = None) -> Check:
    """Check cores and load.

    :param count: cores that we may use; asked of the kernel by default.
    """
    usable = count or len(os.sched_getaffinity(0))
    try:
        load = float(loadavg.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return Check("cores", "warn", f"{usable}, load average unknown")
    detail = f"{usable}, load average {load:.2f}"
    if load > usable:
        return Check("cores", "warn", detail, "the host is busy: boots take longer, and rates do not compare")
    if usable < 2:
        return Check("cores", "warn", detail, "the race needs vCPUs that run at once: use 2 cores or more")
    return Check("cores", "ok", detail)


def kernel_log(path: Path) -> Check:
    """Whether a kernel bug on the host would be seen (KASAN, KCSAN, lockups): ``/dev/kmsg`` gives a record a read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.read(fd, 8192)
        finally:
            os.close(fd)
    except (BlockingIOError, BrokenPipeError):
        pass  # nothing new, or overwritten while we read: readable
    except OSError as error:
        refused = isinstance(error, PermissionError)
        remedy = "run as root, or set the sysctl kernel.dmesg_restrict to 0" if refused else ""
        return Check("kernel log", "warn", f"{path} cannot be read: {error.strerror}", remedy)
    return Check("kernel log", "ok", f"{path} can be read")

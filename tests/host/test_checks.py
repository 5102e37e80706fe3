"""The single checks, on hosts made of a few files."""

from __future__ import annotations

import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.config.kvm import KvmFacts
from qstress.firmware.pflash import PAIRS
from qstress.host import checks
from qstress.host.checks import Check
from qstress.interposer.build import PREBUILT
from tests.host import hosts

KVM = KvmFacts(
    usable=True, reason="", smm=True, smm_cap=True, irqchip=True, kind="vmx", nested=False, max_vcpus=288,
    clears_latched_init=True,
)  # fmt: skip
NO_KVM = KvmFacts(usable=False, reason="no permission to open /dev/kvm; join its group")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    return path


def seen(found: list[Check]) -> list[tuple[str, str]]:
    return [(check.name, check.status) for check in found]


def test_a_complete_qemu(programs: Path) -> None:
    path = hosts.qemu(programs)
    hosts.setpriv(programs)
    found = list(checks.qemus(["qemu-system-x86_64"]))
    assert seen(found) == [("qemu", "ok"), ("seabios", "ok"), ("sandbox", "ok")]
    assert found[0].detail == f"{path}: 9.8.7"
    assert found[1].detail == str(programs / "share" / "bios-256k.bin")


def test_a_qemu_without_sandbox_will_do(programs: Path) -> None:
    hosts.qemu(programs, sandbox=False)
    hosts.setpriv(programs)
    found = list(checks.qemus(["qemu-system-x86_64"]))
    assert seen(found) == [("qemu", "ok"), ("seabios", "ok"), ("sandbox", "warn")]
    assert "built without its seccomp sandbox" in found[2].detail


def test_ovmf_is_told_where_it_is_and_the_main_job_does_without(tmp_path: Path) -> None:
    assert (checks.ovmf(tmp_path).status, checks.ovmf(tmp_path).detail) == ("warn", "there is no OVMF on this host")
    assert "ovmf" in checks.ovmf(tmp_path).remedy
    for name in PAIRS[0]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert checks.ovmf(tmp_path) == Check("ovmf", "ok", str(tmp_path / PAIRS[0][0]))


def test_a_qemu_without_the_machine_pc(programs: Path) -> None:
    """As RHEL 10's."""
    hosts.qemu(programs, machine="q35")
    hosts.setpriv(programs)
    found = list(checks.qemus(["qemu-system-x86_64"]))
    assert seen(found) == [("qemu", "ok"), ("seabios", "ok"), ("machine", "warn"), ("sandbox", "ok")]
    assert "q35" in found[2].remedy


def test_who_refuses_accesses(tmp_path: Path) -> None:
    assert list(checks.refusals(tmp_path)) == []
    for name, text in (("sys/fs/selinux/enforce", "1"), ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    selinux, userns = checks.refusals(tmp_path)
    assert (selinux.status, "ausearch" in selinux.detail) == ("ok", True)
    assert (userns.status, "sysctl" in userns.remedy) == ("warn", True)


def test_no_qemu_names_the_package(programs: Path) -> None:
    (check,) = checks.qemus(["qemu-system-x86_64"])
    assert check.status == "fail"
    assert check.remedy == "on Debian or Ubuntu, install the package qemu-system-x86"


def test_a_qemu_without_its_seabios_names_the_package(programs: Path) -> None:
    hosts.qemu(programs, seabios=False)
    _, check = checks.qemus(["qemu-system-x86_64"])
    assert (check.name, check.status) == ("seabios", "fail")
    assert str(programs / "share") in check.detail
    assert check.remedy.endswith("install the package seabios")


def test_one_complete_qemu_suffices(programs: Path, tmp_path: Path) -> None:
    other = hosts.qemu(tmp_path / "other", "qemu-new")
    noise = hosts.program(programs, "noise", "echo hello")
    found = list(checks.qemus(["qemu-system-x86_64", str(other), str(noise)]))
    assert seen(found) == [("qemu", "warn"), ("qemu", "ok"), ("seabios", "ok"), ("qemu", "warn")]
    assert "'hello'" in found[-1].detail


def test_setpriv(programs: Path) -> None:
    assert checks.setpriv().status == "fail"
    assert checks.setpriv().remedy.endswith("util-linux")
    path = hosts.setpriv(programs)
    assert checks.setpriv() == Check("setpriv", "ok", str(path))


@pytest.fixture
def nothing_prebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host on which the committed interposer does not fit."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("qstress.interposer.build.PREBUILT", tmp_path / "nothing")


@pytest.mark.usefixtures("nothing_prebuilt")
def test_no_compiler_matters_where_kvm_does(programs: Path) -> None:
    for facts, status in ((KVM, "fail"), (NO_KVM, "warn")):
        check = checks.interposer(facts)
        assert check.status == status
        assert check.remedy.endswith("packages gcc and libc6-dev")


@pytest.mark.usefixtures("nothing_prebuilt")
def test_a_compiler_that_cannot_compile_is_quoted_in_one_line(programs: Path) -> None:
    hosts.program(programs, "cc", 'test "$1" = --version || { echo first; echo second; exit 1; }')
    check = checks.interposer(KVM)
    assert check.status == "fail"
    assert check.detail.endswith("first | second")


@pytest.mark.usefixtures("nothing_prebuilt")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_compiler_is_shown_by_its_work(tmp_path: Path) -> None:
    check = checks.interposer(KVM)
    assert check.status == "ok"
    assert check.detail == str(*(tmp_path / "cache" / "qstress").iterdir())


def test_the_committed_interposer_needs_no_compiler(programs: Path) -> None:
    assert checks.interposer(KVM) == Check("interposer", "ok", str(PREBUILT))


def test_kvm_with_everything() -> None:
    found = list(checks.kvm(KVM))
    assert seen(found) == [("kvm", "ok"), ("kvm smm", "ok"), ("latched init", "ok")]
    assert found[0].detail == "vmx, on bare metal, up to 288 vCPUs, irqchip in the kernel"


def test_without_kvm_tcg_will_do() -> None:
    (check,) = checks.kvm(NO_KVM)
    assert check == Check(
        "kvm", "warn", "no permission to open /dev/kvm; guests run under TCG, where the race cannot occur",
        "join its group",
    )  # fmt: skip


def test_without_smm_it_can_be_pretended() -> None:
    check = list(checks.kvm(replace(KVM, smm=False)))[1]
    assert check.status == "warn"
    assert "kvm_smm: auto" in check.remedy


@pytest.mark.parametrize(("clears", "words"), [(False, "lost-init cannot occur"), (None, "does not tell")])
def test_a_kernel_that_keeps_the_init(clears: bool | None, words: str) -> None:
    check = list(checks.kvm(replace(KVM, clears_latched_init=clears)))[2]
    assert check.status == "warn"
    assert words in check.detail


@pytest.mark.parametrize(("nested", "words"), [(True, "nested in another"), (None, "unknown")])
def test_nested(nested: bool | None, words: str) -> None:
    assert words in next(iter(checks.kvm(replace(KVM, nested=nested)))).detail


def test_a_low_limit_is_told() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        low = next(iter(checks.resource_limits()))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert low.status == "warn"
    assert low.detail.startswith("at most 512 open files")
    assert "1024" in low.remedy


@pytest.mark.parametrize(
    ("load", "count", "status", "words"),
    [
        ("0.40 0.3 0.2 1/2 3", 2, "ok", "2, load average 0.40"),
        ("4.00 0.3 0.2 1/2 3", 2, "warn", "the host is busy"),
        ("0.40 0.3 0.2 1/2 3", 1, "warn", "use 2 cores or more"),
        ("", 2, "warn", "2, load average unknown"),
    ],
)
def test_cores(tmp_path: Path, load: str, count: int, status: str, words: str) -> None:
    path = tmp_path / "loadavg"
    path.write_text(load)
    check = checks.cores(path, count)
    assert check.status == status
    assert words in f"{check.detail} {check.remedy}"


def test_kernel_log(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    missing = checks.kernel_log(log)
    assert (missing.status, missing.remedy) == ("warn", "")
    os.mkfifo(log)
    with os.fdopen(os.open(log, os.O_RDWR)):  # a reader finds nothing new, as at the end of the kernel's log
        assert checks.kernel_log(log).status == "ok"
    log.unlink()
    log.touch()
    assert checks.kernel_log(log) == Check("kernel log", "ok", f"{log} can be read")


def test_an_emulated_host_is_told(tmp_path: Path) -> None:
    place = tmp_path / "about.json"
    assert list(checks.emulated(place)) == []
    place.write_text('{"qemu_version": "7.2.22", "kernel_sha256": "0123456789abcdef"}')
    (check,) = checks.emulated(place)
    assert check.detail.startswith("emulated by QEMU 7.2.22: kernel ")
    assert "(sha256 0123456789ab)" in check.detail

"""The KVM probe, on this host's device and on files that are none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qstress.config.kvm import probe


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's right to open everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def cpuinfo(folder: Path, flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t\t: other\n")
    return path


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("/dev/null", "/dev/null is not a KVM device"),
        ("/nowhere/kvm", "/nowhere/kvm does not exist or has no driver; load kvm_intel or kvm_amd"),
        ("/", "/ cannot be opened: Is a directory"),
        ("a\0b", "cannot be opened: embedded null byte"),
    ],
)
def test_what_is_no_kvm_device_is_said_in_one_line(device: str, reason: str) -> None:
    before = descriptors()
    facts = probe(device)
    assert not facts.usable
    assert reason in facts.reason
    assert "\n" not in facts.reason
    assert (facts.smm, facts.irqchip, facts.kind, facts.max_vcpus) == (False, False, None, 0)
    assert facts.clears_latched_init is None
    assert descriptors() == before


def test_no_permission_names_the_group(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch(mode=0)
    with unprivileged():
        facts = probe(str(device))
    assert facts.reason.startswith(f"no permission to open {device}; join its group")


@pytest.mark.parametrize(("flags", "nested"), [("fpu hypervisor", True), ("fpu vmx", False), ("", None)])
def test_nested_is_what_the_cpu_says(tmp_path: Path, flags: str, nested: bool | None) -> None:
    assert probe("/dev/null", cpuinfo=cpuinfo(tmp_path, flags)).nested is nested


def test_nested_is_unknown_without_cpuinfo(tmp_path: Path) -> None:
    assert probe("/dev/null", cpuinfo=tmp_path / "none").nested is None


@pytest.mark.kvm
@pytest.mark.parametrize(
    ("modules", "flags", "kind"),
    [
        ([], "vmx", "other"),
        (["kvm_intel"], "vmx", "vmx"),
        (["kvm_amd"], "svm", "svm"),
        (["kvm_intel", "kvm_amd"], "svm", "svm"),
        (["kvm_intel", "kvm_amd"], "vmx", "vmx"),
        (["kvm_amd", "kvm_pvm"], "fpu", "pvm"),
    ],
)
def test_kind(tmp_path: Path, modules: list[str], flags: str, kind: str) -> None:
    for module in modules:
        (tmp_path / module).mkdir()
    assert probe(modules=tmp_path, cpuinfo=cpuinfo(tmp_path, flags)).kind == kind


@pytest.mark.kvm
def test_this_hosts_kvm_and_nothing_stays_open() -> None:
    before = descriptors()
    facts = probe()
    assert facts.usable
    assert facts.reason == ""
    assert facts.irqchip
    assert facts.max_vcpus >= 1
    assert facts.kind in ("vmx", "svm", "pvm", "other")
    assert descriptors() == before


@pytest.mark.kvm
def test_the_kernel_clears_a_latched_init() -> None:
    """Every kernel since 2019; where this fails, the race cannot occur on this host."""
    assert probe().clears_latched_init is True

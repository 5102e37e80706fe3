"""``doctor`` as a whole: on this host, and on hosts made of a few files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qstress.config.kvm import KvmFacts
from qstress.host.checks import Check
from qstress.host.doctor import DoctorReport, HostPaths, doctor_json, examine_host, render_text
from tests.host import hosts

NO_KVM = KvmFacts(usable=False, reason="none")
FINE, POOR = Check("qemu", "ok", "9.8.7"), Check("kernel log", "warn", "unreadable", "be root")
BROKEN = Check("setpriv", "fail", "missing")


def places(folder: Path, kvm: str = "/dev/null") -> HostPaths:
    """A host without KVM, cpuinfo, load and kernel log."""
    return HostPaths(kvm, folder / "modules", folder / "cpuinfo", folder / "kmsg", folder / "loadavg")


def test_only_a_failure_stops_the_main_job() -> None:
    assert DoctorReport((FINE, POOR), NO_KVM).can_run
    assert not DoctorReport((FINE, POOR, BROKEN), NO_KVM).can_run


def test_text_ends_with_what_it_means() -> None:
    assert render_text(DoctorReport((FINE, POOR), NO_KVM)).splitlines() == [
        "ok    qemu        9.8.7",
        "warn  kernel log  unreadable",
        "                  -> be root",
        "The main job can run here, under TCG only: the race itself cannot occur there.",
    ]
    assert render_text(DoctorReport((FINE,), KvmFacts(usable=True, reason=""))).endswith("can run here, under KVM.")
    assert "cannot run here" in render_text(DoctorReport((BROKEN,), NO_KVM)).splitlines()[-1]


def test_json_says_the_same() -> None:
    shown = json.loads(json.dumps(doctor_json(DoctorReport((POOR,), NO_KVM))))
    assert shown["can_run"] is True
    assert shown["checks"] == [{"name": "kernel log", "status": "warn", "detail": "unreadable", "remedy": "be root"}]
    assert shown["kvm"]["usable"] is False


def test_a_host_with_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    report = examine_host(places=places(tmp_path, kvm=str(tmp_path / "kvm")))
    assert not report.can_run
    assert {check.name for check in report.checks if check.status == "fail"} == {"qemu", "setpriv"}
    names = {check.name for check in report.checks}
    assert {"python", "interposer", "kvm", "limits", "cores", "kernel log"} <= names


def test_a_host_with_just_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No KVM and no compiler: the main job runs under TCG."""
    programs = tmp_path / "bin"
    hosts.qemu(programs)
    hosts.setpriv(programs)
    monkeypatch.setenv("PATH", str(programs))
    report = examine_host(places=places(tmp_path))
    assert report.can_run
    assert not report.kvm.usable


def test_builds_named_beside_the_hosts_own_are_shown_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    other = hosts.qemu(tmp_path / "other", "qemu-new")
    report = examine_host((str(other), "qemu-system-x86_64", str(other)), places=places(tmp_path))
    assert [check.status for check in report.checks if check.name == "qemu"] == ["warn", "ok"]


def test_the_qemu_under_test_is_looked_at_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = hosts.qemu(tmp_path / "other", "qemu-new")
    monkeypatch.setenv("QEMU_TEST_QEMU_BINARY", str(other))
    shown = [check.detail for check in examine_host(places=places(tmp_path)).checks if check.name == "qemu"]
    assert [detail.partition(":")[0] for detail in shown] == [str(other)]


@pytest.mark.qemu
def test_this_host() -> None:
    report = examine_host()
    shown = {check.name: check for check in report.checks}
    assert shown["qemu"].status == shown["seabios"].status == "ok"
    assert render_text(report)

from __future__ import annotations

import pytest

from qstress.hostlog.kinds import RULES, ReportKind, begins, is_advice, report_title
from tests.hostlog.samples import NAMES, cases, golden


@pytest.mark.parametrize("name", NAMES)
def test_a_report_is_called_what_kernel_people_call_it(name: str) -> None:
    report = golden(name)
    rules = [rule for text in report.lines if (rule := begins(4, text)) is not None]
    assert rules[0].kind.value == report.kind
    assert report_title(rules[0], report.lines) == report.title


def test_every_kind_has_a_rule_and_a_sample() -> None:
    assert {rule.kind for rule in RULES} == set(ReportKind)
    assert {case.kind for case in cases()} == {kind.value for kind in ReportKind}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kvm_amd: TSC scaling supported",
        "usb 1-1: new high-speed USB device number 2 using xhci_hcd",
        "audit: type=1400 comm='BUG: KCSAN: data-race in a / b'",
        "user said WARNING: CPU: 0 PID: 1 at a.c:1 f+0x0/0x1",
        "INFO: lockdep is turned off.",
        "CPU: 1 UID: 0 PID: 71 Comm: BUG: x Not tainted 6.13.6 #1",
    ],
)
def test_other_lines_begin_no_report(text: str) -> None:
    assert begins(6, text) is None


def test_kvm_complains_at_the_level_of_a_warning_or_above() -> None:
    assert begins(5, "kvm: Nested Virtualization enabled") is None
    rule = begins(4, "kvm: failed to shrink the page tables")
    assert rule is not None
    assert rule.kind is ReportKind.KVM
    assert begins(-1, "kvm: setting up the page tables") is None  # where nobody knows, only what sounds like one
    assert begins(-1, "kvm: failed to shrink the page tables") is rule


@pytest.mark.parametrize(
    "text",
    [
        "kvm: SMP vm created on host with unstable TSC; guest TSC will not be reliable",
        "kvm_intel: L1TF CPU bug present and SMT on, data leak possible. See CVE-2018-3646 and https://x.org/",
        "L1TF CPU bug present and SMT on, data leak possible. See CVE-2018-3646 and https://x.org/",
        "kvm_intel: MMIO Stale Data CPU bug present and SMT on, data leak possible",
        "kvm_amd: SVM disabled (by BIOS) in MSR_VM_CR on CPU 0",
        "kvm: disabled by bios",
        "kvm: already loaded vendor module 'kvm_intel'",
        "kvm: emulating exchange as write",
    ],
)
def test_what_kvm_advises_is_a_note_and_no_report(text: str) -> None:
    assert is_advice(text)
    for level in (-1, 1, 4):
        assert begins(level, text) is None


def test_a_complaint_is_no_advice() -> None:
    assert not is_advice("kvm_intel: unexpected exit reason 0x7f")
    assert not is_advice("usb 1-1: not supported")


def test_digits_in_a_name_stay_and_numbers_go() -> None:
    text = "kvm: L1TF and CVE-2018-3646 failed for x2apic on vcpu3 at 0x1f (ffff888104a1f067), 12 times, -5"
    rule = begins(4, text)
    assert rule is not None
    assert report_title(rule, [text]) == "kvm: L1TF and CVE-2018-3646 failed for x2apic on vcpuN at N (N), N times, N"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            "kvm [11]: vcpu3, guest rIP: 0x7f unhandled rdmsr: 0x611",
            "kvm [5]: vcpu0, guest rIP: 0xf0 unhandled rdmsr: 0x1",
        ),
        ("BUG: scheduling while atomic: a/1/0x2", "BUG: scheduling while atomic: bb/22/0x3"),
        ("BUG: Bad page state in process a  pfn:1", "BUG: Bad page state in process bb  pfn:22"),
        (
            "BUG: using smp_processor_id() in preemptible [1] code: a/1",
            "BUG: using smp_processor_id() in preemptible [2] code: b/2",
        ),
        ("BUG: spinlock bad magic on CPU#0, a/1", "BUG: spinlock bad magic on CPU#1, b/2"),
        (
            "BUG: Bad rss-counter state mm:000a type:MM_FILEPAGES val:3",
            "BUG: Bad rss-counter state mm:00b4 idx:1 val:-7",
        ),
        (
            "BUG: Dentry ffff8881{i=1,n=a} still in use (1) [unmount of x y]",
            "BUG: Dentry 00b4{i=2,n=b} still in use (2)",
        ),
        ("WARNING: CPU 0/KVM/4398 still has locks held!", "WARNING: CPU 1/KVM/5398 still has locks held!"),
        (
            "unchecked MSR access error: RDMSR from 0x1b at rIP: 0xf1 (f+0x1/0x2)",
            "unchecked MSR access error: RDMSR from 0x1b at rIP: 0xf2 (f+0x9/0x20)",
        ),
        ("BUG: workqueue lockup - pool cpus=0 node=0", "BUG: workqueue lockup - pool cpus=1 node=0"),
        ("WARNING: CPU: 0 PID: 1 at a.c:1 f+0x0/0x1", "WARNING: a.c:2 at f.isra.0+0x9/0x10, CPU#1: x/7"),
    ],
)
def test_what_differs_between_two_reports_of_one_bug_is_not_in_the_title(first: str, second: str) -> None:
    rules = [begins(3, text) for text in (first, second)]
    assert rules[0] is not None
    assert rules[0] is rules[1]
    assert report_title(rules[0], [first]) == report_title(rules[0], [second])

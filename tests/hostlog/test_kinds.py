from __future__ import annotations

import pytest

from qstress.hostlog.kinds import RULES, ReportKind, begins, title
from tests.hostlog.samples import NAMES, golden


@pytest.mark.parametrize("name", NAMES)
def test_a_report_is_called_what_kernel_people_call_it(name: str) -> None:
    report = golden(name)
    rules = [rule for text in report.lines if (rule := begins(4, text)) is not None]
    assert rules[0].kind.value == report.kind
    assert title(rules[0], report.lines) == report.title


def test_every_kind_has_a_rule_and_a_sample() -> None:
    assert {rule.kind for rule in RULES} == set(ReportKind)
    assert {golden(name).kind for name in NAMES} == {kind.value for kind in ReportKind}


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
    rule = begins(4, "kvm: disabled by bios")
    assert rule is not None
    assert rule.kind is ReportKind.KVM


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
        ("BUG: workqueue lockup - pool cpus=0 node=0", "BUG: workqueue lockup - pool cpus=1 node=0"),
        ("WARNING: CPU: 0 PID: 1 at a.c:1 f+0x0/0x1", "WARNING: a.c:2 at f.isra.0+0x9/0x10, CPU#1: x/7"),
    ],
)
def test_what_differs_between_two_reports_of_one_bug_is_not_in_the_title(first: str, second: str) -> None:
    rules = [begins(3, text) for text in (first, second)]
    assert rules[0] is not None
    assert rules[0] is rules[1]
    assert title(rules[0], [first]) == title(rules[0], [second])

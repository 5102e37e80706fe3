from __future__ import annotations

from itertools import chain

import pytest

from qstress.hostlog.records import LogLine
from qstress.hostlog.reports import MOST_LINES, KernelReport, ReportReader, tasks_in
from tests.hostlog.samples import NAMES, golden, spoken

NOISE = ["usb 1-1: new device", "EXT4-fs (vda1): mounted filesystem"]
#: What has no last line of its own: silence ends it.
SILENT = {"soft-lockup", "hard-lockup", "rcu-stall", "hung-task"}


def read(lines: chain[LogLine] | list[LogLine]) -> list[KernelReport]:
    reports = ReportReader()
    found = [report for line in lines for report in reports.add(line, line.at_us / 1e6)]
    return found + reports.flush()


@pytest.mark.parametrize("name", NAMES)
def test_a_report_is_kept_whole_and_nothing_else_with_it(name: str) -> None:
    sample = golden(name)
    lines = chain(
        spoken(NOISE, level=6),
        spoken(sample.said, start_us=1_000),
        spoken(NOISE, start_us=5_000_000 if sample.kind in SILENT else 500_000, level=6),
    )
    (report,) = read(lines)
    assert (report.title, report.kind.value, report.tasks) == (sample.title, sample.kind, sample.tasks)
    assert report.lines == sample.lines


def test_all_kinds_one_after_another_are_told_apart() -> None:
    samples = [golden(name) for name in NAMES]
    lines = chain.from_iterable(spoken(sample.said, start_us=place * 100_000) for place, sample in enumerate(samples))
    assert [report.title for report in read(lines)] == [sample.title for sample in samples]


def test_two_cpus_that_report_at_once_are_told_apart_where_the_kernel_says_who_speaks() -> None:
    first, second = golden("warning-619"), golden("kcsan-two-functions")
    pairs = [
        *((line.at_us, line) for line in spoken(first.lines, caller="T3301")),
        *((line.at_us + 1, line) for line in spoken(second.lines, caller="T4025")),
    ]
    reports = {report.title: report.lines for report in read([line for _, line in sorted(pairs)])}
    assert reports == {first.title: first.lines, second.title: second.lines}


def test_a_stall_gathers_what_other_cpus_print_meanwhile() -> None:
    sample = golden("rcu-stall")
    backtrace = ["NMI backtrace for cpu 0", "CPU: 0 UID: 0 PID: 9 Comm: swapper/0"]
    lines = [*spoken(sample.lines, caller="T4400"), *spoken(backtrace, start_us=1_000, caller="C0")]
    (report,) = read(lines)
    assert report.lines == (*sample.lines, *backtrace)


def test_a_report_begins_when_its_first_line_came() -> None:
    sample = golden("warning-before-619")
    (report,) = read(list(spoken(sample.lines, start_us=7_000_000)))
    assert report.at_s == 7.0
    assert report.lines == sample.lines  # with "cut here", and what the WARN says


def test_a_rule_that_nothing_follows_is_forgotten() -> None:
    lines = ["------------[ cut here ]------------", *(f"line {n}" for n in range(10)), golden("kvm-module").lines[0]]
    (report,) = read(list(spoken(lines)))
    assert len(report.lines) == 1


PANIC = "Kernel panic - not syncing: Fatal exception"
TRAP = ["Oops: divide error: 0000 [#1] SMP", "RIP: 0010:pit_rate+0x1/0x2", "---[ end trace 0000000000000000 ]---"]


def test_a_panic_belongs_to_the_report_just_made_and_stands_alone_where_there_is_none() -> None:
    sample = golden("warning-619")
    (report,) = read([*spoken(sample.lines), *spoken(NOISE, start_us=1_000), *spoken([PANIC], start_us=2_000)])
    assert report.title == sample.title
    later = [*spoken(sample.lines), *spoken([PANIC], start_us=60_000_000)]
    assert [report.title for report in read(later)] == [sample.title, "kernel panic: Fatal exception"]
    assert [report.kind.value for report in read(list(spoken([PANIC])))] == ["panic"]


def test_a_trap_belongs_to_the_bug_under_way_and_to_no_other_report() -> None:
    bug = [*spoken(["kernel BUG at a.c:1!"]), *spoken(TRAP, start_us=100)]
    assert [report.title for report in read(bug)] == ["kernel BUG in pit_rate"]
    sample = golden("warning-619")
    after = [*spoken(sample.lines), *spoken(TRAP, start_us=1_000)]
    assert [report.title for report in read(after)] == [sample.title, "divide error in pit_rate"]


def test_a_kernel_that_chatters_on_does_not_keep_a_report_from_being_told() -> None:
    head = golden("hung-task").lines
    fast = [*spoken(head), *spoken(["chatter"] * 5000, start_us=1_000)]
    reports = ReportReader()
    found = [report for line in fast for report in reports.add(line, 0.0)]
    assert [len(report.lines) for report in found] == [MOST_LINES + 1]
    slow = [*spoken(head), *(LogLine(6, 500_000 * n, "", "chatter") for n in range(1, 100))]
    reports = ReportReader()
    (report,) = [report for line in slow for report in reports.add(line, 0.0)]
    assert len(head) < len(report.lines) < len(head) + 70
    assert not reports.underway


def test_who_is_killed_is_named_and_no_bystander() -> None:
    lines = golden("oom").lines
    assert tasks_in(lines, killed_only=True) == (15003,)
    assert 777 in tasks_in(lines)

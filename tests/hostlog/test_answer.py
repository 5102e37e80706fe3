from __future__ import annotations

from collections.abc import Callable

import pytest

from qstress.hostlog.answer import LogAnswer, explain_log
from tests.hostlog.samples import NAMES, cases, golden, healthy
from tests.verdict.explain_cases import CASES as EXPLAIN_CASES

CASES, HEALTHY = cases(), healthy()
#: How a line looks in each of the places that people copy it from.
STYLES: dict[str, Callable[[int, str], str]] = {
    "bare": lambda at, text: text,
    "dmesg": lambda at, text: f"[ {12 + at / 1e5:11.6f}] {text}",
    "dmesg with callers": lambda at, text: f"[ {12 + at / 1e5:11.6f}][ T4401] {text}",
    "dmesg -r": lambda at, text: f"<4>[ {12 + at / 1e5:11.6f}] {text}",
    "dmesg -T": lambda at, text: f"[Tue Sep  9 12:00:{at % 60:02d} 2025] {text}",
    "dmesg -x": lambda at, text: f"kern  :warn  : [ {12 + at / 1e5:11.6f}] {text}",
    "dmesg iso": lambda at, text: f"2025-09-09T12:00:01,{at:06d}+02:00 {text}",
    "journalctl": lambda at, text: f"Sep 09 12:00:01 host-3 kernel: {text}",
    "journalctl iso": lambda at, text: f"2025-09-09T12:00:01+0200 host kernel: {text}",
    "journalctl monotonic": lambda at, text: f"[ {12 + at / 1e5:11.6f}] host kernel: {text}",
    "syslog": lambda at, text: f"Sep  9 12:00:01 host kernel: [ {12 + at / 1e5:11.6f}] {text}",
    "serial console": lambda at, text: f"[ {12 + at / 1e5:11.6f}] {text}\r",
    "quoted": lambda at, text: f"> [ {12 + at / 1e5:11.6f}] {text}",
}
STRONG = {name for name in STYLES if name not in ("bare", "dmesg iso")}


def pasted(lines: list[str] | tuple[str, ...], style: str) -> bytes:
    return "\n".join(STYLES[style](at, line) for at, line in enumerate(lines)).encode() + b"\n"


def answered(text: bytes) -> LogAnswer:
    answer = explain_log(text)
    assert answer is not None
    return answer


@pytest.mark.parametrize("style", STYLES)
def test_every_report_is_told_wherever_it_was_copied_from(style: str) -> None:
    wanted = [(case.title, case.kind, case.lines) for case in CASES]
    wanted += [(sample.title, sample.kind, sample.lines) for sample in map(golden, NAMES)]
    wrong = {}
    for title, kind, lines in wanted:
        answer = explain_log(pasted(lines, style))
        found = answer and [(report.title, str(report.kind)) for report in answer.reports]
        if found != [(title, kind)]:
            wrong[title] = found
    assert wrong == {}
    assert len({title for title, _, _ in wanted}) >= 80


@pytest.mark.parametrize("style", STYLES)
def test_nothing_counts_on_a_healthy_machine(style: str) -> None:
    told = {name: explain_log(pasted(log, style)) for name, log in HEALTHY.items()}
    assert {name: answer for name, answer in told.items() if answer and answer.reports} == {}
    assert len(told) >= 40
    if style in STRONG:
        answer = answered(pasted([line for log in HEALTHY.values() for line in log], style))
        assert answer.verdict == "quiet"
        assert answer.document()["reports"] == []
        assert any("unstable TSC" in reason for reason in answer.because)


def test_a_text_that_shows_registers_is_none_of_its_business() -> None:
    told = {case.name for case in EXPLAIN_CASES if case.verdict != "not-a-dump" and explain_log(case.text.encode())}
    assert told == set()
    dump = b"EAX=00000000 EBX=00000000\nEIP=0000fff0 EFL=00000002\n"
    assert explain_log(pasted(CASES[0].lines, "dmesg") + dump) is None
    assert explain_log(b"[ 1.000001] x\n" * 5 + b"qemu-system-x86_64: hw_error: x\n") is None


@pytest.mark.parametrize(
    "text", [b"", b"hello\n", b"\xff\0", b"x\n" * 10 + b"[    1.000000] usb 1-1: new\n", b"kvm: unexpected exit\n"]
)
def test_no_kernel_log(text: bytes) -> None:
    assert explain_log(text) is None


def test_a_report_that_comes_again_is_told_once_with_its_count_and_what_it_says_of_kvm() -> None:
    answer = answered(pasted([*CASES[0].lines, "", *CASES[0].lines], "journalctl"))
    assert answer.document() == {
        "verdict": "host-kernel",
        "reports": [{"kind": "lockdep", "title": CASES[0].title}],
        "because": list(answer.because),
    }
    assert "2 time(s); it names CPU 3/KVM" in answer.because[0]
    lines = answer.text().splitlines()
    assert lines[:3] == ["host-kernel", f"  lockdep      {CASES[0].title}", "because"]


def test_a_report_without_kvm_says_so() -> None:
    text = b"unregister_netdevice: waiting for lo to become free. Usage count = 2\n"
    assert "says nothing of KVM" in answered(text).because[0]


def test_other_programs_in_a_journal_report_nothing() -> None:
    text = b"Sep 09 12:00:01 h app[12]: kernel BUG at a.c:1!\n" * 3 + b"Sep 09 12:00:01 h kernel: ok\n" * 3
    assert answered(text).verdict == "quiet"

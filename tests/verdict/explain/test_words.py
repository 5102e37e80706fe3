from __future__ import annotations

import pytest

from qstress.verdict.explain.words import foreign, words
from tests.verdict.explain_cases.foreign import ARM, GDB, OOPS, PPC


@pytest.mark.parametrize(
    "line",
    [
        "KVM internal error. Suberror: 1",
        "> > KVM: entry failed, hardware error 0x80000021",
        "Jun 24 17:25:51 host QEMU[2997]: KVM: unknown exit, hardware reason 3",
        "(qemu) error: kvm run failed Bad address",
        "emulation failure",
        "> emulation failure, check dmesg for details",
        "ation failure, check dmesg",
        "VM internal error. Suberror: 1",
        "host QEMU[2997]: M: entry failed, hardware error 0x80000021",
        "- `KVM internal error. Suberror: 3`",
        "2024-01-02T03:04:05.6Z qemu-system-x86_64: Failed to put registers after init: Invalid argument",
        "unhandled vm exit: 0x80000021 vcpu_id 0",
        "exception 13 (33)\nrax 0000000000009000",
    ],
)
def test_kvm_failures(line: str) -> None:
    said = words(f"before\n{line}\nafter\n", [])
    assert said.kvm
    assert not said.died


@pytest.mark.parametrize(
    "line",
    [
        'fprintf(stderr, "KVM internal error. Suberror: %d\\n", x);',
        "We found no KVM internal error in any log.",
        "KVM fixes an emulation failure in real mode",
        "Assertion `x' failed in our own program",
        '../include/qemu/osdep.h:82:36: error: static assertion failed: "not expecting"',
        "ERROR:../tests/qtest/boot-serial-test.c:213:test: assertion failed: (ok)",
        "clang-15: ../qemu/llvm/x.cpp:77: f: Assertion `x' failed.",
        "make: *** qemu: [Makefile:9: all] Error 1, an assertion failed",
        "a configuration failure, check dmesg",
        "exception 13 (33) was raised",
    ],
)
def test_talk_about_failures_is_none(line: str) -> None:
    said = words(f"{line}\n", [])
    assert (said.kvm, said.died) == ("", "")


@pytest.mark.parametrize(
    "line",
    [
        "qemu: fatal: Trying to execute code outside RAM or ROM at 0x000a0063",
        "qemu: hardware error: vfio: DMA mapping failed",
        "kvm: ../hw/core/cpu-sysemu.c:77: cpu_asidx_from_attrs: Assertion `ret >= 0' failed.",
        "ERROR:../tcg/tcg.c:3218:tcg_out: assertion failed: (x)",
        "host QEMU[22]: Code=kvm: ../hw/x.c:77: f: Assertion `a < b && c' failed.",
        "qemu-system-x86_64: ../hw/x.c:77: f: Zusicherung »a« nicht erfüllt.",
        "error: internal error: process exited: qemu-kvm: /build/x.c:9: g: Assertion `c' failed.",
        "* `qemu: hardware error: vfio: unable`",
        "{noformat}qemu: fatal: Trying to execute code outside RAM",
        "emu: hardware error: vfio: unable",
        "Bail out! ERROR:../tcg/tcg.c:3218:tcg_out: code should not be reached",
    ],
)
def test_the_end_of_qemu(line: str) -> None:
    assert words(f"> {line}\n", []).died


def test_a_message_has_its_dump_where_no_other_register_stands_between() -> None:
    text = "KVM internal error. Suberror: 1\nextra data[0]: 0x400\nCPU#0\n"
    assert words(text, [text.index("CPU")]).kvm_with_dump
    assert not words(text, []).kvm_with_dump
    assert not words("CPU#0\n" + text, [0]).kvm_with_dump
    between = text.replace("extra", "PSW=mask 0 extra")
    assert not words(between, [between.index("CPU")]).kvm_with_dump
    far = text + "x" * 5000
    assert not words(far, [len(far)]).kvm_with_dump
    assertion = "qemu-system-x86_64: x.c:1: f: Assertion `x' failed.\nCPU#0\n"
    assert not words(assertion, [assertion.index("CPU")]).died_with_dump
    twice = "KVM: entry failed, alone\n" + "\n" * 3000 + text
    assert words(twice, [twice.index("CPU")]).kvm.startswith("KVM internal error")


def test_a_message_is_one_printable_line() -> None:
    said = words("KVM internal error \x9b\t" + "x" * 500, []).kvm
    assert len(said) == 120
    assert said.isprintable()


@pytest.mark.parametrize(
    ("text", "status", "paused"),
    [
        ("VM status: running\n", "running", False),
        ("VM status: paused\n", "paused", True),
        ("VM status: paused (prelaunch)\n", "prelaunch", True),
        ('{"return": {"status": "internal-error", "running": false}}', "internal-error", True),
        ("VM status: paused\n(qemu) cont\n(qemu) info status\nVM status: running\n", "running", False),
        ("the status is fine", "", False),
    ],
)
def test_the_last_run_state_counts(text: str, status: str, paused: bool) -> None:
    said = words(text, [])
    assert (said.status, said.paused) == (status, paused)


def test_what_else_a_text_can_be() -> None:
    assert (foreign(ARM).other_cpu, foreign(ARM).dump) == (True, True)
    assert foreign(PPC).name == "a dump of a PowerPC CPU"
    assert (foreign(GDB).other_cpu, foreign(GDB).dump) == (False, True)
    assert (foreign(OOPS).other_cpu, foreign(OOPS).dump) == (False, False)
    assert foreign("EAX=00000000 EBX=00000001\n").name == ""


@pytest.mark.parametrize(
    "end",
    [
        "Aborted (core dumped)",
        "Segmentation fault",
        "shutting down, reason=crashed",
        "error: internal error: End of file from qemu monitor",
        "kernel: qemu-system-x86[7]: segfault at 0 ip 0",
        "kvm: ../hw/x.c:77: f: Assertion `x' failed.",
        "qemu: fatal: no",
    ],
)
def test_an_end_after_a_failure_of_kvm(end: str) -> None:
    failed = "KVM internal error. Suberror: 1\nEIP=0\n"
    assert words(failed + end + "\n", []).then_died
    assert not words(end + "\n" + failed, []).then_died


@pytest.mark.parametrize(
    ("line", "panic"),
    [
        ("[ 84.1][ T50] Kernel panic - not syncing: Fatal exception", "Kernel panic - not syncing: Fatal exception"),
        ("panic: trap type 6, code=0", "panic: trap type 6, code=0"),
        ("[ 3.2] BUG: unable to handle page fault for address: 0", "BUG: unable to handle page fault for address: 0"),
        ("panic: runtime error: index out of range", ""),
        ("-append panic=1 oops=panic", ""),
        ("BUG 4711 has the same", ""),
    ],
)
def test_a_kernels_report_of_its_own_crash(line: str, panic: str) -> None:
    assert words(f"before\n{line}\n", []).panic == panic


def test_what_shows_that_a_guest_had_run_stands_before_its_last_dump() -> None:
    text = "SeaBIOS (version 1.16)\nCPU#0\n"
    assert words(text, [text.index("CPU")]).ran == "SeaBIOS (version"
    assert words("CPU#0\nBooting from Hard Disk", [0]).ran == ""
    assert words(text, []).ran == ""

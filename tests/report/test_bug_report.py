from __future__ import annotations

import re
import shlex
from dataclasses import replace

from qstress.report.bug_report import BugReport, bug_text, code_block, command_text, not_as_in_production, with_rate

REPORT = BugReport(
    title="crash: SIGSEGV\x1b at memsave",
    host={"os": "Debian 12", "kernel": "6.1.0", "machine": "x86_64", "cpu": "A CPU", "kvm": {"kind": "vmx"}},
    version="7.2.22",
    sha256="ab" * 32,
    command=("/usr/bin/qemu-system-x86_64", "-display", "none"),
    guest="none",
    description=["It fails."],
    expected="it does not.",
    often="seen once",
    steps=["Save it.", "Run it."],
    script="#!/bin/sh\necho '```'\n",
    because=["QEMU ended with status -11"],
    is_not=["not the guest's doing"],
    stacks="Thread 1\n#0  qmp_memsave ()",
)


def test_it_has_the_headings_of_qemus_own_template_in_their_order() -> None:
    text = bug_text(REPORT)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "Host environment", "Emulated/Virtualized environment", "Description of problem", "Steps to reproduce",
        "Additional information",
    ]  # fmt: skip
    assert text.startswith("# crash: SIGSEGV  at memsave\n")
    assert text.endswith('\n/label ~"kind::Bug"\n')
    for line in (
        " - OS/kernel version: Linux 6.1.0; KVM: vmx", " - QEMU flavor: qemu-system-x86_64",
        f" - QEMU version: 7.2.22 (sha256 of /usr/bin/qemu-system-x86_64: {'ab' * 32})", "1. Save it.", "2. Run it.",
        "- QEMU ended with status -11", "- not the guest's doing", "How often: seen once", "Expected: it does not.",
    ):  # fmt: skip
        assert f"\n{line}\n" in text
    assert "Not as in production" not in text


def test_the_script_survives_its_own_fences() -> None:
    fenced = re.search(r"^(`{4,})\n(.*?)\n\1$", bug_text(REPORT), re.MULTILINE | re.DOTALL)
    assert fenced is not None
    assert fenced[2] + "\n" == REPORT.script
    assert code_block("a") == "```\na\n```"


def test_what_is_not_known_is_left_out_or_said() -> None:
    bare = replace(REPORT, host={"emulated": {"kernel": "6.1"}}, stacks="", script="", sha256="")
    text = bug_text(replace(bare, description=not_as_in_production(["SMM pretended"])))
    assert "an emulated host" in text
    assert "sha256 of /usr/bin/qemu-system-x86_64: not known" in text
    assert "<details>" not in text
    assert "Not as in production:\n- SMM pretended\n" in text
    assert not_as_in_production([]) == []


def test_stacks_of_a_wide_guest_leave_room_for_the_rest() -> None:
    text = bug_text(replace(REPORT, stacks="#0 wide ()\n" * 20_000))
    assert len(text) < 100_000
    assert "… the rest: stacks.txt" in text


def test_a_rate_takes_the_place_of_the_one_before() -> None:
    text = with_rate(bug_text(REPORT), r"3/7 (1-2 %) \1")
    assert "\nHow often: 3/7 (1-2 %) \\1\n" in text
    assert "seen once" not in text
    assert with_rate(text, "seen once") == bug_text(REPORT)


def test_a_command_line_is_folded_and_means_the_same() -> None:
    command = ["/opt/my qemu", *[word for number in range(30) for word in ("-device", f"edu,id=d {number}")]]
    text = command_text(command)
    assert shlex.split(text.replace("\\\n", "")) == command
    assert max(map(len, text.splitlines())) <= 110

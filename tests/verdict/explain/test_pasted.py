"""The collection of ``tests/verdict/explain_cases``, whole and damaged in every way that a text can be."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qstress.verdict.explain.pasted import explain_text
from qstress.verdict.explain.picture import DumpVerdict
from qstress.verdict.explain.show import explanation_json, explanation_text
from tests.verdict.explain_cases import CASES, damage
from tests.verdict.explain_cases.case import Case

#: How many damaged texts the fuzz test tries; the full number is 100,000 (about 5 minutes).
FUZZ = int(os.environ.get("QSTRESS_EXPLAIN_FUZZ", "1500"))
HEX_AND_NOISE = "0123456789abcdef=# \n>\x00\x1bZ…"
SAID_OF_OTHER_CPUS = {"arm-fatal": "qemu-died", "s390-run-failed": "stopped-by-kvm"}
# What shows that KVM failed, where the words on QEMU's end are cut away.
KVM_FAILED = re.compile(r"KVM internal|entry failed|emulation failure|internal-error|^exception \d", re.MULTILINE)
REGISTERS = re.compile(r"[ER](?:IP|AX|FL)=[0-9a-f]{4}|HLT=[01]")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_says_what_the_text_shows_and_no_more(case: Case) -> None:
    answer = explain_text(case.text.encode())
    assert (str(answer.verdict), str(answer.confidence)) == (case.verdict, case.confidence), answer.because
    assert tuple(str(look.activity) for look in answer.vcpus) == case.states
    assert answer.because
    assert answer.ask_for or case.confidence == "certain"


@pytest.mark.parametrize("layout", [damage.crlf, damage.quoted, damage.quoted_printable, damage.page, damage.journal])
def test_a_layout_changes_nothing(layout: Callable[[str], str]) -> None:
    for case in CASES:
        if "qp" not in case.name:  # nobody lays out the encoded form
            plain, laid_out = explain_text(case.text.encode()), explain_text(layout(case.text).encode())
            assert laid_out.verdict is plain.verdict, case.name
            assert [look.activity for look in laid_out.vcpus] == [look.activity for look in plain.vcpus], case.name


def test_every_answer_is_in_the_collection_and_names_are_unique() -> None:
    assert {case.verdict for case in CASES} == {str(answer) for answer in DumpVerdict}
    assert len({case.name for case in CASES}) == len(CASES) >= 40


def command(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "qstress", "explain", *arguments]
    return subprocess.run(argv, input=given, capture_output=True, text=True, check=False)


def test_the_command_reads_a_file_or_standard_input(tmp_path: Path) -> None:
    case = CASES[0]
    (tmp_path / "mail").write_text(case.text)
    done = command(str(tmp_path / "mail"), "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == explanation_json(explain_text(case.text.encode()))
    for arguments in ((), ("-",)):
        done = command(*arguments, given=case.text)
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"{case.verdict} ({case.confidence})")


@pytest.mark.parametrize("arguments", [("/nonexistent",), ("--dump",), ("-", "--qmp", "x"), ("--qmp", "/nonexistent")])
def test_bad_usage_is_2(arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


def lines_moved(text: str, dice: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    match dice.randrange(4):
        case 0:
            dice.shuffle(lines)
        case 1:
            lines = [line for line in lines if dice.random() > 0.2]
        case 2:
            lines = [line for line in lines for _ in range(dice.choice((1, 1, 1, 2)))]
        case 3 if lines:
            first, second = dice.randrange(len(lines)), dice.randrange(len(lines))
            lines[first], lines[second] = lines[second], lines[first]
    return "".join(lines)


def piece_cut(text: str, dice: random.Random) -> str:
    begin, end = sorted(dice.randrange(len(text) + 1) for _ in range(2))
    return dice.choice((text[:begin], text[begin:], text[begin:end], text[:begin] + text[end:]))


def bytes_replaced(text: str, dice: random.Random) -> str:
    letters = list(text)
    for _ in range(dice.choice((1, 3, 30)) if letters else 0):
        letters[dice.randrange(len(letters))] = dice.choice(HEX_AND_NOISE)
    return "".join(letters)


def relaid(text: str, dice: random.Random) -> str:
    layouts: tuple[Callable[[str], str], ...] = (
        damage.crlf, damage.quoted, damage.quoted_printable, damage.page, damage.journal, damage.wrapped,
        damage.terminal, damage.cut, damage.telnet, damage.reply, damage.one_line,
    )  # fmt: skip
    return dice.choice(layouts)(text)


DAMAGES = (lines_moved, piece_cut, bytes_replaced, relaid)


def test_no_damage_makes_it_certain_of_anything_wrong() -> None:
    for number in range(FUZZ):
        dice = random.Random(number)
        sources = dice.choices(CASES, k=dice.choice((1, 1, 2)))
        text = "\n".join(case.text for case in sources)
        for damaged_by in dice.choices(DAMAGES, k=dice.randint(1, 3)):
            text = damaged_by(text, dice)
        answer = explain_text(text.encode(errors="replace"))
        assert explanation_json(answer)["verdict"] in set(DumpVerdict)
        assert explanation_text(answer)
        if answer.confidence == "certain":
            true, names = {case.verdict for case in sources}, {case.name for case in sources}
            true |= set() if REGISTERS.search(text) else {"not-a-dump"}
            true |= {"spinning"} if "lost-init" in true else set()  # so its boot CPU does
            true |= {"spinning"} if any("copies-" in name for name in names) else set()  # other digits, other looks
            true |= {"stopped-by-kvm"} if any(KVM_FAILED.search(case.text) for case in sources) else set()
            if len(sources) > 1:  # two guests in one text look like one that went on, and a message like the other's
                true |= {"busy", *(SAID_OF_OTHER_CPUS.get(case.name, "busy") for case in sources)}
            assert answer.verdict in true, (number, names, answer.because)


if FUZZ > 5000:
    test_no_damage_makes_it_certain_of_anything_wrong = pytest.mark.timeout(0)(
        test_no_damage_makes_it_certain_of_anything_wrong
    )


@pytest.mark.parametrize(
    "piece",
    ["EIP=", "EIP=0000fff0 ", "CPU#1 ", "HLT=0 ", "EAX=00000000 EBX=1", "CS =0008 ", "Code=<", "=3D", "=\n", "> ",
     "qemu: Assertion ", "KVM: entry failed\n", "\\r\\n", "&amp;", "<br", "rip 0000", "0x00000000: 0x00 ", " ", "\x1b[",
     "...", "R00=", "VM status: ", "a", "CPU #1: pc=0x0000000000000000\n", "v=0e e=0000\n",
     "  3 EIP=0000fff0 HLT=0\n", "CPU#0\nCPU#1\n", "CPU#0\nEIP=0000fff0 HLT=0\n", "EIP=0000fff0 HLT=0\n", "<div>", "**",
     "Content-Transfer-Encoding: base64\n", "Content-Transfer-Encoding: base64\n\nQUJD\n", "qemu: x.c:1: Assertion ",
     "KVM internal error. ", "error. Suberror: ", "[1/2] ", "info registers\n", "RAX=00000000\n", "Kernel panic - "],
)  # fmt: skip
def test_garbage_of_any_kind_is_read_in_one_pass(piece: str) -> None:
    answer = explain_text((piece * (300_000 // len(piece))).encode())  # a step too many per byte would take minutes
    assert explanation_text(answer)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"\x00" * 99, "CPU#0\nEIP=0000fff0 EFL=2".encode("utf-16")])
def test_odd_bytes(data: bytes) -> None:
    assert explanation_text(explain_text(data))

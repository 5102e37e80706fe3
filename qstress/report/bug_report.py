"""``bug.md``: a finding as a report that QEMU's maintainers take (pure: values in, text out).

It has the headings of QEMU's own issue template (QEMU: .gitlab/issue_templates/bug.md) and stands alone: who reads it
needs no qstress, neither to understand it nor to see the fault again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

from qstress.report.wording import printable

#: The one line that is written anew when a run knows more: how often it was seen.
_OFTEN = "How often: "
#: More of a stack listing than this is left to ``stacks.txt``: an issue has room for a megabyte in all.
_STACK_CHARACTERS = 60_000
_WIDTH = 110


@dataclass(frozen=True, slots=True)
class BugReport:
    """What is said under each heading. ``description`` are paragraphs of Markdown, all else is plain text.

    ``host`` is what ``run.json`` says of the host, ``command`` is QEMU and its arguments, ``script`` the whole of
    ``repro.sh``.
    """

    title: str
    host: Mapping[str, Any]
    version: str
    sha256: str
    command: Sequence[str]
    guest: str
    description: Sequence[str]
    expected: str
    often: str
    steps: Sequence[str]
    script: str
    because: Sequence[str]
    is_not: Sequence[str]
    stacks: str = ""


def bug_text(report: BugReport) -> str:
    """Return the text of ``bug.md``."""
    binary = report.command[0]
    said = [
        f"# {printable(report.title)}",
        "## Host environment",
        "\n".join(
            [
                f" - Operating system: {report.host.get('os', 'unknown')}",
                f" - OS/kernel version: Linux {report.host.get('kernel', 'unknown')}{_beneath(report.host)}",
                f" - Architecture: {report.host.get('machine', 'unknown')} ({report.host.get('cpu') or 'CPU unknown'})",
                f" - QEMU flavor: {binary.rpartition('/')[2]}",
                f" - QEMU version: {report.version or 'unknown'} (sha256 of {binary}: {report.sha256 or 'not known'})",
                " - QEMU command line:",
            ]
        ),
        code_block(command_text(report.command)),
        "## Emulated/Virtualized environment",
        f" - Operating system: {report.guest}\n - Architecture: x86_64",
        "## Description of problem",
        *report.description,
        f"Expected: {report.expected}",
        f"{_OFTEN}{report.often}",
        "## Steps to reproduce",
        "\n".join(f"{number}. {step}" for number, step in enumerate(report.steps, 1)),
        "## Additional information",
        "How we know:\n" + _list(report.because) if report.because else "",
        "What it is not:\n" + _list(report.is_not) if report.is_not else "",
        _stacks(report.stacks),
        _folded("repro.sh", report.script),
        '/label ~"kind::Bug"',
    ]
    return "\n\n".join(filter(None, said)) + "\n"


def not_as_in_production(conditions: Sequence[str]) -> list[str]:
    """Return the paragraph that says what was done to QEMU or the guest that production does not do, if anything."""
    return ["Not as in production:\n" + _list(conditions)] if conditions else []


def with_rate(text: str, often: str) -> str:
    """Return a ``bug.md`` that says *often* of how often it was seen."""
    line = f"{_OFTEN}{printable(often)}"
    return re.sub(rf"^{_OFTEN}.*$", lambda _: line, text, count=1, flags=re.MULTILINE)


def command_text(command: Sequence[str]) -> str:
    """Return a command line for a shell, folded at options."""
    lines, line = [], quote(command[0])
    for word in map(quote, command[1:]):
        if word.startswith("-") and len(line) + len(word) > _WIDTH - 30:
            lines.append(line)
            line = f"   {word}"
        else:
            line += f" {word}"
    return " \\\n".join([*lines, line])


def _beneath(host: Mapping[str, Any]) -> str:
    kvm = host.get("kvm")
    kind = f"; KVM: {kvm['kind']}" if isinstance(kvm, Mapping) and kvm.get("kind") else ""
    nested = ", itself in a virtual machine" if isinstance(kvm, Mapping) and kvm.get("nested") else ""
    return kind + nested + ("; an emulated host (QEMU, TCG)" if host.get("emulated") else "")


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {printable(line)}" for line in lines)


def code_block(text: str) -> str:
    """Return *text* as a block that Markdown leaves as it is."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text.rstrip()}\n{fence}"


def _stacks(stacks: str) -> str:
    if not stacks:
        return ""
    shown = stacks if len(stacks) <= _STACK_CHARACTERS else f"{stacks[:_STACK_CHARACTERS]}\n… the rest: stacks.txt"
    return _folded("Stacks of all QEMU threads", shown)


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{code_block(text)}\n\n</details>" if text else ""

"""The cases of a run as TAP 13 that is KTAP, too: what prove, meson, avocado and the kernel's tools read.

Where the two differ, what both take: a plan first, descriptions without ``#`` and without a dash before them, what is
said of a case in comments before its line instead of YAML after it, no TODO.

Sources: the Test Anything Protocol, version 13; Linux, Documentation/dev-tools/ktap.rst and
tools/testing/kunit/kunit_parser.py (6.12).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from qstress.report.cases import Case, CaseEnd
from qstress.report.wording import printable

_HASH_ALONE = re.compile(r"(?<!\S)#")


def tap(cases: Sequence[Case]) -> str:
    """Return the document, newline at the end."""
    lines = ["TAP version 13", f"1..{len(cases)}"]
    for number, case in enumerate(cases, 1):
        lines += _case(number, case)
    return "".join(f"{line}\n" for line in lines)


def _case(number: int, case: Case) -> Iterator[str]:
    # A rule says why in what was seen, and a directive says why beside itself.
    aside = case.seen.splitlines() + ([case.why] if case.end is CaseEnd.FAILURE and case.why != case.seen else [])
    yield from (f"# {_one_line(line)}" for line in aside)
    result = "not ok" if case.end in (CaseEnd.FAILURE, CaseEnd.ERROR) else "ok"
    directive = {CaseEnd.SKIPPED: "SKIP", CaseEnd.ERROR: "ERROR"}.get(case.end)
    # The kernel's reader takes a directive anywhere in a line; CPU#2 is none.
    why = _HASH_ALONE.sub("_", _one_line(case.why))
    name = _one_line(f"{case.group} {case.name}").replace("#", "_")
    yield f"{result} {number} {name}" + (f" # {directive} {why}" if directive else "")


def _one_line(text: str) -> str:
    return " ".join(printable(text).encode(errors="replace").decode().split())

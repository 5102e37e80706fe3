"""``junit.xml`` for CI servers: a suite for the run, its cases in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree

from qstress.report.cases import Case, CaseEnd
from qstress.report.summary import RunFacts
from qstress.report.wording import printable


def junit(facts: RunFacts, cases: Sequence[Case], duration_s: float) -> str:
    """Return the document; *duration_s* is how long the run took."""
    ends = Counter(case.end for case in cases)
    counts = {
        "tests": str(len(cases)), "failures": str(ends[CaseEnd.FAILURE]), "errors": str(ends[CaseEnd.ERROR])
    }  # fmt: skip
    time = {"time": f"{duration_s:.3f}"}
    root = ElementTree.Element("testsuites", {"name": "qstress", **counts, **time})
    skipped = {"skipped": str(ends[CaseEnd.SKIPPED])}
    head = {"name": _clean(facts.name), **counts, **skipped, **time, "timestamp": facts.started}
    suite = ElementTree.SubElement(root, "testsuite", head)
    properties = ElementTree.SubElement(suite, "properties")
    for key in ("run", "reason", "exit_code", "lanes"):
        ElementTree.SubElement(properties, "property", {"name": key, "value": _clean(str(getattr(facts, key)))})
    for group, name, end, why, seen in cases:
        classname = _clean(f"{facts.name}.{group}")
        case = ElementTree.SubElement(suite, "testcase", {"classname": classname, "name": _clean(name), "time": "0"})
        if end:
            said = {"message": _clean(why)} | ({} if end is CaseEnd.SKIPPED else {"type": group})
            ElementTree.SubElement(case, end, said)
        if seen:
            ElementTree.SubElement(case, "system-out").text = "\n".join(map(_clean, seen.splitlines()))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _clean(text: str) -> str:
    """XML 1.0 has no control characters, not even as references, and no lone surrogates."""
    return printable(text).encode(errors="replace").decode()

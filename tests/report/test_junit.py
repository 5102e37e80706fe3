from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema

from qstress.model import Verdict
from qstress.report.cases import cases
from qstress.report.html.run import Shown
from qstress.report.junit import junit
from tests.report.html.samples import HOSTILE, everything, settings, shown, strata
from tests.stats.samples import CRASH, LOST, OK, RIG, UNKNOWN

SCHEMA = xmlschema.XMLSchema11(str(Path(__file__).with_name("junit.xsd")))


def written(run: Shown) -> str:
    """The document of *run*, valid."""
    document = junit(run.facts, cases(run.facts, run.tally, run.standing), run.duration_s)
    SCHEMA.validate(document)
    return document


@pytest.mark.parametrize(
    ("verdict", "ends"),
    [(OK, ["system-out"]), (LOST, ["failure", "system-out"]), (RIG, ["error", "system-out"]),
     (UNKNOWN, ["skipped", "system-out"])],
)  # fmt: skip
def test_a_case_says_how_it_ended(verdict: Verdict, ends: list[str]) -> None:
    (case,) = ElementTree.fromstring(written(shown(settings(("only",)), [(verdict,)]))).iter("testcase")
    assert [child.tag for child in case] == ends
    assert case.get("classname") == "nightly.cell.only"


def test_the_counts_are_those_of_the_cases() -> None:
    run = everything()
    root = ElementTree.fromstring(written(run))
    (suite,) = root
    ended = Counter(child.tag for case in suite.iter("testcase") for child in case)
    assert int(suite.get("tests", "")) == len(list(suite.iter("testcase"))) == 1 + len(run.tally.cells)
    assert [int(suite.get(name, "")) for name in ("failures", "errors", "skipped")] == [
        ended["failure"], ended["error"], ended["skipped"],
    ]  # fmt: skip
    assert (suite.get("time"), suite.get("timestamp")) == ("190.000", "2026-01-02T03:04:05+00:00")


def test_what_a_guest_said_cannot_break_the_document() -> None:
    odd = replace(CRASH, title=f"{HOSTILE}\x00\ud800]]>\ufffe", signature="odd")
    run = shown(settings(("only",), strata=strata((2, 4))), [(odd,), (OK,)])
    said = [case.findtext("system-out") or "" for case in ElementTree.fromstring(written(run)).iter("testcase")]
    assert any("<script>alert(1)</script>" in words for words in said)

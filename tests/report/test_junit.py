from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema

from qstress.config.settings import Gate, Settings
from qstress.model import Verdict
from qstress.report.html.run import Shown
from qstress.report.junit import junit
from tests.report.html.samples import HOSTILE, everything, settings, shown, strata
from tests.stats.samples import CRASH, LOST, OK, REPLAYED, RIG, UNKNOWN

SCHEMA = xmlschema.XMLSchema11(str(Path(__file__).with_name("junit.xsd")))


def written(run: Shown) -> str:
    """The document of *run*, valid."""
    document = junit(run.facts, run.tally, run.standing, run.duration_s)
    SCHEMA.validate(document)
    return document


def cases(asked: Settings, verdicts: Sequence[Sequence[Verdict]], exit_code: int = 0) -> dict[str, str]:
    """What became of each case of a run: passed, failure, error or skipped."""
    root = ElementTree.fromstring(written(shown(asked, verdicts, exit_code=exit_code)))
    ended = {}
    for case in root.iter("testcase"):
        (verdict, *_) = [child.tag for child in case if child.tag != "system-out"] or ["passed"]
        ended[f"{case.get('classname')} {case.get('name')}"] = verdict
    return ended


def test_a_gate_and_its_cells_pass() -> None:
    assert cases(settings(), [(LOST, OK)] * 40) == {
        "nightly.gate better_than": "passed",
        "nightly.cell.unpatched smp 4 pc kvm, info registers -a @ max, T1": "passed",
        "nightly.cell.patched smp 4 pc kvm, info registers -a @ max, T1": "passed",
    }


@pytest.mark.parametrize(("verdicts", "ended"), [([(LOST, OK)], "skipped"), ([(OK, LOST)] * 40, "failure")])
def test_a_rule_fails_or_stays_open_as_the_gate_says(verdicts: list[tuple[Verdict, Verdict]], ended: str) -> None:
    assert cases(settings(), verdicts)["nightly.gate better_than"] == ended


def test_several_rules_are_cases_of_their_own() -> None:
    asked = settings(gate=Gate("patched", 0.5, None, "unpatched", None, 1000))
    found = cases(asked, [(LOST, OK)] * 40)
    assert list(found.values())[:3] == ["passed", "passed", "skipped"]
    assert [name.split()[1] for name in found][:3] == ["max_hang_rate", "better_than", "min_trials"]


def test_without_a_gate_the_comparison_is_a_case() -> None:
    asked = settings(gate=None)
    assert cases(asked, [(LOST, OK)] * 40)["nightly.compare patched against unpatched"] == "passed"
    assert cases(asked, [(LOST, OK)])["nightly.compare patched against unpatched"] == "skipped"


@pytest.mark.parametrize(
    ("verdict", "ended"), [(OK, "passed"), (REPLAYED, "failure"), (RIG, "error"), (UNKNOWN, "skipped")]
)
def test_a_cell_alone_ends_as_its_trials_did(verdict: Verdict, ended: str) -> None:
    assert set(cases(settings(("only",)), [(verdict,)] * 3).values()) == {ended}


def test_rig_trouble_of_some_trials_is_told_and_fails_nothing() -> None:
    run = shown(settings(("only",)), [(OK,), (RIG,)])
    document = written(run)
    assert "<error" not in document
    assert "not counted: 1 rig (qemu-refused)" in document


def test_a_run_that_the_host_ended_is_an_error() -> None:
    assert cases(settings(), [(LOST, OK)], exit_code=4)["nightly.run the host can do it"] == "error"


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


def test_findings_stand_in_their_cell_with_the_line_that_repeats_them() -> None:
    root = ElementTree.fromstring(written(shown(verdicts=[(LOST, OK)] * 3)))
    said = [case.findtext("system-out") or "" for case in root.iter("testcase")][1:]
    assert "qstress repro runs/" in said[0]
    assert "qstress repro" not in said[1]


def test_what_a_guest_said_cannot_break_the_document() -> None:
    odd = replace(CRASH, title=f"{HOSTILE}\x00\ud800]]>\ufffe", signature="odd")
    run = shown(settings(("only",), strata=strata((2, 4))), [(odd,), (OK,)])
    said = [case.findtext("system-out") or "" for case in ElementTree.fromstring(written(run)).iter("testcase")]
    assert any("<script>alert(1)</script>" in words for words in said)

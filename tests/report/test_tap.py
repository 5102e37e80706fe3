from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.report.cases import Case, CaseEnd, cases
from qstress.report.tap import tap
from tests.report.html.samples import HOSTILE, everything, settings, shown
from tests.report.tap_readers import by_avocado, by_kunit, by_meson, by_prove
from tests.stats.samples import CRASH, LOST, OK

CASES = [
    Case("gate", "max_hang_rate", CaseEnd.PASSED, "0/60 (<4.9 %)", "0/60 (<4.9 %)"),
    Case("gate", "better_than", CaseEnd.SKIPPED, "too few trials", "too few trials"),
    Case("cell.stock", "smp 4 pc", CaseEnd.FAILURE, "3 findings: lost-init", "hang 3/60\nlost-init: CPU#2 stays"),
    Case("cell.stock", "smp #8", CaseEnd.ERROR, "no trial could be run", ""),
]
DOCUMENT = """\
TAP version 13
1..4
# 0/60 (<4.9 %)
ok 1 gate max_hang_rate
# too few trials
ok 2 gate better_than # SKIP too few trials
# hang 3/60
# lost-init: CPU#2 stays
# 3 findings: lost-init
not ok 3 cell.stock smp 4 pc
not ok 4 cell.stock smp _8 # ERROR no trial could be run
"""

READERS = [by_prove, by_meson, by_avocado, by_kunit]


@pytest.fixture(params=READERS, ids=lambda reader: reader.__name__)
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], list[str]]:
    """Each reader, as a function of a document."""
    reader = request.param
    return (lambda document: by_prove(document, tmp_path)) if reader is by_prove else reader


def test_the_document() -> None:
    assert tap(CASES) == DOCUMENT


def test_every_reader_takes_every_end(read: Callable[[str], list[str]]) -> None:
    assert read(DOCUMENT) == ["ok", "skip", "not ok", "not ok"]


def test_every_reader_takes_a_run_that_passed(read: Callable[[str], list[str]]) -> None:
    run = shown(verdicts=[(LOST, OK)] * 40)
    assert read(tap(cases(run.facts, run.tally, run.standing))) == ["ok", "ok", "ok"]


def test_what_a_guest_said_cannot_break_the_document(read: Callable[[str], list[str]]) -> None:
    odd = replace(CRASH, title=f"{HOSTILE}\nnot ok 1 x\x00\ud800 # TODO\r\n1..0 # SKIP\nBail out!", signature="odd")
    run = shown(settings(("only",)), [(odd,)])
    assert read(tap(cases(run.facts, run.tally, run.standing))) == ["not ok"]
    said = Case("cell.x\nBail out!", "a # TODO b # SKIP c\n1..7", CaseEnd.SKIPPED, "ok 1 # TODO x\nok 2 # SKIP", "1..9")
    assert read(tap([said, said._replace(end=CaseEnd.ERROR)])) == ["skip", "not ok"]


def test_every_reader_takes_a_large_run(read: Callable[[str], list[str]]) -> None:
    run = everything()
    made = cases(run.facts, run.tally, run.standing)
    ends = {"": "ok", "skipped": "skip"}
    assert read(tap(made)) == [ends.get(case.end, "not ok") for case in made]

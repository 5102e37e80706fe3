"""Findings wait to be made smaller: in order, as long as there is time, and over the end of a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.fuzz.findings import Findings, FuzzFinding
from qstress.fuzz.recording import Recording
from qstress.fuzz.reduce import Reduced
from qstress.fuzz.reduction_queue import NEVER, NOT_YET, ReductionQueue
from qstress.fuzz.transcript import from_bytes
from tests.fuzz.test_findings import FOUND
from tests.fuzz.test_recording import SAMPLE

SMALL = replace(SAMPLE, steps=SAMPLE.steps[:1])
Reduce = Callable[[Recording], Reduced]


def found(folder: Path, *titles: str, kind: str = "crash") -> Findings:
    findings = Findings(folder, (), "7.2.22")
    for title in titles:
        note = NOT_YET if kind == "state" else ""
        new = FuzzFinding(title, kind, "", 1.0, 0, ("as found",), note=note)
        findings.add(replace(SAMPLE, title=title), new, trace=[], console=b"", said="")
    return findings


def reduces(title: str = "", shown: int = 5, note: str = "") -> Reduce:
    def reduce(recording: Recording) -> Reduced:
        small = replace(SMALL, title=title or recording.title)
        return Reduced(small, shown, 5, small.title, ("made smaller",), note)

    return reduce


def work(backlog: ReductionQueue) -> None:
    while backlog.waiting:
        backlog.next()


def test_all_are_made_smaller_and_that_is_written_down(tmp_path: Path) -> None:
    said: list[str] = []
    findings = found(tmp_path / "f", "crash: one", "crash: two")
    work(ReductionQueue(findings, reduces(note="racy"), said.append))
    again = Findings(tmp_path / "f", (), "7.2.22")
    assert [(made.title, made.repeats, made.because, made.sure) for made in again.all] == [
        ("crash: one", "5/5", ("made smaller",), "racy"),
        ("crash: two", "5/5", ("made smaller",), "racy"),
    ]
    folder = tmp_path / "f" / again.all[0].folder
    assert from_bytes((folder / "repro.jsonl").read_bytes(), "").steps == SMALL.steps
    assert from_bytes((folder / "repro-full.jsonl").read_bytes(), "").steps == SAMPLE.steps
    assert said[1].startswith("crash: two [002-crash-two]: shown again 5/5, ")


def test_there_is_an_end_to_it_and_another_process_goes_on(tmp_path: Path) -> None:
    findings = found(tmp_path / "f", "crash: one", "crash: two")
    ReductionQueue(findings, reduces(), print).next()
    left = ReductionQueue(Findings(tmp_path / "f", (), "7.2.22"), reduces(), print)
    assert [finding.title for finding in left.waiting] == ["crash: two"]
    work(left)
    assert left.waiting == []


def test_what_was_cut_short_goes_on_waiting(tmp_path: Path) -> None:
    findings = found(tmp_path / "f", "crash: one")
    cut = ReductionQueue(findings, reduces(), print, lambda: True)
    cut.next()
    assert cut.waiting == findings.all
    assert not (tmp_path / "f" / findings.all[0].folder / "repro-full.jsonl").exists()


def test_what_turns_out_to_be_another_one_is_counted_there(tmp_path: Path) -> None:
    findings = found(tmp_path / "f", "crash: one", "crash: two", "crash: three")
    findings.all[1].count += 1
    work(ReductionQueue(findings, reduces("crash: one"), print))
    (made,) = Findings(tmp_path / "f", (), "7.2.22").all
    assert (made.title, made.count, made.aliases) == ("crash: one", 4, ["crash: two", "crash: three"])
    assert [path.name for path in (tmp_path / "f").iterdir()] == [made.folder]
    assert findings.find("crash: three") is findings.all[0]


def test_a_better_title_is_taken_and_the_first_one_still_finds_it(tmp_path: Path) -> None:
    findings = found(tmp_path / "f", "crash: at a neighbour")
    work(ReductionQueue(findings, reduces("crash: at home"), print))
    assert findings.find("crash: at a neighbour") is findings.find("crash: at home") is findings.all[0]


@pytest.mark.parametrize(("kind", "counts"), [("crash", True), ("state", False)])
def test_what_never_shows_again_counts_if_it_needs_no_repeat(tmp_path: Path, kind: str, counts: bool) -> None:
    findings = found(tmp_path / "f", "refused stop changed query-status", kind=kind)
    assert bool(findings.unknown) is counts
    work(ReductionQueue(findings, reduces(shown=0, note="no replay showed it again"), print))
    (made,) = findings.all
    assert (bool(findings.unknown), made.note, made.shown) == (counts, "" if counts else NEVER, 0)
    assert not (tmp_path / "f" / made.folder / "repro-full.jsonl").exists()


def test_a_state_that_shows_again_counts(tmp_path: Path) -> None:
    findings = found(tmp_path / "f", "refused stop changed query-status", kind="state")
    work(ReductionQueue(findings, reduces(), print))
    assert findings.unknown == findings.all


def test_a_state_that_shows_again_seldom_does_not(tmp_path: Path) -> None:
    findings = found(tmp_path / "f", "refused stop changed query-status", kind="state")
    work(ReductionQueue(findings, reduces(shown=2), print))
    assert findings.unknown == []


def test_without_reduction_nothing_waits(tmp_path: Path) -> None:
    findings = found(tmp_path / "f", FOUND.title)
    assert ReductionQueue(findings, None, print).waiting == []

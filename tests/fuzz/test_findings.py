"""Findings are written down whole, counted, and found again by another process."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qstress.errors import ConfigError, RigError
from qstress.fuzz.findings import NEVER, NOT_YET, Findings, FuzzFinding, load_recording, write_reduced_finding
from qstress.fuzz.known import KnownFinding
from qstress.fuzz.recording import Recording, from_bytes, to_bytes
from qstress.fuzz.reduce import Reduced
from tests.fuzz.test_recording import SAMPLE

FOUND = FuzzFinding(
    "crash: SIGSEGV at stop", "crash", "", 1.5, 3, ("why",), shown=5, tried=5, aliases=["crash: SIGSEGV at cont"]
)

SMALL = replace(SAMPLE, steps=SAMPLE.steps[:1])
Reduce = Callable[[Recording], Reduced]


def add(findings: Findings, title: str = FOUND.title, kind: str = "crash") -> FuzzFinding:
    return findings.add(
        SAMPLE, replace(FOUND, title=title, kind=kind), trace=[{"at_s": 1}], console=b"c", said="words\ud800"
    )


def test_a_finding_has_all_that_repeats_it(tmp_path: Path) -> None:
    findings = Findings(tmp_path / "findings", (), "7.2.22")
    made = add(findings)
    folder = tmp_path / "findings" / made.folder
    assert made.folder == "001-crash-sigsegv-at-stop"
    assert {path.name for path in folder.iterdir()} == {
        "finding.json", "trace.jsonl", "repro.jsonl", "repro.sh", "console.log", "stderr.txt", "bug.md",
    }  # fmt: skip
    assert from_bytes((folder / "repro.jsonl").read_bytes(), "") == SAMPLE
    assert stat.S_IMODE((folder / "repro.sh").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "trace.jsonl").stat().st_mode) == 0o600
    assert (made.commands, made.repeats) == (2, "5/5")


def test_it_is_found_by_its_title_and_by_earlier_ones(tmp_path: Path) -> None:
    findings = Findings(tmp_path / "f", (), "7.2.22")
    made = add(findings)
    assert findings.find("crash: SIGSEGV at stop") is made
    assert findings.find("crash: SIGSEGV at cont") is made
    assert findings.find("crash: SIGFPE at stop") is None


def test_a_refusal_that_is_blamed_alone_is_found_among_several(tmp_path: Path) -> None:
    findings = Findings(tmp_path / "f", (), "7.2.22")
    made = add(findings, "refused chardev-change changed query-chardev", "state")
    assert findings.find("refused yank or chardev-change or stop changed query-chardev") is made
    assert findings.find("refused yank or stop changed query-chardev") is None
    assert findings.find("refused chardev-change changed query-status") is None
    made.shown = 0  # not made smaller yet
    assert findings.find("refused yank or chardev-change changed query-chardev") is None


def test_one_that_was_made_smaller_later_is_called_what_is_left_of_it(tmp_path: Path) -> None:
    findings = Findings(tmp_path / "f", (), "7.2.22")
    made = add(findings)
    small = replace(SAMPLE, title="crash: SIGSEGV at x", steps=SAMPLE.steps[:2])
    write_reduced_finding(tmp_path / "f" / made.folder, Reduced(small, 4, 5, note="racy"))
    (again,) = Findings(tmp_path / "f", (), "7.2.22").all
    assert (again.title, again.commands, again.repeats, again.sure) == ("crash: SIGSEGV at x", 1, "4/5", "racy")
    assert again.aliases == ["crash: SIGSEGV at cont", "crash: SIGSEGV at stop"]


def test_counts_survive_the_process_and_what_was_half_written_does_not(tmp_path: Path) -> None:
    findings = Findings(tmp_path / "f", (), "7.2.22")
    add(findings).count += 1
    findings.save()
    (tmp_path / "f" / ".new").mkdir()
    (tmp_path / "f" / ".new" / "trace.jsonl").write_text("half")
    again = Findings(tmp_path / "f", (), "7.2.22")
    assert again.document() == findings.document()
    assert again.all[0].count == 2
    assert add(again, "another").folder == "002-another"


def test_known_findings_and_unrepeated_ones_do_not_fail_a_session(tmp_path: Path) -> None:
    findings = Findings(tmp_path / "f", (KnownFinding("crash: SIGSEGV *", "link", "8.0"),), "7.2.22")
    assert add(findings).known == "link"
    assert findings.unknown == []
    other = add(findings, "refused stop changed query-status")
    assert findings.unknown == [other]
    other.note = "not counted: no replay showed it again"
    assert findings.unknown == []


def test_a_folder_that_is_no_finding_is_named(tmp_path: Path) -> None:
    (tmp_path / "f" / "001-x").mkdir(parents=True)
    (tmp_path / "f" / "001-x" / "finding.json").write_text(json.dumps({"format": 1, "title": "x"}))
    with pytest.raises(ConfigError, match="001-x"):
        Findings(tmp_path / "f", (), "7.2.22")


def test_what_is_no_recording_of_ours_is_named(tmp_path: Path) -> None:
    path = tmp_path / "repro.jsonl"
    for data, problem in ((to_bytes(replace(SAMPLE, kind="bogus")), "no oracle finds 'bogus'"), (b"[", "1: ")):
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=problem):
            load_recording(path)


def test_a_full_disk_is_a_rig_error(tmp_path: Path) -> None:
    findings = Findings(tmp_path / "f", (), "7.2.22")
    (tmp_path / "f" / ".new").write_text("in the way")
    with pytest.raises(RigError, match="cannot record"):
        add(findings)


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
        return Reduced(small, shown, 5, ("made smaller",), note)

    return reduce


def work(findings: Findings, reduce: Reduce) -> None:
    while findings.waiting:
        findings.take(findings.waiting[0], reduce(findings.recording(findings.waiting[0])))


def test_all_are_made_smaller_and_that_is_written_down(tmp_path: Path) -> None:
    findings = found(tmp_path / "f", "crash: one", "crash: two")
    work(findings, reduces(note="racy"))
    again = Findings(tmp_path / "f", (), "7.2.22")
    assert [(made.title, made.repeats, made.because, made.sure) for made in again.all] == [
        ("crash: one", "5/5", ("made smaller",), "racy"),
        ("crash: two", "5/5", ("made smaller",), "racy"),
    ]
    folder = tmp_path / "f" / again.all[0].folder
    assert from_bytes((folder / "repro.jsonl").read_bytes(), "").steps == SMALL.steps
    assert from_bytes((folder / "repro-full.jsonl").read_bytes(), "").steps == SAMPLE.steps


def test_another_process_goes_on_with_what_waits(tmp_path: Path) -> None:
    findings = found(tmp_path / "f", "crash: one", "crash: two")
    findings.take(findings.all[0], reduces()(findings.recording(findings.all[0])))
    left = Findings(tmp_path / "f", (), "7.2.22")
    assert [finding.title for finding in left.waiting] == ["crash: two"]
    work(left, reduces())
    assert left.waiting == []


def test_what_turns_out_to_be_another_one_is_counted_there(tmp_path: Path) -> None:
    findings = found(tmp_path / "f", "crash: one", "crash: two", "crash: three")
    findings.all[1].count += 1
    work(findings, reduces("crash: one"))
    (made,) = Findings(tmp_path / "f", (), "7.2.22").all
    assert (made.title, made.count, made.aliases) == ("crash: one", 4, ["crash: two", "crash: three"])
    assert [path.name for path in (tmp_path / "f").iterdir()] == [made.folder]
    assert findings.find("crash: three") is findings.all[0]


def test_a_better_title_is_taken_and_the_first_one_still_finds_it(tmp_path: Path) -> None:
    findings = found(tmp_path / "f", "crash: at a neighbour")
    work(findings, reduces("crash: at home"))
    assert findings.find("crash: at a neighbour") is findings.find("crash: at home") is findings.all[0]


@pytest.mark.parametrize(("kind", "counts"), [("crash", True), ("state", False)])
def test_what_never_shows_again_counts_if_it_needs_no_repeat(tmp_path: Path, kind: str, counts: bool) -> None:
    findings = found(tmp_path / "f", "refused stop changed query-status", kind=kind)
    assert bool(findings.unknown) is counts
    work(findings, reduces(shown=0, note="no replay showed it again"))
    (made,) = findings.all
    assert (bool(findings.unknown), made.note, made.shown) == (counts, "" if counts else NEVER, 0)
    assert not (tmp_path / "f" / made.folder / "repro-full.jsonl").exists()


def test_a_state_that_shows_again_counts(tmp_path: Path) -> None:
    findings = found(tmp_path / "f", "refused stop changed query-status", kind="state")
    work(findings, reduces())
    assert findings.unknown == findings.all


def test_a_state_that_shows_again_seldom_does_not(tmp_path: Path) -> None:
    findings = found(tmp_path / "f", "refused stop changed query-status", kind="state")
    work(findings, reduces(shown=2))
    assert findings.unknown == []

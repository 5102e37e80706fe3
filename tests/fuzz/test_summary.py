"""The summary for a person."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from qstress.fuzz.summary import summary_text
from tests.fuzz.test_findings import FOUND


def document(**more: Any) -> dict[str, Any]:
    found = asdict(replace(FOUND, folder="001-x", what="stop", commands=1))
    known = {**found, "title": "known one", "known": "https://example.org"}
    unsure = {**found, "title": "unsure one", "note": "not counted: no replay showed it again", "tried": 0}
    return {
        "guests": 7, "commands": 12345, "elapsed_s": 60.4, "commands_per_s": 1234.5, "reducing_s": 12.0, "corpus": 99,
        "notes": {"the sandbox spoke": 3}, "host_log": {"problem": "", "records": 17, "reports": []},
        "findings": [known, unsure, found],
        "coverage": {"commands": 216, "sent": 215, "accepted": 200, "members": 400, "members_exercised": 390,
                     "missing": {f"c{number}": "not drawn yet" for number in range(16)},
                     "by_command": {"stop": {}, "hmp stop": {}, "hmp (malformed)": {}}},
        **more,
    }  # fmt: skip


def test_everything_is_said() -> None:
    said = summary_text(document(), "runs/x")
    assert "7 guests, 12,345 commands in 60 s (1,234/s while playing; reducing took 12 s)" in said
    assert "reached 215 of 216 QMP commands, 200 with arguments of an accepted shape, 390 of 400 members; 1 HMP" in said
    assert "  not accepted yet: c0: not drawn yet" in said
    assert "  and 4 more, in summary.json" in said
    assert "seen 1x, shown again 5/5, 1 command(s):" in said
    assert "qstress repro runs/x/findings/001-x" in said
    assert "known: https://example.org" in said
    assert "note, 3x: the sandbox spoke" in said
    assert "host kernel log: 0 complaint(s), 17 records" in said
    closed = {"problem": "/dev/kmsg: Permission denied", "records": 0, "reports": []}
    assert "host kernel log not read: /dev/kmsg: Permission" in summary_text(document(host_log=closed), "")


def test_what_counts_comes_first() -> None:
    said = summary_text(document(), "runs/x")
    assert said.index(FOUND.title) < said.index("known one")
    assert said.index(FOUND.title) < said.index("unsure one")


def test_no_finding_is_said_too() -> None:
    assert "findings: 0, none" in summary_text(document(findings=[]), "runs/x")

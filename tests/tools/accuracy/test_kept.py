"""Rows that go into a file and come out again."""

from __future__ import annotations

from pathlib import Path

import pytest

from qstress.model import FindingClass, Outcome, Verdict
from tools.accuracy.kept import append, merged, of_line, to_line
from tools.accuracy.table import HEALTHY, LOST_INIT, Row, table

OK = Verdict(Outcome.OK, "Found 4 cpu(s)")
LOST = Verdict(Outcome.HANG, "lost INIT: CPU#3 never left the reset vector", FindingClass.LOST_INIT)


def rows() -> list[Row]:
    """Two rows with everything that a row can hold."""
    lost, healthy = Row("lost", "smpscan", took_s=3.25), Row("healthy, 8x load", "smpscan", loaded=True)
    lost.add(LOST_INIT, LOST, 0.125)
    lost.add(LOST_INIT, OK, None)
    healthy.add(HEALTHY, LOST, 0.5)
    healthy.add(HEALTHY, OK, None)
    return [lost, healthy]


def test_a_row_comes_back_as_it_went() -> None:
    for row in rows():
        assert of_line(to_line(row, "v1")) == (row, "v1")


def test_lines_of_one_row_add_up(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    for revision in ("v1", "v2"):
        append(path, (to_line(row, revision) for row in rows()))
    together, revisions = merged(path.read_text().splitlines())
    assert revisions == {"v1", "v2"}
    assert [row.name for row in together.values()] == ["lost", "healthy, 8x load"]
    lost, healthy = together.values()
    assert (lost.n, list(lost.detections_s), lost.took_s, lost.loaded) == (4, [0.125, 0.125], 6.5, False)
    assert (healthy.n, healthy.faultless, healthy.alarms, healthy.loaded) == (4, 4, 2, True)
    assert "false alarms, smpscan: 2/4 (4 under 8x load)" in table(together.values())


@pytest.mark.parametrize("text", ["", "{}", "[]", "no", '{"name": "a"}'])
def test_what_is_no_row_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a row|Expecting value"):
        of_line(text)

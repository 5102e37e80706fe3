from __future__ import annotations

from pathlib import Path

import pytest

from qstress.errors import ConfigError
from qstress.recorded.bug_reports import BUG_FILE, printed_bug, write_rates
from qstress.recorded.run import Recorded
from tests.recorded.samples import recorded
from tests.stats.samples import LOST, OK, REPLAYED


@pytest.fixture
def run(tmp_path: Path) -> Recorded:
    """A run with two bugs, of which the first has a report that knows no rate."""
    made = recorded(tmp_path, [(LOST, OK), (OK, REPLAYED)] * 10)
    lost = next(found for found in made.totals.tally.findings if found.finding_class == LOST.finding_class)
    for folder in lost.evidence:
        (made.path / folder / BUG_FILE).write_text("# a\nHow often: not known yet\nend\n")
    return made


def test_each_report_says_how_often_its_bug_was_seen(run: Recorded) -> None:
    write_rates(run)
    said = {path.read_text() for path in run.path.glob(f"evidence/*/{BUG_FILE}")}
    (text,) = said
    assert text.startswith("# a\nHow often: 10/20 (27.1-72.9 %) of boots with ")
    assert text.endswith("\nend\n")
    write_rates(run)
    assert {path.read_text() for path in run.path.glob(f"evidence/*/{BUG_FILE}")} == said


def test_one_bug_is_printed_by_its_number(run: Recorded) -> None:
    assert "How often: 10/20" in printed_bug(run, 1)
    with pytest.raises(ConfigError, match=r"of bug 2 \(.*\) no bug.md was kept"):
        printed_bug(run, 2)
    with pytest.raises(ConfigError, match="--bug 3: this run has 2 bugs"):
        printed_bug(run, 3)

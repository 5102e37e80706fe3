from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from qstress.errors import ConfigError
from qstress.recorded.compare import compare_runs
from tests.recorded.old_runs import RACE, old_runs
from tests.recorded.samples import recorded
from tests.report.html.samples import settings, strata
from tests.stats.samples import LOST, OK


def test_two_runs_are_compared(tmp_path: Path) -> None:
    first = recorded(tmp_path, [(LOST, OK)] * 10, hour=1).path
    second = recorded(tmp_path, [(LOST, OK)] * 20, hour=2).path
    text = compare_runs(first, second, "text", force=False)
    assert "  lost-init: 0/20 (<14.0 %) against 10/10 (>74.1 %)" in text
    assert "not interleaved" in text
    document = json.loads(compare_runs(first, second, "json", force=False))
    assert (document["first"], document["second"]) == (first.name, second.name)


def test_runs_that_are_not_comparable_are_refused_with_every_reason_unless_told_to(tmp_path: Path) -> None:
    first = recorded(tmp_path, [(LOST, OK)], hour=1).path
    other = settings(lanes=2, strata=strata(firmware="smpscan"))
    second = recorded(tmp_path, [(LOST, OK)], other, hour=2).path
    with pytest.raises(ConfigError, match="cannot be compared") as caught:
        compare_runs(first, second, "text", force=False)
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == ["lanes", "tier", "firmware"]
    forced = compare_runs(first, second, "text", force=True)
    assert forced.count("warning: not comparable") == 3
    assert "lost-init: 0/1" in forced


def test_an_old_run_is_compared_with_itself(tmp_path: Path) -> None:
    run = old_runs(tmp_path) / RACE
    text = compare_runs(run, run, "text", force=False)
    assert re.search(r"  lost-init: 0/400 \(<[\d.]+ %\) against 39/400 ", text)

"""The metrics of ``qstress watch``."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from qstress.errors import RigError
from qstress.metrics.watched import write_watch_textfile
from qstress.verdict.outside import GuestState
from tests.dashboards.prom import promtool


def test_every_state_is_there_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "watch.prom"
    write_watch_textfile(path, [GuestState.OK, GuestState.OK, GuestState.HUNG], 3, 1000.5)
    text = path.read_text()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    states = {sample.labels["state"]: sample.value for sample in samples if "state" in sample.labels}
    assert states == {"ok": 2, "booting": 0, "suspect": 0, "hung": 1, "unknown": 0}
    values = {sample.name: sample.value for sample in samples if not sample.labels}
    assert values == {"qstress_watch_hangs_total": 3, "qstress_watch_last_look_timestamp_seconds": 1000.5}
    done = promtool("check", "metrics", stdin=path.read_bytes())
    assert (done.returncode, done.stderr) == (0, "")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RigError, match=r"nowhere/x\.prom"):
        write_watch_textfile(tmp_path / "nowhere" / "x.prom", [], 0, 0.0)

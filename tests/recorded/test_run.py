from __future__ import annotations

import json
from pathlib import Path

import pytest

from qstress.config.settings import LAST_GOOD, Gate
from qstress.errors import ConfigError
from qstress.recorded.reports import summary_of
from qstress.recorded.run import open_recorded
from qstress.stats.compare import Decision
from tests.recorded.old_runs import RACE, old_runs
from tests.recorded.samples import Recording, recorded
from tests.report.html.samples import settings
from tests.stats.samples import LOST, OK


def test_a_run_that_ended_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = recorded(tmp_path / "runs", [(LOST, OK)] * 30)
    assert (run.facts.reason, run.facts.exit_code, run.facts.finished) == ("trials", 0, "2026-01-02T04:00:00+00:00")
    assert (run.facts.folder, run.facts.kvm, run.facts.nested) == (f"runs/{run.facts.run}", "svm", False)
    (comparison,) = run.standing.comparisons
    assert comparison.overall.decision is Decision.BETTER
    assert run.standing.gate is not None
    assert run.standing.gate.passed
    assert run.duration_s >= 0


def test_a_run_that_goes_on_or_was_killed_says_so(tmp_path: Path) -> None:
    run = Recording(tmp_path)
    run.block((LOST, OK))
    now = open_recorded(run.path)
    assert (now.facts.reason, now.facts.finished, now.facts.exit_code) == ("running", None, 5)
    run.killed()
    assert open_recorded(run.path).facts.reason == "killed"


def test_a_resumed_run_does_not_have_the_end_of_its_first_session(tmp_path: Path) -> None:
    run = Recording(tmp_path)
    run.block((LOST, OK))
    run.end(reason="interrupted", exit_code=130)
    assert open_recorded(run.path).facts.exit_code == 130
    run.resume()
    run.killed()
    facts = open_recorded(run.path).facts
    assert (facts.reason, facts.finished, facts.exit_code) == ("killed", None, 5)


def test_the_past_is_that_of_the_runs_beside_it(tmp_path: Path) -> None:
    asked = settings(("only",), gate=Gate("only", None, None, None, LAST_GOOD))
    recorded(tmp_path, [(OK,)] * 40, asked, hour=1)
    run = recorded(tmp_path, [(LOST,)] * 40, asked, hour=2)
    assert run.standing.gate is not None
    assert run.standing.gate.passed is False


@pytest.mark.parametrize("spoil", ["host", "started", "config"])
def test_a_run_that_is_not_described_is_one_clear_line(tmp_path: Path, spoil: str) -> None:
    path = recorded(tmp_path, [(OK, OK)]).path
    described = json.loads((path / "run.json").read_bytes())
    del described[spoil]
    (path / "run.json").write_text(json.dumps(described))
    with pytest.raises(ConfigError, match=r"run\.json") as caught:
        open_recorded(path)
    assert "\n" not in str(caught.value)


def test_a_run_of_format_1_reads_as_when_it_ended(tmp_path: Path) -> None:
    run = open_recorded(old_runs(tmp_path) / RACE)
    said = json.loads((run.path / "summary.json").read_bytes())
    assert said["format"] == 1
    now = json.loads(json.dumps(summary_of(run)))
    for key in ("reason", "exit_code", "started", "finished"):
        assert now[key] == said[key]
    counted = [(cell["build"], cell["outcomes"], cell["classes"]["lost-init"]["count"]) for cell in now["cells"]]
    assert counted == [(c["build"], c["outcomes"], c["classes"]["lost-init"]["count"]) for c in said["cells"]]
    assert now["compare"]["decision"] == said["compare"]["decision"] == "candidate-better"
    assert len(said["findings"]) == 4
    assert [(bug["class"], bug["title"], bug["count"]) for bug in now["findings"]] == [
        ("lost-init", "lost INIT: an AP never left the reset vector while the boot CPU spins", 39),
        ("replayed-init", "replayed INIT: the firmware ran again from the reset vector inside one bring-up", 2),
    ]
    assert sum(cell["count"] for cell in now["findings"][0]["cells"]) == 39

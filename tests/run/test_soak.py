"""A soak without a QEMU: what a run records, how it ends, and how it goes on."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from qstress.config.binary import sha256_of
from qstress.config.kvm import KvmFacts
from qstress.config.settings import Gate, Settings
from qstress.errors import ConfigError, RigError
from qstress.model import FindingClass, Outcome, Trial, Verdict
from qstress.recorded.extend import settings_to_go_on
from qstress.recorded.run import open_recorded
from qstress.run.campaign import Deliver, TrialRunner
from qstress.run.soak import Soak, resume, start
from qstress.store.write import RunStore
from tests.metrics.samples import settings
from tests.samples import build, result

KVM = KvmFacts(usable=False, reason="not in this test")
FOUND = Verdict(Outcome.HANG, "lost INIT", FindingClass.LOST_INIT, "lost-init")


def made(runs: Path, *, trials: int = 4, gate: Gate | None = None, names: Sequence[str] = ("only",)) -> Settings:
    """Settings of builds that are never started."""
    base, _ = settings(
        [replace(build(name), binary="/bin/true", sha256=sha256_of(Path("/bin/true"))) for name in names], gate=gate
    )
    return replace(base, runs_dir=runs, stop_trials=trials, lanes=1, compare=None)


def playing(verdicts: dict[int, Verdict]) -> TrialRunner:
    """A runner whose trials end at once, well unless their number is in *verdicts*."""

    async def runner(trials: Sequence[Trial], lane: int, deliver: Deliver) -> None:
        for trial in trials:
            await anyio.lowlevel.checkpoint()
            verdict = verdicts.get(trial.number)
            done = result(trial, verdict.outcome if verdict else Outcome.OK)
            if not deliver([(replace(done, verdict=verdict or done.verdict), None)]):
                return

    return runner


def soaked(soak: Soak, runner: TrialRunner) -> int:
    soak.campaign.runner = runner
    return anyio.run(soak.run)


def test_a_run_to_its_stop_rule_leaves_its_reports(tmp_path: Path) -> None:
    told: list[int] = []
    with ExitStack() as stack:
        soak = start(made(tmp_path), KVM, stack=stack, on_result=lambda done, place: told.append(done.trial.number))
        assert soaked(soak, playing({})) == 0
        folder = soak.store.path
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["reason"], summary["exit_code"], summary["cells"][0]["outcomes"]["ok"]) == ("trials", 0, 4)
    assert sorted(told) == [0, 1, 2, 3]
    assert {"run.json", "trials.db", "summary.json", "report.html", "junit.xml"} <= {p.name for p in folder.iterdir()}


def test_a_finding_without_a_gate_ends_with_1(tmp_path: Path) -> None:
    with ExitStack() as stack:
        soak = start(made(tmp_path), KVM, stack=stack, on_result=lambda done, place: None)
        assert soaked(soak, playing({2: FOUND})) == 1
        assert "lost-init" in soak.text()


def test_a_host_that_cannot_do_it_ends_with_4_and_says_why(tmp_path: Path) -> None:
    async def broken(trials: Sequence[Trial], lane: int, deliver: Deliver) -> None:
        await anyio.lowlevel.checkpoint()
        raise RigError("the disk is full", reason="disk-full")

    with ExitStack() as stack:
        soak = start(made(tmp_path), KVM, stack=stack, on_result=lambda done, place: None)
        assert soaked(soak, broken) == 4
        assert str(soak.error) == "the disk is full"
        assert json.loads((soak.store.path / "summary.json").read_text())["reason"] == "error"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_trial_under_way_finish(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with ExitStack() as stack:
        soak = start(made(tmp_path), KVM, stack=stack, on_result=lambda done, place: None)

        async def interrupted(trials: Sequence[Trial], lane: int, deliver: Deliver) -> None:
            signal.raise_signal(number)
            while soak.stopped_by is None:
                await anyio.lowlevel.checkpoint()
            assert not deliver([(result(trials[0], Outcome.OK), None)])

        assert soaked(soak, interrupted) == code
        assert json.loads((soak.store.path / "summary.json").read_text())["reason"] == "interrupted"


def test_a_signal_while_the_reports_are_written_takes_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a second Ctrl-C comes when the guests are gone already."""
    write = RunStore.write_summary

    def interrupted(store: RunStore, summary: Mapping[str, object]) -> None:
        signal.raise_signal(signal.SIGINT)
        write(store, summary)

    monkeypatch.setattr(RunStore, "write_summary", interrupted)
    with ExitStack() as stack:
        soak = start(made(tmp_path), KVM, stack=stack, on_result=lambda done, place: None)
        assert soaked(soak, playing({})) == 0
        assert json.loads((soak.store.path / "summary.json").read_text())["reason"] == "trials"
        assert (soak.store.path / "report.html").exists()


def test_an_interrupted_run_goes_on_where_it_was_and_an_open_finding_is_kept_uncounted(tmp_path: Path) -> None:
    config = made(tmp_path, names=("a", "b"), trials=8)

    async def until_the_second_block(trials: Sequence[Trial], lane: int, deliver: Deliver) -> None:
        if trials[0].block < 1:
            await playing({})(trials, lane, deliver)
            return
        found = replace(result(trials[0], Outcome.HANG), verdict=FOUND)
        deliver([(found, None)])
        raise RigError("pulled the plug", reason="disk-full")

    with ExitStack() as stack:
        first = start(config, KVM, stack=stack, on_result=lambda done, place: None)
        assert soaked(first, until_the_second_block) == 4
        folder = first.store.path
    with ExitStack() as stack:
        again = resume(config, KVM, run=folder, stack=stack, on_result=lambda done, place: None)
        assert again.campaign.first_block == 1
        soaked(again, playing({}))
    summary = json.loads((folder / "summary.json").read_text())
    assert [cell["outcomes"]["ok"] for cell in summary["cells"]] == [4, 4]
    assert [cell["outcomes"]["hang"] for cell in summary["cells"]] == [0, 0]
    assert [finding["class"] for finding in summary["findings"]] == ["lost-init"]


def ended(config: Settings) -> Path:
    with ExitStack() as stack:
        soak = start(config, KVM, stack=stack, on_result=lambda done, place: None)
        assert soaked(soak, playing({})) == 0
        return soak.store.path


def test_another_experiment_is_not_resumed_and_what_changed_is_named(tmp_path: Path) -> None:
    folder = ended(made(tmp_path))
    other = replace(made(tmp_path), seed=2, lanes=7, stop_trials=8)
    with ExitStack() as stack, pytest.raises(ConfigError, match="changed since: lanes, seed; stop alone can"):
        resume(other, KVM, run=folder, stack=stack, on_result=lambda done, place: None)


def test_a_run_that_ended_goes_on_with_a_longer_stop_and_its_gate_asks_more(tmp_path: Path) -> None:
    gate = Gate("only", 0.9, None, None)
    folder = ended(made(tmp_path, gate=gate))
    before = open_recorded(folder)
    assert before.standing.gate is not None
    assert "at every look" not in before.standing.gate.lines[0]
    longer = settings_to_go_on(folder, ["stop.trials=10"], {"seed": None, "lanes": "1"})
    with ExitStack() as stack:
        again = resume(longer, KVM, run=folder, stack=stack, on_result=lambda done, place: None)
        assert again.campaign.first_block == 4
        soaked(again, playing({}))
        assert again.standing.gate is not None
        assert "at every look" in again.standing.gate.lines[0]
    after = open_recorded(folder)
    assert (after.settings.stop_trials, after.totals.tally.cells[0].n, after.facts.reason) == (10, 10, "trials")
    assert after.run["extended"] == [{"stop_trials": 4, "stop_duration_s": None, "stop_decided": False}]
    assert after.standing.gate == again.standing.gate


def test_a_run_that_goes_on_as_it_was_is_not_extended(tmp_path: Path) -> None:
    folder = ended(made(tmp_path))
    with ExitStack() as stack:
        again = resume(made(tmp_path), KVM, run=folder, stack=stack, on_result=lambda done, place: None)
        assert soaked(again, playing({})) == 0
    assert "extended" not in open_recorded(folder).run

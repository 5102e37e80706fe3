"""What becomes of each case of a run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from qstress.config.settings import Gate, Settings
from qstress.model import Verdict
from qstress.report.cases import cases
from tests.report.html.samples import everything, settings, shown
from tests.stats.samples import LOST, NEW, OK, OLD, REPLAYED, RIG, UNKNOWN


def ended(asked: Settings, verdicts: Sequence[Sequence[Verdict]], exit_code: int = 0) -> dict[str, str]:
    """How each case of a run ended."""
    run = shown(asked, verdicts, exit_code=exit_code)
    return {f"{case.group} {case.name}": case.end for case in cases(run.facts, run.tally, run.standing)}


def test_a_gate_and_its_cells_pass() -> None:
    assert ended(settings(), [(LOST, OK)] * 40) == {
        "gate better_than": "",
        "cell.unpatched smp 4 pc kvm, info registers -a @ max, T1": "",
        "cell.patched smp 4 pc kvm, info registers -a @ max, T1": "",
    }


@pytest.mark.parametrize(("verdicts", "end"), [([(LOST, OK)], "skipped"), ([(OK, LOST)] * 40, "failure")])
def test_a_rule_fails_or_stays_open_as_the_gate_says(verdicts: list[tuple[Verdict, Verdict]], end: str) -> None:
    assert ended(settings(), verdicts)["gate better_than"] == end


def test_several_rules_are_cases_of_their_own() -> None:
    asked = settings(gate=Gate("patched", 0.5, None, "unpatched", None, 1000))
    found = ended(asked, [(LOST, OK)] * 40)
    assert list(found.values())[:3] == ["", "", "skipped"]
    assert list(found)[:3] == ["gate max_hang_rate", "gate better_than", "gate min_trials"]


def test_without_a_gate_the_comparison_is_a_case() -> None:
    asked = settings(gate=None)
    assert ended(asked, [(LOST, OK)] * 40)["compare patched against unpatched"] == ""
    assert ended(asked, [(LOST, OK)])["compare patched against unpatched"] == "skipped"


@pytest.mark.parametrize(("verdict", "end"), [(OK, ""), (REPLAYED, "failure"), (RIG, "error"), (UNKNOWN, "skipped")])
def test_a_cell_alone_ends_as_its_trials_did(verdict: Verdict, end: str) -> None:
    assert set(ended(settings(("only",)), [(verdict,)] * 3).values()) == {end}


def test_rig_trouble_of_some_trials_is_told_and_fails_nothing() -> None:
    run = shown(settings(("only",)), [(OK,), (RIG,)])
    (case,) = cases(run.facts, run.tally, run.standing)
    assert (case.end, case.seen.splitlines()[1]) == ("", "not counted: 1 rig (qemu-refused)")


def test_a_run_that_the_host_ended_is_an_error() -> None:
    assert ended(settings(), [(LOST, OK)], exit_code=4)["run the host can do it"] == "error"


def test_findings_stand_in_their_cell_with_the_line_that_repeats_them() -> None:
    run = shown(verdicts=[(LOST, OK)] * 3)
    _, unpatched, patched = cases(run.facts, run.tally, run.standing)
    assert "qstress repro runs/" in unpatched.seen
    assert "qstress repro" not in patched.seen


def test_cases_are_known_before_the_first_trial() -> None:
    for asked in (settings(), settings(gate=None), settings(("only",)), everything().settings):
        assert list(ended(asked, [])) == list(ended(asked, [[OK] * len(asked.builds)] * 9))


def test_a_cell_is_one_case_whatever_hosts_ran_it() -> None:
    run = shown(settings(compare=None, gate=None), [(OK, LOST), (OK, OK)], hosts=(OLD, NEW))
    made = [case for case in cases(run.facts, run.tally, run.standing) if case.group.startswith("cell.")]
    before = shown(settings(compare=None, gate=None), [])
    assert [case.name for case in made] == [case.name for case in cases(before.facts, before.tally, before.standing)]
    assert [case.end for case in made] == ["", "failure"]
    assert made[1].seen.startswith("hang or restart 1/2 ")

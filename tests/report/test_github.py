from __future__ import annotations

import re
from dataclasses import replace

from qstress.config.settings import Gate
from qstress.report.github import CELLS_MAX, ERRORS_MAX, error_lines, step_summary
from qstress.report.html.run import Shown
from tests.report.html.samples import everything, settings, shown, strata
from tests.stats.samples import CRASH, LOST, OK, REPLAYED


def lines(run: Shown) -> list[str]:
    return error_lines(run.facts, run.tally, run.standing)


def summary(run: Shown) -> str:
    return step_summary(run.facts, run.tally, run.standing)


def test_a_run_that_passed_has_no_error() -> None:
    assert lines(shown(verdicts=[(LOST, OK)] * 40)) == []


def test_rules_that_did_not_pass_come_first_then_the_findings_of_what_was_tested() -> None:
    asked = settings(gate=Gate("patched", 0.01, None, None))
    found = lines(shown(asked, [(LOST, REPLAYED)] * 3, exit_code=1))
    assert found[0].startswith("::error title=gate max_hang_rate::hang or restart 3/3 (>36.8 %25) in its worst cell")
    assert found[1].startswith(
        "::error title=replayed-init::patched smp 4, seen 3 times: an AP ran the firmware: qstress"
    )
    assert len(found) == 2  # lost-init is the baseline's


def test_a_run_without_a_gate_says_what_its_exit_code_means() -> None:
    found = lines(shown(settings(("only",)), [(CRASH,)], exit_code=1))
    assert found[0] == "::error title=nightly::there are findings"
    assert "QEMU died of SIGSEGV" in found[1]


def test_there_are_at_most_eight_errors() -> None:
    verdicts = [(replace(CRASH, title=f"crash {n}", signature=f"crash:{n}"),) for n in range(20)]
    assert len(lines(shown(settings(("only",)), verdicts, exit_code=1))) == ERRORS_MAX == 8


def test_what_a_guest_said_is_one_line_and_no_command() -> None:
    odd = replace(CRASH, title="a%\r\n::error::b\x1b[31m", signature="x")
    (_, found) = lines(shown(settings(("only",)), [(odd,)], exit_code=1))
    assert "\n" not in found
    assert "a%25  ::error::b [31m" in found
    named = lines(shown(settings(("only",)), facts=replace(shown().facts, name="a:b,c", exit_code=5)))
    assert named[0].startswith("::error title=a%3Ab%2Cc::")


def test_the_summary_is_a_table_of_the_cells() -> None:
    text = summary(shown(verdicts=[(LOST, OK)] * 40))
    assert text.startswith("### qstress nightly: the gate passed\n")
    assert "**patched cures lost-init; brings nothing new** (candidate-better, evidence 10^" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == "| build | cell | hung or restarted | lost-init | not counted |"
    assert len({row.count("|") for row in rows}) == 1
    assert rows[2].startswith("| unpatched | smp 4 pc kvm, info registers -a @ max, T1 | 40/40 (>92.7 %) | 40/40")
    assert "qstress repro runs/" in text


def test_a_large_plan_is_cut() -> None:
    asked = settings(strata=strata(range(1, CELLS_MAX)))
    text = summary(shown(asked))
    assert f"and {2 * (CELLS_MAX - 1) - CELLS_MAX} more cells" in text


def test_names_and_findings_are_no_markdown() -> None:
    run = everything()
    text = summary(replace(run, facts=replace(run.facts, name="a|b_c*")))
    assert "a\\|b\\_c\\*" in text
    assert not re.search(r"(?<!\\)<", re.sub(r"\(<[\d.]+ %\)", "", text))

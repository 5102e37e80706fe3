"""The text summary, whole and in parts."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from qstress.config.settings import Gate
from qstress.model import Accel, CommandCount, FindingClass, Outcome, Smm, SmmWriteback, Verdict
from qstress.report.gate import exit_code, gate
from qstress.report.summary import RunFacts
from qstress.report.text import BUGS_SHOWN, meaning, run_text
from qstress.stats.compare import compare
from qstress.stats.tally import Tally
from tests.stats.samples import (
    CRASH,
    LOST,
    OK,
    REPLAYED,
    RIG,
    UNKNOWN,
    build,
    cells,
    feed,
    feed_runs,
    result,
    verdicts,
)

FACTS = RunFacts("run-1", "runs/run-1", "quick", "then", "now", "decided", 0, {}, 1)
LOST_ONLY = (FindingClass.LOST_INIT,)
PAIR = ("unpatched", "fix-imitated")


def two_builds(accel: Accel = Accel.KVM, share: float = 0.0, smm: Smm = Smm.PRETENDED) -> Tally:
    stock = build(PAIR[0], smm=smm, lost_ap_share=share)
    writeback = SmmWriteback.AS_IS if accel is Accel.TCG else SmmWriteback.RESET_ONLY
    fixed = build(PAIR[1], smm=smm, smm_writeback=writeback)
    return Tally(cells(stock, fixed, accel=accel), [PAIR], LOST_ONLY)


def shown(tally: Tally, **facts: object) -> list[str]:
    found = [compare(tally, *pair, alpha=1e-3) for pair in tally.pairs]
    return run_text(replace(FACTS, **facts), tally, found).splitlines()  # type: ignore[arg-type]


QUICKSTART = """\
gate: fix-imitated: better than unpatched in lost-init: candidate-better; it brings replayed-init, \
2/251 against 0/249 (which may be chance): passed
lost-init: unpatched 31/249 (8.6-17.3 %), fix-imitated 0/251 (<1.2 %): candidate-better, evidence 10^9.1 : 1
  fix-imitated cures lost-init; brings replayed-init, 2/251 against 0/249 (which may be chance)
  replayed-init: unpatched 0/249 (<1.2 %), fix-imitated 2/251 (0.096-2.9 %): undecided: 10^0.2 of 10^3.4 needed \
for worse
note: SMM was pretended: QEMU was told that KVM has SMM (unpatched, fix-imitated); what it writes back is its own \
code's choice
note: fix imitated, no patched QEMU: in fix-imitated the interposer keeps SMM state out of run-time writes
run run-1: 502 trials, ended by: decided
cell: unpatched, smp 4 pc kvm, info registers -a @ every 2ms, T1: lost-init 31/249 (8.6-17.3 %), \
replayed-init 0/249 (<1.2 %); 500 commands/s of 520 asked; boot p50 0.45 s, p99 0.45 s; not counted: 1 rig, 1 unknown
cell: fix-imitated, smp 4 pc kvm, info registers -a @ every 2ms, T1: lost-init 0/251 (<1.2 %), \
replayed-init 2/251 (0.096-2.9 %); 500 commands/s of 520 asked; boot p50 0.45 s, p99 0.45 s
not counted as passed or failed: 1 rig (qemu-refused), 1 unknown
finding: lost-init, unpatched smp 4, seen 31 times: an AP never left its reset vector: \
qstress repro runs/run-1/evidence/14
finding: replayed-init, fix-imitated smp 4, seen 2 times: an AP ran the firmware: \
qstress repro runs/run-1/evidence/247
exit 0: the gate passed
"""


def test_a_comparison_under_kvm() -> None:
    tally = two_builds()
    hammered = CommandCount("info registers -a", 250, hammered_s=0.5, due=260)
    feed(tally, verdicts(31, 248), verdicts(2, 248, REPLAYED), commands=(hammered,), boot_s=0.45)
    feed(tally, [RIG, OK, UNKNOWN], [OK] * 3, rig_reason="qemu-refused")
    found = [compare(tally, *PAIR, alpha=1e-3)]
    judged = gate(tally, found, Gate(PAIR[1], None, LOST_ONLY, PAIR[0]))
    assert run_text(replace(FACTS, exit_code=exit_code(tally, found, judged)), tally, found, judged) == QUICKSTART


ONE_BUILD = """\
stock: hang or restart 3/40 (1.5-20.4 %), other findings 1/40 (0.063-13.2 %)
run run-1: 40 trials, ended by: trials
cell: stock, smp 4 pc kvm, info registers -a @ every 2ms, T1: lost-init 3/40 (1.5-20.4 %), \
replayed-init 0/40 (<7.3 %), crash 1/40 (0.063-13.2 %)
finding: lost-init, stock smp 4, seen 4 times (1 in no rate: block not finished): an AP never left its reset vector: \
qstress repro runs/run-1/evidence/0
finding: crash, stock smp 4, seen once: QEMU died of SIGSEGV: no evidence was kept
exit 1: there are findings
"""


def test_one_build() -> None:
    tally = Tally(cells(build("stock")))
    for number, verdict in enumerate([LOST] * 3 + [OK] * 36):
        tally.add_block([result(tally, 0, verdict, number)], {number: f"evidence/{number}"})
    tally.add_block([result(tally, 0, CRASH)])
    tally.add_finding(LOST, 0, "evidence/99", counted=False)
    facts = replace(FACTS, reason="trials", exit_code=exit_code(tally, (), None))
    assert run_text(facts, tally) == ONE_BUILD


def test_under_tcg_the_first_line_and_the_last_say_what_cannot_occur() -> None:
    tally = two_builds(Accel.TCG, 0.25, Smm.NONE)
    feed(tally, [LOST] * 10, [OK] * 10, injected=True)
    lines = shown(tally)
    assert lines[0].startswith("lost-init: unpatched 10/10 (>74.1 %), ")
    for line in (lines[0], lines[-1]):
        assert line.endswith("(the race itself cannot occur under TCG)")
    assert "note: injected fault: one AP is lost in 25 % of unpatched's trials" in lines
    assert "note: the race itself cannot occur under TCG: every lost-init here was injected" in lines
    assert not any("pretended" in line or "imitated, no" in line for line in lines)


def test_a_lost_init_that_nobody_injected_is_not_called_injected() -> None:
    tally = two_builds(Accel.TCG, 0.25, Smm.NONE)
    feed(tally, [LOST] * 2, [OK] * 2, injected=True)
    feed(tally, [OK], [LOST])
    expected = "yet 1 of 3 lost-init were not injected: look at their evidence"
    assert f"note: the race itself cannot occur under TCG, {expected}" in shown(tally)


def test_under_tcg_without_any_lost_init_nothing_is_said_of_injection() -> None:
    assert "note: the race itself cannot occur under TCG" in shown(two_builds(Accel.TCG, smm=Smm.NONE))


def test_real_smm_and_real_builds_need_no_note() -> None:
    tally = Tally(cells(build("stock", smm=Smm.REAL), build("patched", smm=Smm.REAL)), [("stock", "patched")])
    assert not any(line.startswith("note:") for line in shown(tally))


def test_a_regression_shows_the_evidence_for_it() -> None:
    tally = two_builds()
    feed(tally, [OK] * 40, verdicts(20, 40))
    worse = compare(tally, *PAIR, alpha=1e-3).overall.reached_log10
    assert f"candidate-worse, evidence 10^{int(worse * 10) / 10:.1f} : 1" in shown(tally)[0]


def test_several_candidates_come_first_each_on_its_line() -> None:
    tally = Tally(cells(build("a"), build("b"), build("c")), [("a", "b"), ("a", "c")])
    lines = shown(tally)
    first = [line.partition(":")[0] for line in lines[:5]]
    not_yet = "has not been compared with a yet"
    assert first == ["any finding", "any finding", f"  b {not_yet}", f"  c {not_yet}", "  lost-init"]
    assert (" b 0/0" in lines[0], " c 0/0" in lines[1]) == (True, True)


def test_trials_that_share_a_process_are_said_to() -> None:
    tally = Tally(cells(build(PAIR[0]), build(PAIR[1]), process_trials=4), [PAIR], LOST_ONLY)
    feed_runs(tally, [[LOST, LOST, OK, OK], [OK] * 4] * 3, [[OK] * 4] * 6)
    lines = shown(tally)
    assert lines[0].startswith(
        "lost-init: unpatched 6/24 (4.4-60.6 %), fix-imitated 0/24 (<25.9 %), in 3 of 6 process-runs against 0 of 6 "
        "(dispersion 2.4): undecided: 10^0.5 of 10^3 needed"
    )
    assert any("replayed-init 0/24 (<39.4 %); 6 process-runs, dispersion of findings 2.4" in line for line in lines)


def test_arms_of_unlike_exposure_are_noted() -> None:
    tally = two_builds()
    for _ in range(10):
        many, few = ((CommandCount("info registers -a", sent),) for sent in (700, 300))
        tally.add_block([result(tally, 0, OK, commands=many), result(tally, 1, OK, commands=few)])
    (line,) = [line for line in shown(tally) if "exposed" in line]
    assert line == (
        "note: the candidate was less exposed: fix-imitated had commands per bring-up 300 against 700 "
        "(smp 4 pc kvm, info registers -a @ every 2ms, T1); fewer hangs may mean just that"
    )


def test_many_findings_are_counted_and_titles_cannot_steer_the_terminal() -> None:
    tally = Tally(cells(build("stock")))
    for i in range(BUGS_SHOWN + 3):
        bad = Verdict(Outcome.CRASH, f"died \x1b[2J{i}\n", FindingClass.CRASH, f"crash:{i}")
        tally.add_finding(bad, 0, f"evidence/{i}")
    lines = [line for line in shown(tally) if line.startswith("finding:")]
    assert len(lines) == BUGS_SHOWN + 1
    assert lines[-1] == "finding: and 3 more: see summary.json"
    assert not any("\x1b" in line for line in lines)


def test_no_valid_trial_has_no_percentages() -> None:
    tally = Tally(cells(build("stock")))
    tally.add_block([result(tally, 0, RIG)])
    lines = shown(tally)
    assert lines[0] == "stock: hang or restart 0/0"
    assert "not counted as passed or failed: 1 rig (rig)" in lines
    assert not any("%" in line for line in lines)


@pytest.mark.parametrize(
    ("code", "gated", "compared", "words"),
    [
        (0, True, True, "the gate passed"),
        (0, False, True, "the comparison decided"),
        (0, False, False, "no finding"),
        (1, True, False, "the gate failed"),
        (1, False, False, "there are findings"),
        (4, True, True, "the environment cannot do it; what was found is saved"),
        (5, True, True, "inconclusive: too few valid trials to decide"),
        (130, True, True, "stopped by SIGINT; what was found is saved"),
        (143, True, True, "stopped by SIGTERM; what was found is saved"),
    ],
)
def test_the_exit_codes_meaning(code: int, gated: bool, compared: bool, words: str) -> None:
    assert meaning(code, gated, compared) == words


def test_a_hold_is_said() -> None:
    held = build("unpatched", hold_write_s=0.001, hold_read_s=0.0005)
    (line,) = [line for line in shown(Tally(cells(held))) if "kept APs" in line]
    assert "1 ms before their state was written back and 0.5 ms before their state was read" in line
    assert "tier T2" in line


def test_the_question_that_was_asked_comes_first() -> None:
    tally = Tally(cells(build("a"), build("b")), [("a", "b")], (FindingClass.REPLAYED_INIT,))
    feed(tally, [LOST, REPLAYED, OK, OK] * 10, [OK, OK, REPLAYED, CRASH] * 10)
    lines = shown(tally)
    assert lines[0].startswith("replayed-init: a 10/40")
    assert lines[1].startswith("  b leaves replayed-init, 10/40 against 10/40; ")
    assert [line.split(":")[0] for line in lines[2:4]] == ["  lost-init", "  crash"]
    (cell, _) = [line for line in lines if line.startswith("cell:")]
    assert ", T1: replayed-init 10/40 (12.6-41.2 %), lost-init 10/40" in cell


def test_a_gate_without_a_comparison_has_its_classes_first() -> None:
    tally = Tally(cells(build("stock")), classes=(FindingClass.REPLAYED_INIT,))
    for verdict in (LOST, REPLAYED, OK, OK):
        tally.add_block([result(tally, 0, verdict)])
    assert shown(tally)[0].startswith("stock: replayed-init 1/4 (0.63-80.6 %), hang or restart 2/4 (")


def test_on_a_terminal_the_verdicts_are_coloured() -> None:
    tally = two_builds()
    feed(tally, [LOST] * 20, [OK] * 20)
    found = [compare(tally, *PAIR, alpha=1e-3)]
    judged = gate(tally, found, Gate(PAIR[1], None, LOST_ONLY, PAIR[0]))
    plain = run_text(FACTS, tally, found, judged)
    coloured = run_text(FACTS, tally, found, judged, colour=True)
    lines = coloured.splitlines()
    assert [line[:5] for line in (lines[0], lines[1], lines[-1])] == ["\x1b[32m"] * 3
    assert (
        run_text(replace(FACTS, exit_code=1), tally, found, judged, colour=True).splitlines()[-1].startswith("\x1b[31m")
    )
    undecided = [compare(two_builds(), *PAIR, alpha=1e-3)]
    assert run_text(FACTS, two_builds(), undecided, colour=True).startswith("\x1b[33mlost-init: ")
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain

"""A fuzzing session's finding as a report: it stands alone where a shell can repeat it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qstress.fuzz.exchange import Exchange
from qstress.fuzz.finding_bug import finding_bug
from qstress.fuzz.ops import Await, Send, To
from qstress.fuzz.recording import Recording
from qstress.fuzz.script import repro_sh
from tests.fuzz.test_recording import CAPABILITIES, SAMPLE, STOP

CRASH = replace(SAMPLE, steps=(Exchange("planned", (CAPABILITIES,)), Exchange("qmp", (STOP,))))
FINDING: dict[str, Any] = {"because": ["why"], "shown": 5, "tried": 5, "count": 2, "sure": ""}
RUN = {"host": {"os": "Debian 12"}, "qemu": {"binary": "/usr/bin/qemu", "sha256": "cd" * 32}}


def text(recording: Recording = CRASH, stacks: str = "", **finding: Any) -> str:
    made = {**FINDING, **finding}
    return finding_bug(recording, made, script=repro_sh(recording), stacks=stacks, run=RUN)


def test_it_says_what_is_sent_what_comes_of_it_and_how_often() -> None:
    said = text(stacks="#0  qmp_stop ()")
    assert 'qmp: {"execute": "qmp_capabilities"}\nqmp: {"execute": "stop"}\n' in said
    assert "\nThen: crash: SIGSEGV at stop.\n" in said
    assert "How often: 5/5 (>54.9 %) of replays" in said
    assert "seen 2 time(s) by fuzzing" in said
    assert "- why\n" in said
    assert "not the guest's doing" in said
    assert "#0  qmp_stop ()" in said
    assert "`sh repro.sh /usr/bin/qemu`" in said
    assert "prints the signal" not in said
    assert f"sha256 of /usr/bin/qemu: {'cd' * 32}" in said
    assert "\n/usr/bin/qemu -machine pc\n" in said
    assert "- QEMU's environment has A=b c" in said


def test_another_qemu_has_not_the_sessions_hash() -> None:
    assert "not known" in text(replace(CRASH, binary="/opt/qemu"))


def test_one_that_was_not_tried_again_says_so_and_a_racy_one_how_sure_it_is() -> None:
    assert "it was not tried again yet" in text(tried=0, shown=0)
    assert "; racy: maybe\n" in text(shown=2, sure="racy: maybe")


def test_where_a_shell_is_not_enough_qstress_is_named() -> None:
    said = text(replace(CRASH, kind="state"))
    assert "1. What shows it takes more than a shell to see. So this needs qstress" in said
    assert "repro.sh</summary>" not in said
    assert "limits on memory" not in said


def test_a_guest_that_was_told_to_run_may_be_to_blame() -> None:
    line = Send(To.HMP, b"cont\n", Await.PROMPT, "", "cont")
    assert "not the guest's doing" not in text(replace(CRASH, steps=(*CRASH.steps, Exchange("hmp", (line,)))))


def test_of_a_long_life_the_last_messages_are_shown() -> None:
    many = replace(CRASH, steps=(*CRASH.steps, *[Exchange("qmp", (STOP,))] * 60))
    said = text(many)
    assert "(the last 40 of 62; all are in the script)" in said
    assert said.count('qmp: {"execute": "stop"}') == 40

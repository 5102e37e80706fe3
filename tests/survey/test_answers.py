from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from qstress.survey.answers import Answer, not_tried, row
from qstress.survey.observed import GuestKind, Sending
from tests.survey.samples import RACED, WAITING, seen

BOOTED, STOPPED = GuestKind.BOOTED, GuestKind.STOPPED


@pytest.mark.parametrize(
    ("sendings", "answer"),
    [
        ([seen(WAITING)], Answer.SAFE),
        ([seen(WAITING, 1)], Answer.ONE),
        ([seen(WAITING, 0, 1)], Answer.ALL),
        ([seen(WAITING), seen(WAITING, 3)], Answer.ONE),
        ([seen(WAITING, 1), replace(seen(BOOTED), reset=Counter({1: 1}))], Answer.ONE),
        ([replace(seen(WAITING, 0, 1), reset=Counter({1: 1}))], Answer.RESETS),
        ([Sending(WAITING, read=Counter({2: 1}))], Answer.ONE),
        ([replace(seen(WAITING, 1), accepted=False)], Answer.NOT_TRIED),
        ([], Answer.NOT_TRIED),
    ],
)
def test_the_worst_that_was_seen_is_the_answer(sendings: list[Sending], answer: Answer) -> None:
    assert row("x", "hmp", sendings, {}).answer is answer


def test_states_that_differ_are_told_apart() -> None:
    made = row("x", "hmp", [seen(WAITING), seen(BOOTED), seen(STOPPED, 0, 1)], {})
    assert made.why == "no vCPU (waiting, booted); every vCPU (stopped)"
    assert made.by_state[STOPPED] is Answer.ALL
    assert row("migrate", "qmp", [replace(seen(WAITING, 0, 1), at_cont=2)], {}).why == "every vCPU, at cont"
    assert row("x", "hmp", [seen(WAITING), seen(BOOTED)], {STOPPED: "x: QEMU ended"}).why == (
        "no vCPU; stopped: x: QEMU ended"
    )


def test_a_command_about_the_monitors_own_vcpu_is_told_from_one_that_names_it() -> None:
    follows = [seen(WAITING, 0), seen(WAITING, 1, cpu=1)]
    assert row("info mem", "hmp", follows, {}).why == "the monitor's own vCPU (cpu-index)"
    assert row("info registers 1", "hmp", [seen(WAITING, 1), seen(WAITING, 1, cpu=1)], {}).why == "one vCPU"


def test_a_row_as_json() -> None:
    made = replace(row("x", "hmp", [seen(WAITING, 0), seen(WAITING, 1)], {}), races=RACED)
    assert made.document() == {
        "command": "x", "via": "hmp", "answer": "one", "why": "one vCPU", "sendings": 2, "untried": "",
        "states": {"waiting": "one", "booted": "not-tried", "stopped": "not-tried", "paused": "not-tried"},
        "read": {0: 0.5, 1: 0.5}, "written": {0: 0.5, 1: 0.5}, "smm": True, "window_s": {"p50": 0.001, "p99": 0.001},
        "lost_init": {"k": 3, "n": 200}, "replayed_init": {"k": 1, "n": 200},
        "held_lost_init": {"k": 80, "n": 200}, "held_replayed_init": {"k": 90, "n": 200},
    }  # fmt: skip
    document = not_tried("quit", "qmp", "it ends QEMU").document()
    assert (document["answer"], document["window_s"], document["lost_init"]) == ("not-tried", None, None)

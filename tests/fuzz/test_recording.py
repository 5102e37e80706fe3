"""What a recording sends, and how many commands that is."""

from __future__ import annotations

from dataclasses import replace

from qstress.fuzz.exchange import Exchange
from qstress.fuzz.ops import Await, Close, MeasureFootprint, Open, Send, To
from qstress.fuzz.recording import Recording

CAPABILITIES = Send(To.QMP, b'{"execute": "qmp_capabilities", "id": "r1"}\n', Await.REPLY, "r1", "qmp_capabilities")
STOP = Send(To.QMP, b'{"execute": "stop", "id": "q2"}\n', Await.REPLY, "q2", "stop")
LOOK = Send(To.QMP, b'{"execute": "query-status", "id": "s3"}\n', Await.REPLY, "s3", "query-status")
SAMPLE = Recording(
    "crash: SIGSEGV at stop", "crash", "/usr/bin/qemu", "7.2.22", ("-machine", "pc"), (("A", "b c"),),
    (Exchange("planned", (Open(To.QMP), CAPABILITIES, Open(To.HMP))), Exchange("qmp", (STOP, LOOK)),
     Exchange("corrupt", (Send(To.QMP, b"\xff\n", Await.NOTHING), Close(To.QMP), MeasureFootprint()))),
    "telling", 5.0,
)  # fmt: skip


def test_what_is_sent_does_not_count_the_negotiation_and_our_own_looks() -> None:
    assert [send.data for send in SAMPLE.sends] == [STOP.data, b"\xff\n"]


def test_a_command_that_is_probed_for_growth_counts_once() -> None:
    probe = Exchange("probe-again", tuple(replace(STOP, ident=f"q{number + 9}") for number in range(600)))
    assert SAMPLE.commands == 2
    assert replace(SAMPLE, steps=(*SAMPLE.steps, probe)).commands == 3

"""Silence is named by the command and by what else was silent."""

from __future__ import annotations

from qstress.fuzz.exchange import Stall
from qstress.fuzz.ops import Await, Send, To, WaitExit
from qstress.fuzz.oracles.stall import StallOracle
from tests.fuzz.oracles.samples import Judged, send
from tests.fuzz.samples import reply


def test_a_quit_that_does_not_end_qemu_is_a_stall() -> None:
    (fault,) = Judged(StallOracle).faults([send("quit"), WaitExit(10.0)], [reply("q1", {}), None], "quit", lingers=True)
    assert (fault.kind, fault.suspect) == ("stall", "quit")


def test_stalls_name_the_command_and_the_picture() -> None:
    guest, stop = Judged(StallOracle), send("stop")
    (fault,) = guest.faults([stop], [None], stall=Stall(stop, To.QMP, 10.0, False, False, 0.9, waits=("qemu: x",)))
    assert fault.title == "no reply to stop: the main loop is busy"
    assert fault.because[0].endswith("QEMU has read all that was sent")
    assert fault.because[1:] == ("qemu: x",)
    (unread,) = guest.faults([stop], [None], stall=Stall(stop, To.QMP, 10.0, True, True, 0.0, unread=True))
    assert unread.because[0].endswith("QEMU has not read all that was sent")
    line = Send(To.HMP, b"info status\n", Await.PROMPT, command="info status")
    (fault,) = guest.faults([line], [None], "hmp", stall=Stall(line, To.HMP, 10.0, True, True, 0.0))
    assert fault.title == "no prompt after hmp info status: only this monitor is silent"
    (fault,) = guest.faults([], [], stall=Stall(None, To.HMP, 10.0, True, True, 0.0))
    assert fault.title == "no reply to hmp: connect: only this monitor is silent"


def test_an_answer_is_no_stall() -> None:
    assert Judged(StallOracle).faults([send("stop")], [reply("q1", {})]) == []

"""What comes of ops on a live guest: answers, events, ends, stalls."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import replace

import pytest

from qstress.fuzz.confined_process import ENDING_S
from qstress.fuzz.corrupt import RESET
from qstress.fuzz.executor import _Silence
from qstress.fuzz.ops import Await, Close, Footprint, MeasureFootprint, Op, Open, Result, Send, To, WaitEvent, WaitExit
from qstress.observe import usage
from tests.fuzz.guests import connected, fuzzed_guest, hmp, qmp

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]


def text(result: Result) -> str:
    return result.decode() if isinstance(result, bytes) else ""


def test_every_op_has_its_result_in_order() -> None:
    with fuzzed_guest() as guest:
        executor = connected(guest)
        batch = [qmp("query-status", f"q{number}") for number in range(20)]
        outcome = executor.execute([*batch, MeasureFootprint(), hmp("info status"), qmp("nonsense", "q99")])
        replies = [text(result) for result in outcome.results]
        assert all(f'"id": "q{number}"' in reply for number, reply in enumerate(replies[:20]))
        assert isinstance(outcome.results[20], Footprint)
        assert "VM status: paused" in replies[21]
        assert "CommandNotFound" in replies[22]
        assert (outcome.ended, outcome.stall, outcome.hung_up, outcome.over) == (None, None, False, False)


def test_corrupt_bytes_and_pieces_and_hanging_up_leave_a_monitor_that_works() -> None:
    message = qmp("query-status").data
    cut = [Send(To.QMP, message[:9], Await.NOTHING), Send(To.QMP, message[9:], Await.REPLY, "q1", "query-status")]
    with fuzzed_guest() as guest:
        executor = connected(guest)
        garbage = Send(To.QMP, b'{"execute": "\xed\xa0\x80[[[', Await.NOTHING)
        outcome = executor.execute([garbage, Send(To.QMP, RESET, Await.NOTHING), qmp("query-name", "q2"), *cut])
        assert outcome.results[2]
        assert outcome.results[4]
        assert any(b"JSON parse error" in line for line in outcome.strays)
        unfinished = Send(To.QMP, message[:20], Await.NOTHING)
        again: list[Op] = [unfinished, Close(To.QMP), qmp("query-name", "q3"), Open(To.QMP), qmp("query-name", "q4")]
        outcome = executor.execute(again)
        assert outcome.results[2] is None  # nobody to ask
        assert "CommandNotFound" in text(outcome.results[4])  # a new connection has to negotiate first


def test_events_are_waited_for_unless_nothing_was_begun() -> None:
    with fuzzed_guest() as guest:
        executor = connected(guest)
        outcome = executor.execute([qmp("cont"), WaitEvent("RESUME", 30.0)])
        assert any(b'"RESUME"' in line for line in outcome.strays)
        began_s = time.monotonic()
        executor.execute([qmp("nonsense"), WaitEvent("STOP", 30.0)])
        assert time.monotonic() - began_s < 25.0


def test_an_end_is_told_and_what_was_not_answered_has_no_result() -> None:
    with fuzzed_guest() as guest:
        executor = connected(guest)
        outcome = executor.execute([qmp("quit"), qmp("query-status", "q2"), WaitExit(30.0)])
        assert outcome.results[0]
        assert outcome.ended is not None
        assert outcome.ended.returncode == 0
        assert not outcome.lingers
        assert any(b'"SHUTDOWN"' in line for line in outcome.strays)


def test_a_monitor_that_qemu_hung_up_on_is_told_at_once_while_another_one_is_spoken_to() -> None:
    with fuzzed_guest() as guest:
        executor = connected(guest)
        sock = guest.channels[To.HMP].sock
        assert sock is not None
        sock.shutdown(socket.SHUT_RD)  # what QEMU's end of a closed connection looks like from here
        began_s = time.monotonic()
        outcome = executor.execute([qmp("query-status")])
        assert time.monotonic() - began_s < ENDING_S
        assert outcome.results[0]
        assert (outcome.hung_up, outcome.ended) == (True, None)


def test_a_qemu_that_stays_although_it_should_end_lingers() -> None:
    with fuzzed_guest() as guest:
        assert connected(guest).execute([WaitExit(0.05)]).lingers


def test_a_stopped_qemu_is_a_stall_of_everything() -> None:
    with fuzzed_guest() as guest:
        executor = connected(guest, reply_s=0.3)
        os.kill(guest.qemu_pid, signal.SIGSTOP)
        stall = executor.execute([qmp("query-status"), qmp("query-name", "q2")]).stall
        assert stall is not None
        assert stall.send == qmp("query-status")
        assert stall.picture == "the main loop is blocked"
        assert stall.unread
        assert not any(executor.execute([qmp("query-status", "q3")]).results)  # nothing more is outcome


def test_a_thread_that_always_waits_for_a_core_does_not_excuse_a_silence_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(usage, "run_and_queue_s", lambda pid: (0.0, time.monotonic()))
    silence, deadline_s = _Silence(1, 0.01), time.monotonic() + 10
    assert not silence.too_long
    while not silence.too_long:
        assert time.monotonic() < deadline_s


def test_an_hmp_line_that_never_returns_is_a_stall_of_that_monitor() -> None:
    with fuzzed_guest("-incoming", "defer") as guest:
        executor = connected(guest, reply_s=0.3)
        never = replace(hmp("x"), data=b"info status")  # without its line break there is no prompt
        stall = executor.execute([never]).stall
        assert stall is not None
        assert stall.picture == "only this monitor is silent"
        assert not stall.unread


def test_talking_without_end_is_a_stall_too() -> None:
    with fuzzed_guest() as guest:
        stall = connected(guest).execute([hmp("x /4000000xb 0")]).stall
        assert stall is not None
        assert stall.picture == "it talks without end"


def test_watching_tells_a_late_end() -> None:
    with fuzzed_guest() as guest:
        executor = connected(guest)
        assert executor.linger(0.05).ended is None
        os.kill(guest.qemu_pid, signal.SIGABRT)
        ended = executor.linger(30.0).ended
        assert ended is not None
        assert ended.returncode == -signal.SIGABRT

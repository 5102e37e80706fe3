"""What comes of ops on a live guest: answers, events, ends, stalls."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import replace
from typing import Any

import pytest

from qstress.fuzz.corrupt import RESET
from qstress.fuzz.ops import Await, Close, End, Event, Footprint, Measure, Op, Open, Result, Send, To
from qstress.fuzz.player import _Silence
from qstress.fuzz.rig import ENDING_S
from tests.fuzz.guests import connected, hmp, qmp, rig

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(60)]


def text(result: Result) -> str:
    return result.decode() if isinstance(result, bytes) else ""


def test_every_op_has_its_result_in_order() -> None:
    with rig() as guest:
        player = connected(guest)
        batch = [qmp("query-status", f"q{number}") for number in range(20)]
        played = player.play([*batch, Measure(), hmp("info status"), qmp("nonsense", "q99")])
        replies = [text(result) for result in played.results]
        assert all(f'"id": "q{number}"' in reply for number, reply in enumerate(replies[:20]))
        assert isinstance(played.results[20], Footprint)
        assert "VM status: paused" in replies[21]
        assert "CommandNotFound" in replies[22]
        assert (played.ended, played.stall, played.hung_up, played.over) == (None, None, False, False)


def test_corrupt_bytes_and_pieces_and_hanging_up_leave_a_monitor_that_works() -> None:
    message = qmp("query-status").data
    cut = [Send(To.QMP, message[:9], Await.NOTHING), Send(To.QMP, message[9:], Await.REPLY, "q1", "query-status")]
    with rig() as guest:
        player = connected(guest)
        garbage = Send(To.QMP, b'{"execute": "\xed\xa0\x80[[[', Await.NOTHING)
        played = player.play([garbage, Send(To.QMP, RESET, Await.NOTHING), qmp("query-name", "q2"), *cut])
        assert played.results[2]
        assert played.results[4]
        assert any(b"JSON parse error" in line for line in played.strays)
        unfinished = Send(To.QMP, message[:20], Await.NOTHING)
        again: list[Op] = [unfinished, Close(To.QMP), qmp("query-name", "q3"), Open(To.QMP), qmp("query-name", "q4")]
        played = player.play(again)
        assert played.results[2] is None  # nobody to ask
        assert "CommandNotFound" in text(played.results[4])  # a new connection has to negotiate first


def test_events_are_waited_for_unless_nothing_was_begun() -> None:
    with rig() as guest:
        player = connected(guest)
        played = player.play([qmp("cont"), Event("RESUME", 30.0)])
        assert any(b'"RESUME"' in line for line in played.strays)
        began_s = time.monotonic()
        player.play([qmp("nonsense"), Event("STOP", 30.0)])
        assert time.monotonic() - began_s < 25.0


def test_an_end_is_told_and_what_was_not_answered_has_no_result() -> None:
    with rig() as guest:
        player = connected(guest)
        played = player.play([qmp("quit"), qmp("query-status", "q2"), End(30.0)])
        assert played.results[0]
        assert played.ended is not None
        assert played.ended.returncode == 0
        assert not played.lingers
        assert any(b'"SHUTDOWN"' in line for line in played.strays)


def test_a_monitor_that_qemu_hung_up_on_is_told_at_once_while_another_one_is_spoken_to() -> None:
    with rig() as guest:
        player = connected(guest)
        sock = guest.channels[To.HMP].sock
        assert sock is not None
        sock.shutdown(socket.SHUT_RD)  # what QEMU's end of a closed connection looks like from here
        began_s = time.monotonic()
        played = player.play([qmp("query-status")])
        assert time.monotonic() - began_s < ENDING_S
        assert played.results[0]
        assert (played.hung_up, played.ended) == (True, None)


def test_a_qemu_that_stays_although_it_should_end_lingers() -> None:
    with rig() as guest:
        assert connected(guest).play([End(0.05)]).lingers


def test_a_stopped_qemu_is_a_stall_of_everything() -> None:
    with rig() as guest:
        player = connected(guest, reply_s=0.3)
        os.kill(guest.qemu_pid, signal.SIGSTOP)
        stall = player.play([qmp("query-status"), qmp("query-name", "q2")]).stall
        assert stall is not None
        assert stall.send == qmp("query-status")
        assert stall.picture == "the main loop is blocked"
        assert stall.unread
        assert not any(player.play([qmp("query-status", "q3")]).results)  # nothing more is played


def test_a_thread_that_always_waits_for_a_core_does_not_excuse_a_silence_for_ever() -> None:
    class Spinning:
        def times_s(self) -> tuple[float, float]:
            return 0.0, time.monotonic()

    rig: Any = Spinning()
    silence, deadline_s = _Silence(rig, 0.01), time.monotonic() + 10
    assert not silence.too_long
    while not silence.too_long:
        assert time.monotonic() < deadline_s


def test_an_hmp_line_that_never_returns_is_a_stall_of_that_monitor() -> None:
    with rig("-incoming", "defer") as guest:
        player = connected(guest, reply_s=0.3)
        never = replace(hmp("x"), data=b"info status")  # without its line break there is no prompt
        stall = player.play([never]).stall
        assert stall is not None
        assert stall.picture == "only this monitor is silent"
        assert not stall.unread


def test_talking_without_end_is_a_stall_too() -> None:
    with rig() as guest:
        stall = connected(guest).play([hmp("x /4000000xb 0")]).stall
        assert stall is not None
        assert stall.picture == "it talks without end"


def test_watching_tells_a_late_end() -> None:
    with rig() as guest:
        player = connected(guest)
        assert player.linger(0.05).ended is None
        os.kill(guest.qemu_pid, signal.SIGABRT)
        ended = player.linger(30.0).ended
        assert ended is not None
        assert ended.returncode == -signal.SIGABRT

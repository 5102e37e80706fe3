"""The control monitor against a scripted QEMU; what only a real one does is in tests/live."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketStream

from qstress.errors import RigError
from qstress.guest.qmp import CommandRefused, Control, MonitorClosed, MonitorSilent

VERSION = {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": ""}


class ScriptedQemu:
    """Greets, negotiates, then answers as told: by command name, None for silence."""

    def __init__(self, theirs: socket.socket, answers: dict[str, dict[str, object] | None]) -> None:
        self.theirs, self.answers = theirs, answers
        self.heard: list[str] = []

    async def serve(self) -> None:
        async with await SocketStream.from_socket(self.theirs) as stream:
            await self.say(stream, {"QMP": {"version": VERSION, "capabilities": ["oob"]}})
            text = ""
            while True:
                try:
                    text += (await stream.receive()).decode()  # qemu.qmp ends its messages with no line break
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return
                while text:
                    message, end = json.JSONDecoder().raw_decode(text)
                    text = text[end:].lstrip()
                    if await self._hangs_up(stream, message):
                        return

    async def _hangs_up(self, stream: SocketStream, message: dict[str, object]) -> bool:
        """Answer one command; True when the answer is to hang up."""
        command = str(message.get("execute", message.get("exec-oob")))
        self.heard.append(command)
        answer = self.answers.get(command, {"return": {}})
        if command != "hang-up" and answer is not None:
            await self.say(stream, {**answer, "id": message["id"]} if "id" in message else answer)
        return command == "hang-up"

    async def say(self, stream: SocketStream, message: dict[str, object]) -> None:
        await stream.send(json.dumps(message).encode() + b"\r\n")


@asynccontextmanager
async def control(
    answers: dict[str, dict[str, object] | None] | None = None, *, lazy: bool = False
) -> AsyncIterator[tuple[Control, list[str], list[object]]]:
    ours, theirs = socket.socketpair()
    events: list[object] = []
    qemu, made = ScriptedQemu(theirs, answers or {}), Control(lambda event: events.append(event["event"]), lazy=lazy)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(qemu.serve)
        await made.connect(ours, timeout_s=10)
        yield made, qemu.heard, events
        await made.close()
        tasks.cancel_scope.cancel()
    theirs.close()


async def test_a_command_returns_what_qemu_returned() -> None:
    async with control({"query-status": {"return": {"running": True}}}) as (made, heard, _):
        assert await made.execute("query-status", timeout_s=10) == {"running": True}
        assert await made.hmp("info status", timeout_s=10) == "{}"
        assert heard == ["qmp_capabilities", "query-status", "human-monitor-command"]


async def test_a_lazy_one_negotiates_with_the_first_command_and_no_sooner() -> None:
    async with control(lazy=True) as (made, heard, _):
        assert heard == []
        for _ in range(2):
            await made.execute("x", timeout_s=10)
        assert heard == ["qmp_capabilities", "x", "x"]


async def test_a_refusal_carries_qemus_words() -> None:
    refusal: dict[str, object] = {"error": {"class": "GenericError", "desc": "no such thing"}}
    async with control({"x": refusal}) as (made, _, _):
        with pytest.raises(CommandRefused, match="no such thing"):
            await made.execute("x", timeout_s=10)


async def test_silence_is_unknown_and_the_session_lives_on() -> None:
    async with control({"x": None}) as (made, _, _):
        with pytest.raises(MonitorSilent):
            await made.execute("x", timeout_s=0.05)
        assert await made.execute("y", timeout_s=10) == {}


async def test_a_monitor_that_hangs_up_is_closed_for_good() -> None:
    async with control() as (made, _, _):
        for _ in range(2):
            with pytest.raises(MonitorClosed):
                await made.execute("hang-up", timeout_s=10)


async def test_a_qemu_that_never_greets_is_a_rig_error_and_cancelling_leaves_no_mess() -> None:
    ours, theirs = socket.socketpair()
    with pytest.raises(RigError, match="did not open its monitor"):
        await Control(lambda event: None).connect(ours, timeout_s=0.05)
    ours.close()
    theirs.close()
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(RigError, match="closed its monitor"):
        await Control(lambda event: None).connect(ours, timeout_s=10)
    ours.close()


async def test_a_qemu_that_ends_right_after_its_greeting_is_a_rig_error_or_a_closed_monitor() -> None:
    """Without negotiation the library asserts that it still runs (qemu.qmp 0.0.6, protocol.py, ``connect``)."""
    ours, theirs = socket.socketpair()
    theirs.sendall(json.dumps({"QMP": {"version": VERSION, "capabilities": ["oob"]}}).encode() + b"\r\n")
    theirs.close()
    control = Control(lambda event: None, lazy=True)
    with pytest.raises((RigError, MonitorClosed)):  # noqa: PT012
        await control.connect(ours, timeout_s=60)
        await control.execute("query-status", timeout_s=60)
    await control.close()


async def test_events_are_handed_on_and_not_kept_by_the_library() -> None:
    ours, theirs = socket.socketpair()
    events: list[object] = []
    made = Control(lambda event: events.append(event["event"]))
    qemu = ScriptedQemu(theirs, {})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(qemu.serve)
        await made.connect(ours, timeout_s=10)
        for _ in range(100):
            theirs.send(
                b'{"event": "RESET", "data": {"guest": true}, "timestamp": {"seconds": 1, "microseconds": 2}}\r\n'
            )
        await made.execute("x", timeout_s=10)
        assert events == ["RESET"] * 100
        assert made._client.events.empty()
        assert not made._client.events.history
        await made.close()
        tasks.cancel_scope.cancel()


async def test_an_event_that_it_is_deaf_to_costs_nothing_and_others_and_replies_come_through() -> None:
    ours, theirs = socket.socketpair()
    events: list[object] = []
    made = Control(lambda event: events.append(event["event"]), deaf_to="RESET")
    qemu = ScriptedQemu(theirs, {"query-status": {"return": {"running": True}}})
    when = b'"timestamp": {"seconds": 1, "microseconds": 2}'
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(qemu.serve)
        await made.connect(ours, timeout_s=10)
        for _ in range(3):
            for _ in range(100):
                theirs.send(b"{" + when + b', "event": "RESET", "data": {"guest": true}}\r\n')
            theirs.send(b"{" + when + b', "event": "STOP"}\r\n')
            assert await made.execute("query-status", timeout_s=10) == {"running": True}
        assert events == ["STOP"] * 3
        await made.close()
        tasks.cancel_scope.cancel()

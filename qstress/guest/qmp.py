"""The control monitor: ``qemu.qmp`` behind a small face that hides its traps.

Measured with qemu.qmp 0.0.6 (docs/architecture.md, "qemu.qmp behind a small face"): an AnyIO cancellation that reaches
``connect()`` or ``disconnect()`` leaves it DISCONNECTING, so both run shielded under ``asyncio.timeout``; cancelling
``execute()`` does not cancel the command, so a timeout means *unknown*; ``disconnect()`` from a stopped QEMU never
returns, so the caller kills first; its default listener keeps every event for ever, so here a filter consumes them; it
pretty-prints every message for a debug log, so those hooks are bypassed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping

import anyio
from qemu.qmp import ConnectError, ExecInterruptedError, ExecuteError, Message, QMPClient, QMPError

from qstress.errors import GuestError, RigError

# qemu.qmp logs every failure that we expect and handle at ERROR.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)


class CommandRefused(GuestError):
    """QEMU answered with an error."""


class MonitorSilent(GuestError):
    """No answer in time: whether the command was carried out is unknown."""


class MonitorClosed(GuestError):
    """The monitor's connection is gone: QEMU ended, or closed it."""


class _Client(QMPClient):
    deaf_to = b"\0"  # no message holds it

    def _cb_inbound(self, msg: Message) -> Message:
        return msg

    def _cb_outbound(self, msg: Message) -> Message:
        return msg

    async def _do_recv(self) -> Message:
        while self.deaf_to in (line := await self._readline()):
            pass
        return Message(line, eager=True)


class Control:
    """One guest's control monitor. *on_event* is called with each QMP event as a plain dictionary, except those named
    *deaf_to*, which are thrown away unread: a guest that resets itself a thousand times a second says so each time.

    *lazy* negotiates with the first command, not before: until then QEMU has no event to write (to make and write 1,100
    a second cost it 5 % of its bring-ups), and there is nothing that would wake us.
    """

    def __init__(self, on_event: Callable[[dict[str, object]], None], *, deaf_to: str = "", lazy: bool = False) -> None:
        self._client = _Client("qstress")
        self._client.negotiate = not lazy
        if deaf_to:
            self._client.deaf_to = f'"event": "{deaf_to}"'.encode()

        def consume(event: Message) -> bool:
            on_event(dict(event))
            return False  # not kept by the library

        self._client.events.event_filter = consume

    async def connect(self, connection: socket.socket, *, timeout_s: float) -> None:
        """Take over *connection*, read the greeting, negotiate (with out-of-band execution) unless that can wait.

        :raises RigError: QEMU does not greet within *timeout_s*, hangs up, or is not QEMU.
        """
        with anyio.CancelScope(shield=True):
            try:
                async with asyncio.timeout(timeout_s):
                    await self._client.connect(connection)
            except TimeoutError as error:
                raise RigError(f"QEMU did not open its monitor within {timeout_s:g} s", reason="no-monitor") from error
            except (ConnectError, OSError, EOFError, AssertionError) as error:  # it asserts that QEMU is still there
                raise RigError(f"QEMU closed its monitor before greeting: {error}", reason="qemu-start") from error

    async def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, *, timeout_s: float, oob: bool = False
    ) -> object:
        """Run one command and return its ``return`` value.

        :raises CommandRefused: QEMU's error; its text is QEMU's.
        :raises MonitorSilent: no reply within *timeout_s*.
        :raises MonitorClosed: the connection is or becomes unusable.
        """
        try:
            async with asyncio.timeout(timeout_s):
                if not self._client.negotiate:
                    self._client.negotiate = True
                    await self._client.execute("qmp_capabilities", {"enable": ["oob"]})
                return await self._client.execute(command, dict(arguments) if arguments else None, oob=oob)
        except TimeoutError as error:
            raise MonitorSilent(f"{command}: no reply within {timeout_s:g} s") from error
        except ExecuteError as error:
            raise CommandRefused(f"{command}: {error}") from error
        except (ExecInterruptedError, QMPError, OSError, EOFError) as error:
            raise MonitorClosed(f"{command}: {error}") from error

    async def hmp(self, line: str, *, timeout_s: float) -> str:
        """Run one HMP line and return its text (errors of HMP are text too, not exceptions)."""
        reply = await self.execute("human-monitor-command", {"command-line": line}, timeout_s=timeout_s)
        return str(reply)

    async def close(self, *, timeout_s: float = 2.0) -> None:
        """Disconnect; call it only when QEMU is dead or answers. Bounded, never raises."""
        with anyio.CancelScope(shield=True):
            try:
                async with asyncio.timeout(timeout_s):
                    await self._client.disconnect()
            except (TimeoutError, QMPError, OSError, EOFError, ValueError):
                pass  # the reason the session ended; whoever cared has seen it in execute()

"""QEMU's gdb stub, as far as a fault needs it: run some vCPUs and not others, stop at an address, move a vCPU.

A vCPU that is left out keeps its thread and its registers, takes no INIT and no SIPI, and answers the monitor: the
picture of a lost INIT, in any round of any firmware, without touching guest or QEMU. ``cont`` of the monitor (after
``stop``) would run all of them again.

Source: QEMU 7.2.22, gdbstub/gdbstub.c (``gdb_continue_partial``: a vCPU that ``vCont`` does not name is not resumed);
GDB, "Remote Protocol"; threads are ``p1.N`` for vCPU N-1. Registers can be written only after the target's description
was read (docs/background/guests.md, "Injecting faults without KVM").
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable

import anyio

from qstress.errors import GuestError

#: x86-64 register numbers of QEMU's target description.
RIP, CS = 0x10, 0x12
_PACKET = re.compile(rb"\$([^#]*)#[0-9a-f]{2}")
_INTERRUPT = b"\x03"


class Gdb:
    """The stub behind *connection*, our end of a socket pair; every method takes its ``timeout_s`` from the first."""

    def __init__(self, connection: socket.socket, smp: int, *, timeout_s: float) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._smp = smp
        self._timeout_s = timeout_s
        self._heard = b""

    async def attach(self) -> None:
        """Greet; the guest stays stopped.

        :raises GuestError: no answer, or one that is no gdb stub's.
        """
        await self._ask(b"qSupported:multiprocess+;vContSupported+")
        await self._ask(b"qXfer:features:read:target.xml:0,ffb")  # else it refuses to write registers
        await self._ask(b"?")

    async def resume(self, *, without: Iterable[int] = ()) -> None:
        """Let all vCPUs run but those in *without*. There is no answer until something stops them.

        :raises GuestError: the connection is gone.
        """
        left_out = set(without)
        run = [f";c:p1.{index + 1:x}" for index in range(self._smp) if index not in left_out]
        await self._send(b"vCont" + "".join(run).encode())

    async def stop(self) -> None:
        """Stop all vCPUs.

        :raises GuestError: no answer, or the connection is gone.
        """
        await self._write(_INTERRUPT)
        await self.stopped()

    async def stopped(self) -> int:
        """Wait until the guest is stopped, and return which vCPU stopped it.

        :raises GuestError: that does not happen in time, or the connection is gone.
        """
        reply = await self._packet()
        thread = re.match(rb"T[0-9a-f]{2}thread:p0*1\.0*([0-9a-f]+);", reply)
        if thread is None:
            raise GuestError(f"the gdb stub does not say which vCPU stopped: {reply[:60]!r}")
        return int(thread[1], 16) - 1

    async def step(self, index: int) -> None:
        """Have vCPU *index* run one instruction, and no other any.

        :raises GuestError: no answer, or the connection is gone.
        """
        await self._send(f"vCont;s:p1.{index + 1:x}".encode())
        await self.stopped()

    async def set_breakpoint(self, address: int, *, on: bool) -> None:
        """Set or remove the breakpoint at the linear *address*.

        :raises GuestError: it is refused, or the connection is gone.
        """
        await self._done(f"{'Z' if on else 'z'}0,{address:x},1".encode())

    async def move_to_reset_vector(self, index: int) -> None:
        """Have vCPU *index* go on at f000:fff0, whose base is then 000f0000: the same bytes as at ffff0000.

        :raises GuestError: it is refused, or the connection is gone.
        """
        await self._done(f"Hgp1.{index + 1:x}".encode())
        await self._done(f"P{RIP:x}={0xFFF0.to_bytes(8, 'little').hex()}".encode())
        await self._done(f"P{CS:x}={0xF000.to_bytes(4, 'little').hex()}".encode())

    async def _done(self, command: bytes) -> None:
        reply = await self._ask(command)
        if reply != b"OK":
            raise GuestError(f"the gdb stub refuses {command.decode()}: {reply[:60]!r}")

    async def _ask(self, command: bytes) -> bytes:
        await self._send(command)
        return await self._packet()

    async def _send(self, command: bytes) -> None:
        await self._write(b"$%s#%02x" % (command, sum(command) & 0xFF))

    async def _packet(self) -> bytes:
        """Return the next packet's content, acknowledged."""
        while (packet := _PACKET.search(self._heard)) is None:
            self._heard += await self._read()
        self._heard = self._heard[packet.end() :]
        await self._write(b"+")
        return packet[1]

    async def _write(self, data: bytes) -> None:
        try:
            with anyio.fail_after(self._timeout_s):
                while data:
                    await anyio.wait_writable(self._connection)
                    data = data[self._connection.send(data) :]
        except (TimeoutError, OSError) as error:
            raise GuestError(f"the gdb stub takes nothing: {error!r}") from error

    async def _read(self) -> bytes:
        try:
            with anyio.fail_after(self._timeout_s):
                await anyio.wait_readable(self._connection)
                data = self._connection.recv(4096)
        except (TimeoutError, OSError) as error:
            raise GuestError(f"the gdb stub does not answer: {error!r}") from error
        if not data:
            raise GuestError("the gdb stub has hung up")
        return data

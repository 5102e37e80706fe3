"""A live guest: started paused, everything connected, handed out, and gone when the block is left.

Ending is a ladder that always finishes: ``quit`` where the monitor answers, TERM, KILL. Nothing is left on the host in
any case: there are no paths (see :mod:`qstress.guest.argv`), and QEMU dies with us.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import anyio

from qstress.distribution import refusal_hint
from qstress.errors import GuestError, RigError
from qstress.firmware import firmware_of
from qstress.guest.argv import connection_arguments, guest_arguments
from qstress.guest.console import Console
from qstress.guest.gdb import Gdb
from qstress.guest.process import Process
from qstress.guest.qmp import Control
from qstress.guest.wire import Wire
from qstress.model import Build, Shape

#: How long QEMU may take from its start to a greeting on every monitor. Generous: a loaded host is not a fault.
START_TIMEOUT_S = 60.0
#: How often a busy console is looked at: at once it costs a wake-up a chunk, 70 a boot under TCG, 2,000 under KVM.
CONSOLE_EVERY_S = 0.001
#: The same for a guest that resets itself hundreds of times a second, which one that settles first does not; and where
#: nothing hammers it, so that nobody else wakes us either.
SERIES_EVERY_S, ALONE_EVERY_S = 0.01, 0.03


@dataclass(slots=True)
class Guest:
    """One live QEMU. ``wires`` has as many connected hammer monitors as asked for; ``paused``: it waits to be told to
    run; ``resets`` counts those that nobody asked for, until we ask for one; ``gdb``: its stub, where a fault needs it.
    """

    build: Build
    shape: Shape
    argv: tuple[str, ...]
    process: Process
    control: Control
    console: Console
    wires: list[Wire]
    paused: bool = True
    events: list[dict[str, object]] = field(default_factory=list)
    resets: int = 0
    counts_resets: bool = True
    panicked: bool = False
    gdb: Gdb | None = None

    async def cont(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Let the guest run.

        :raises GuestError: QEMU refuses, does not answer, or ends at that moment.
        """
        await self.control.execute("cont", timeout_s=timeout_s)
        self.paused = False

    async def stop_for_reset(self, *, timeout_s: float) -> None:
        """Stop the guest before it is reset in place; its console begins anew, whatever becomes of that.

        What it still says then belongs to the last boot. Without that an AP that has once entered the firmware at the
        reset vector did so again after the guest's own reset, up to 60 times in a row (7.2 under KVM: 120 to 200 such
        series in 3,000 bring-ups), and with it twice or three times at most.

        :raises GuestError: QEMU refuses, does not answer, or ends at that moment.
        """
        try:
            await self.control.execute("stop", timeout_s=timeout_s)
        finally:
            self.console.restart(firmware_of(self.shape).reader(self.shape, self.console.log))
            self.events.clear()
            self.resets, self.counts_resets = 0, False

    async def reset(self, *, timeout_s: float) -> None:
        """Reset a stopped guest and let it run. SeaBIOS then resets itself once or twice before its banner, so only its
        console tells of further restarts.

        :raises GuestError: QEMU refuses, does not answer, or ends at that moment.
        """
        await self.control.execute("system_reset", timeout_s=timeout_s)
        await self.control.execute("cont", timeout_s=timeout_s)

    async def vcpu_threads(self, *, timeout_s: float) -> dict[int, int]:
        """Return thread id by vCPU index; disturbs no vCPU (``query-cpus-fast``)."""
        reply = await self.control.execute("query-cpus-fast", timeout_s=timeout_s)
        assert isinstance(reply, list)
        return {int(cpu["cpu-index"]): int(cpu["thread-id"]) for cpu in reply}

    async def end(self, *, polite: bool = True, grace_s: float = 2.0) -> None:
        """End QEMU for certain: ``quit``, TERM, KILL; at once with KILL unless *polite*.

        Be polite only when no monitor command is in flight: QEMU 7.2.22 that is told to quit or terminated while one
        is may wait in ``monitor_cleanup()`` for ever (106 of 780 guests ended so under TCG, hammered).
        """
        if polite and self.process.returncode is None:
            try:
                await self.control.execute("quit", timeout_s=grace_s)
                with anyio.move_on_after(grace_s):
                    await self.process.exited.wait()
            except GuestError:
                pass  # it does not answer: the next rungs do not need its help
        if not self.process.exited.is_set():
            await self.process.end(grace_s=grace_s if polite else None)


@asynccontextmanager
async def live_guest(
    build: Build,
    shape: Shape,
    *,
    monitors: int = 0,
    env: Mapping[str, str],
    sandbox: bool = True,
    lost_every: int = 0,
    on_change: Callable[[], None],
    pass_fds: Sequence[int] = (),
) -> AsyncIterator[Guest]:
    """Start a guest and connect to it; when the block is left it is dead and reaped.

    It starts paused, so that nothing of its boot is missed, unless ``observe: none``, where it starts as production's
    do, or it resets itself all the time and nothing hammers it: its console misses nothing, and its control monitor is
    left alone until somebody asks it something.

    :param monitors: how many hammers need a monitor of their own.
    :param lost_every: every n-th bring-up loses one AP by injection; 0: none. Where the firmware cannot lose one by
        itself (:mod:`qstress.trial.inject`) it is 1 at most.
    :param on_change: called when the boot reached a milestone, an event came, a monitor was lost or QEMU ended; it must
        not block.
    :raises RigError: QEMU cannot be started, refuses its arguments or does not greet; carries QEMU's own words.
        It and what the block raises come out in an ``ExceptionGroup``.
    """
    alone, every_s = _pace(shape, monitors)
    with ExitStack() as stack:
        streams = firmware_of(shape).streams if shape.observe == "console" else ()
        console = stack.enter_context(closing(Console(firmware_of(shape).reader(shape, None), on_change, streams)))
        paused = bool(streams) and not alone
        debugged = lost_every > 0 and firmware_of(shape).by_gdb(build.fault)
        pairs = [socket.socketpair() for _ in range(1 + monitors + debugged)]
        for end in chain.from_iterable(pairs):
            stack.enter_context(end)
        fds = [theirs.fileno() for _, theirs in pairs]
        argv = _guest_arguments(build, shape, lost_every)
        connections = connection_arguments(fds, console.write_fds, debugged=debugged, sandbox=sandbox, paused=paused)
        fds += [*console.write_fds.values(), *pass_fds]
        process = stack.enter_context(Process((*argv, *connections), env={**os.environ, **env}, pass_fds=fds))
        _hand_over(pairs)
        console.close_write_ends()
        guest = _assemble(build, shape, argv, process, console, on_change, lazy=alone)
        guest.paused, guest.gdb = (
            paused,
            Gdb(pairs.pop()[0], shape.smp, timeout_s=START_TIMEOUT_S) if debugged else None,
        )
        async with AsyncExitStack() as astack, anyio.create_task_group() as tasks:
            tasks.start_soon(_watch, process, on_change)
            tasks.start_soon(partial(console.pump, coalesce_s=every_s))
            astack.push_async_callback(guest.control.close)
            try:
                await _connect(guest, pairs)
                yield guest
            finally:
                with anyio.CancelScope(shield=True):
                    for wire in guest.wires:
                        wire.close()
                    await guest.end(polite=False)
                    console.drain()
                tasks.cancel_scope.cancel()


def _pace(shape: Shape, monitors: int) -> tuple[bool, float]:
    """Return whether a guest resets itself all the time with nothing hammering it, and how often its console is looked
    at, in seconds."""
    quick = firmware_of(shape).in_series(shape) and not shape.settle_s
    alone = quick and not monitors
    return alone, ALONE_EVERY_S if alone else SERIES_EVERY_S if quick else CONSOLE_EVERY_S


def _hand_over(pairs: Sequence[tuple[socket.socket, socket.socket]]) -> None:
    """Close QEMU's ends of *pairs*, which it has by now."""
    for _, theirs in pairs:
        theirs.close()


def _guest_arguments(build: Build, shape: Shape, lost_every: int) -> tuple[str, ...]:
    """Return what defines a guest that loses an AP as *lost_every* says, by its firmware or by a vCPU left out."""
    firmware = firmware_of(shape)
    ours = 0 if firmware.by_gdb(build.fault) else lost_every
    lost_ap = ours > 0 and not firmware.loses_aps_itself
    return guest_arguments(build, shape, firmware=firmware.arguments(shape, ours), lost_ap=lost_ap)


def _assemble(
    build: Build, shape: Shape, argv: tuple[str, ...], process: Process, console: Console,
    on_change: Callable[[], None], *, lazy: bool,
) -> Guest:  # fmt: skip
    def on_event(event: dict[str, object]) -> None:
        if len(guest.events) < 256:
            guest.events.append(event)
        if event.get("event") == "RESET":
            guest.resets += guest.counts_resets
        guest.panicked |= event.get("event") == "GUEST_PANICKED"
        on_change()

    control = Control(on_event, deaf_to="RESET" if firmware_of(shape).in_series(shape) else "", lazy=lazy)
    guest = Guest(build, shape, argv, process, control, console, [])
    return guest


async def _watch(process: Process, on_change: Callable[[], None]) -> None:
    await process.watch()
    on_change()


async def _connect(guest: Guest, pairs: Sequence[tuple[socket.socket, socket.socket]]) -> None:
    try:
        await guest.control.connect(pairs[0][0], timeout_s=START_TIMEOUT_S)
        for ours, _ in pairs[1:]:
            guest.wires.append(await Wire.connect(ours, timeout_s=START_TIMEOUT_S))
    except RigError as error:
        with anyio.move_on_after(1.0):
            await guest.process.exited.wait()  # it hung up: its last words may still be on their way
        status = guest.process.returncode
        ended = "it is still running" if status is None else f"it ended with status {status}"
        said = _last_words(guest.process.said())
        raise RigError(f"{guest.build.binary}: {error}; {ended}{said}", reason=error.reason) from error


def _last_words(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and "warning:" not in line]
    if not lines:
        return ""
    said = " | ".join(lines[-3:])
    machine = "; guest.machine names one of them" if "unsupported machine type" in said else ""
    return f": {said}{machine}{refusal_hint(said)}"

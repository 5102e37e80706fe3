"""Guests that send INITs all the time, and what becomes of one: it goes on, it hangs, an AP is replayed."""

from __future__ import annotations

import random
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import anyio

from qstress.errors import RigError
from qstress.firmware.rom import find_rom
from qstress.firmware.smpscan import SmpscanOptions, option_arguments
from qstress.guest.live import Guest, live_guest
from qstress.hammer.drive import Hammer
from qstress.host.sandbox import has_sandbox
from qstress.interposer.build import environment
from qstress.model import Accel, Build, HammerSpec, Rate, Shape

HAMMER = HammerSpec("info registers -a", "hmp", Rate(None, "max"))
#: One broadcast of INIT and SIPI after another. A guest's TSC goes on while it is stopped, so its own deadline is put
#: out of the way: whether it goes on is seen from outside.
_ROUNDS = option_arguments(SmpscanOptions(deadline_us=100_000_000, rounds=(1 << 32) - 1))
MONITOR_S = 60.0
_has_sandbox = cache(has_sandbox)
OK, HUNG, REPLAYED, LOST = "ok", "hung", "replayed", "lost"


@dataclass(slots=True)
class Heard:
    """What a ROM's console has said: rounds that ended, bring-ups that began, APs at the reset vector, lost INITs, and
    APs that never entered SMM."""

    rounds: int = 0
    begun: int = 0
    replayed: int = 0
    lost: int = 0
    without_smm: int = 0
    news: anyio.Event = field(default_factory=anyio.Event)

    def feed(self, data: bytes) -> None:
        """Take in what was printed by smpscan (bytes from 0x80 on: an AP at the reset vector) or by ``latched``."""
        self.rounds += data.count(b".") + data.count(b")")
        self.begun += data.count(b"(")
        self.replayed += data.count(b"R") + sum(byte >= 0x80 for byte in data)
        self.lost += data.count(b"L")
        self.without_smm += data.count(b"S")
        self.news.set()
        self.news = anyio.Event()

    async def more(self, rounds: int, patience_s: float) -> str:
        """Wait for so many more rounds and return what became of them; HUNG when none of them came for *patience_s*."""
        wanted = self.rounds + self.lost + self.without_smm + rounds
        replayed, lost = self.replayed, self.lost
        while (ended := self.rounds + self.lost + self.without_smm) < wanted:
            with anyio.move_on_after(patience_s) as scope:
                while self.rounds + self.lost + self.without_smm == ended:
                    await self.news.wait()
            if scope.cancelled_caught:
                return REPLAYED if self.replayed > replayed else HUNG
        return LOST if self.lost > lost else REPLAYED if self.replayed > replayed else OK


@dataclass(frozen=True, slots=True)
class Lab:
    """One build at work. *scratch* is a folder for state that goes from one QEMU to another."""

    build: Build
    scratch: Path
    patience_s: float
    rng: random.Random

    @asynccontextmanager
    async def guest(
        self, machine: str = "pc", smp: int = 4, *, rom: str = "", args: tuple[str, ...] = (), hammered: bool = False,
    ) -> AsyncIterator[tuple[Guest, Heard]]:  # fmt: skip
        """A paused guest that runs *rom*; "": smpscan, one round after another without end."""
        firmware, options = rom or str(find_rom("smpscan")), () if rom else _ROUNDS
        shape = Shape(smp, machine, Accel.KVM, 32 << 20, firmware, (*options, *args))
        heard, env, sandbox = Heard(), environment(self.build), _has_sandbox(self.build)
        async with live_guest(self.build, shape, monitors=1, env=env, sandbox=sandbox, on_change=lambda: None) as guest:
            if firmware.startswith("/"):
                guest.console.listen(lambda data, _stream: heard.feed(data))
            async with anyio.create_task_group() as tasks:
                if hammered:
                    hammer = Hammer(HAMMER, 1, lambda reply, at_s: None, smp=smp)
                    hammer.attach(guest.wires[0])
                    tasks.start_soon(hammer.run)
                yield guest, heard
                tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def running(
        self, machine: str = "pc", smp: int = 4, *, args: tuple[str, ...] = (), hammered: bool = False
    ) -> AsyncIterator[tuple[Guest, Heard]]:
        """A guest under way, with some rounds behind it."""
        async with self.guest(machine, smp, args=args, hammered=hammered) as (guest, heard):
            await guest.cont()
            if await heard.more(20, MONITOR_S) == HUNG:
                raise RigError("smpscan did not come up", reason="regressions")
            yield guest, heard

    async def some_time(self) -> None:
        """Let the guest run on, so that what follows meets it anywhere."""
        await anyio.sleep(self.rng.uniform(0.001, 0.02))


async def saved(guest: Guest, command: str) -> None:
    """Stop the guest and migrate it into *command*'s standard input.

    :raises RigError: the migration failed.
    """
    await guest.control.execute("stop", timeout_s=MONITOR_S)
    await guest.control.execute("migrate", {"uri": f"exec:{command}"}, timeout_s=MONITOR_S)
    while (status := await _status(guest, "query-migrate")) != "completed":
        if status in ("failed", "cancelled"):
            raise RigError(f"the migration {status}", reason="regressions")
        await anyio.sleep(0.002)
    while await _status(guest, "query-status") == "finish-migrate":
        await anyio.sleep(0.002)


async def loaded(guest: Guest) -> None:
    """Wait until an incoming migration is over."""
    while await _status(guest, "query-status") == "inmigrate":
        await anyio.sleep(0.01)


async def _status(guest: Guest, command: str) -> str:
    reply = await guest.control.execute(command, timeout_s=MONITOR_S)
    assert isinstance(reply, dict)
    return str(reply.get("status"))


def assembled(folder: Path) -> Path:
    """Assemble the ROM that sends INITs to an AP in SMM; return it.

    :raises RigError: there is no nasm.
    """
    rom = folder / "latched.bin"
    try:
        subprocess.run(["nasm", "-f", "bin", "-o", rom, Path(__file__).with_name("latched.asm")], check=True)
    except FileNotFoundError as error:
        raise RigError("there is no nasm on PATH; install the Debian package nasm", reason="needs") from error
    return rom

"""Confined guests of the host's own QEMU, for the tests of what plays on them."""

from __future__ import annotations

import os
import shutil
from functools import cache

from qstress.fuzz.confine import Confinement, confinement
from qstress.fuzz.executor import Executor
from qstress.fuzz.fuzzed_guest import FuzzedGuest, GuestSetup, guest_environment
from qstress.fuzz.ops import Await, Op, Open, Send, To

QEMU = os.path.realpath(shutil.which("qemu-system-x86_64") or "qemu-system-x86_64")
ARGUMENTS = (
    "-accel", "tcg", "-machine", "pc", "-smp", "2,maxcpus=4", "-m", "32M", "-nodefaults", "-no-user-config", "-display",
    "none",
)  # fmt: skip
CONNECT: tuple[Op, ...] = (
    Open(To.QMP),
    Send(To.QMP, b'{"execute": "qmp_capabilities", "id": "r1"}\n', Await.REPLY, "r1", "qmp_capabilities"),
    Open(To.HMP),
)


@cache
def confined() -> Confinement:
    """How guests are confined here."""
    return confinement(QEMU, {})


def plant(library: str, fault: str) -> tuple[tuple[str, str], ...]:
    """The environment that plants *fault*, such as ``crash:query-name`` (``planted.c``)."""
    return (("LD_PRELOAD", library), ("QSTRESS_PLANT", fault))


def guest_setup(env: tuple[tuple[str, str], ...] = ()) -> GuestSetup:
    """What replays need."""
    return GuestSetup(confinement(QEMU, dict(env)) if env else confined(), guest_environment(env))


def fuzzed_guest(*more: str) -> FuzzedGuest:
    """A guest, to be entered."""
    return guest_setup().guest(QEMU, (*ARGUMENTS, *more))


def connected(guest: FuzzedGuest, *, reply_s: float = 10.0) -> Executor:
    """A executor whose monitors are open."""
    executor = Executor(guest, reply_s=reply_s)
    outcome = executor.execute(CONNECT)
    assert all(outcome.results)
    return executor


def qmp(command: str, ident: str = "q1", arguments: str = "{}") -> Send:
    """One QMP command."""
    data = f'{{"execute": "{command}", "arguments": {arguments}, "id": "{ident}"}}\n'.encode()
    return Send(To.QMP, data, Await.REPLY, ident, command)


def hmp(line: str) -> Send:
    """One HMP line."""
    return Send(To.HMP, line.encode() + b"\n", Await.PROMPT, "", line)

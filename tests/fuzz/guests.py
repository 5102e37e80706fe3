"""Confined guests of the host's own QEMU, for the tests of what plays on them."""

from __future__ import annotations

import os
import shutil
from functools import cache

from qstress.fuzz.confine import Confinement, confinement
from qstress.fuzz.ops import Await, Op, Open, Send, To
from qstress.fuzz.player import Player
from qstress.fuzz.replay import Bench, environment
from qstress.fuzz.rig import Rig

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


def bench(env: tuple[tuple[str, str], ...] = ()) -> Bench:
    """What replays need."""
    return Bench(confinement(QEMU, dict(env)) if env else confined(), environment(env))


def rig(*more: str) -> Rig:
    """A guest, to be entered."""
    return Rig((QEMU, *ARGUMENTS, *more), confined(), env=environment(()))


def connected(guest: Rig, *, reply_s: float = 10.0) -> Player:
    """A player whose monitors are open."""
    player = Player(guest, reply_s=reply_s)
    played = player.play(CONNECT)
    assert all(played.results)
    return player


def qmp(command: str, ident: str = "q1", arguments: str = "{}") -> Send:
    """One QMP command."""
    data = f'{{"execute": "{command}", "arguments": {arguments}, "id": "{ident}"}}\n'.encode()
    return Send(To.QMP, data, Await.REPLY, ident, command)


def hmp(line: str) -> Send:
    """One HMP line."""
    return Send(To.HMP, line.encode() + b"\n", Await.PROMPT, "", line)

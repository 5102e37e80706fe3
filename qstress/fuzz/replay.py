"""A finding played again: on the QEMU it was found with, or on any other one."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qstress.errors import RigError
from qstress.fuzz import oracles
from qstress.fuzz.confine import Confinement
from qstress.fuzz.generator import Exchange, Judged
from qstress.fuzz.judge import Fault, Judge, Kind
from qstress.fuzz.ops import Await, Send, To
from qstress.fuzz.played import Played
from qstress.fuzz.player import Player
from qstress.fuzz.protocol import Fate, Reader
from qstress.fuzz.recording import Recording, Step
from qstress.fuzz.rig import Rig
from qstress.fuzz.schema import Schema

#: How long a guest of a replay may take to answer, once it is known that an answer comes at all.
REPLY_S = 10.0

_LAST = Send(To.QMP, b'{"execute": "query-yank", "id": "r0"}\n', Await.REPLY, "r0", "query-yank")


@dataclass(frozen=True, slots=True)
class Bench:
    """What replays need of this host: how QEMU is confined, its environment, and the deadline of a reply."""

    confinement: Confinement | None
    env: Mapping[str, str]
    reply_s: float = REPLY_S

    @property
    def host_bytes(self) -> int:
        """This host's memory."""
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def environment(added: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return QEMU's whole environment: nothing of ours but a path and a locale, and what its build adds."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/tmp", **dict(added)}


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one replay showed; ``changing`` are the ids of the commands that were carried out and do not only read.

    ``lingered_s`` is for how long QEMU was watched after the last of them.
    """

    faults: tuple[Fault, ...]
    changing: frozenset[str]
    lingered_s: float = 0.0


class Replays:
    """Plays recordings of one QEMU. The schema is asked for once."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._schema: Schema | None = None
        self.played = 0

    def play(self, recording: Recording) -> Replayed:
        """Play *recording* on a new guest, up to the first end, stall or recorded fault.

        :raises RigError: its QEMU cannot be started.
        """
        self.played += 1
        faults: list[Fault] = []
        changing: set[str] = set()
        lingered_s = 0.0
        with Rig((recording.binary, *recording.arguments), self._bench.confinement, env=self._bench.env) as rig:
            if self._schema is None:
                self._schema = ask_schema(rig)
            reader = Reader(self._schema)
            judge = Judge(reader, host_bytes=self._bench.host_bytes)
            player = Player(rig, reply_s=self._bench.reply_s)
            for step in recording.steps:
                played = player.play(step.ops)
                answers = judged(step, played, reader)
                changing.update(each.send.ident for each in answers if _changes(each))
                faults += judge.judge(Exchange(step.kind, step.ops, ()), played, answers)
                if played.over or any(map(recording.shows, faults)):
                    break
            else:
                if recording.kind is Kind.PROTOCOL:  # a second reply comes before the next one
                    played = player.play((_LAST,))
                    answers = judged(Step("last", (_LAST,)), played, reader)
                    faults += judge.judge(Exchange("last", (_LAST,), ()), played, answers)
                if recording.linger_s:
                    began_s = time.monotonic()
                    played = player.linger(recording.linger_s)
                    lingered_s = time.monotonic() - began_s
                    faults += judge.judge(Exchange("linger", (), ()), played, ())
        return Replayed(tuple(faults), frozenset(changing), lingered_s)

    def shows(self, recording: Recording) -> tuple[Fault | None, Replayed]:
        """Play *recording* once; return its fault if it shows. A guest that does not start shows nothing."""
        try:
            replayed = self.play(recording)
        except RigError:
            return None, Replayed((), frozenset())
        return next((fault for fault in replayed.faults if recording.shows(fault)), None), replayed


def _changes(each: Judged) -> bool:
    return bool(each.send.ident) and each.digest.fate is not Fate.REFUSED and not oracles.only_reads(each.send.command)


def judged(step: Step, played: Played, reader: Reader) -> list[Judged]:
    """Return each command of *step* with its answer, judged by *reader*."""
    return [
        Judged(op, reader.read(op, result if isinstance(result, bytes) else None))
        for op, result in zip(step.ops, played.results, strict=True)
        if isinstance(op, Send) and op.wait is not Await.NOTHING
    ]


def ask_schema(rig: Rig) -> Schema:
    """Return the schema of a live QEMU.

    :raises RigError: it does not tell it.
    """
    entries = rig.ask("query-qmp-schema", timeout_s=30.0)
    if not isinstance(entries, list):
        raise RigError("QEMU does not answer query-qmp-schema", reason="no-monitor")
    return Schema(entries)

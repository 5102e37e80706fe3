"""A finding played again: on the QEMU it was found with, or on any other one."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from qstress.errors import RigError
from qstress.fuzz.exchange import Exchange
from qstress.fuzz.executor import Executor
from qstress.fuzz.fuzzed_guest import FuzzedGuest, GuestSetup
from qstress.fuzz.judge import Judge, oracle_of, shows
from qstress.fuzz.ops import only_reads
from qstress.fuzz.oracles.oracle import Fault
from qstress.fuzz.protocol import Answered, Fate, Reader
from qstress.fuzz.recording import Recording
from qstress.fuzz.schema import Schema
from qstress.observe.stacks import AttachedDebugger, live_stacks
from qstress.observe.usage import memory_bytes


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one replay showed; ``changing`` are the ids of the commands that were carried out and do not only read.

    ``fault`` is the recorded one if it showed, ``faults`` are all. ``lingered_s`` is for how long QEMU was watched
    after the last command.
    """

    fault: Fault | None
    faults: tuple[Fault, ...] = ()
    changing: frozenset[str] = frozenset()
    lingered_s: float = 0.0


class Replays:
    """Plays recordings of one QEMU. The schema is asked for once."""

    def __init__(self, setup: GuestSetup) -> None:
        self._setup = setup
        self._schema: Schema | None = None

    def play(self, recording: Recording) -> Replayed:
        """Play *recording* on a new guest, up to the first end, stall or recorded fault.

        :raises RigError: its QEMU cannot be started.
        """
        with self._setup.guest(recording.binary, recording.arguments) as guest:
            return self._play_on(guest, recording)

    def stacks(self, recording: Recording) -> str:
        """Play *recording* once and return the stacks that QEMU's threads had when it showed; '' when it did not, or
        they tell nothing of such a fault."""
        at = oracle_of(recording.kind).stacks_at
        if not at:
            return ""
        with suppress(RigError), self._setup.guest(recording.binary, recording.arguments) as guest:
            if at == "silence":
                return live_stacks(guest.qemu_pid) if self._play_on(guest, recording).fault else ""
            with AttachedDebugger(guest.qemu_pid) as debugger:
                return debugger.stacks() if self._play_on(guest, recording).fault else ""
        return ""

    def _play_on(self, guest: FuzzedGuest, recording: Recording) -> Replayed:
        faults: list[Fault] = []
        changing: set[str] = set()
        lingered_s = 0.0
        if self._schema is None:
            self._schema = ask_schema(guest)
        reader = Reader(self._schema)
        judge = Judge(reader, host_bytes=memory_bytes())
        executor = Executor(guest, reply_s=self._setup.reply_s)
        coda = oracle_of(recording.kind).coda
        for step in (*recording.steps, *([Exchange("coda", coda)] if coda else [])):
            outcome = executor.execute(step.ops)
            answers = reader.answers(step, outcome)
            changing.update(each.send.ident for each in answers if _changes(each))
            faults += judge.judge(step, outcome, answers)
            if outcome.over or any(shows(recording, fault) for fault in faults):
                break
        else:
            if recording.linger_s:
                began_s = time.monotonic()
                outcome = executor.linger(recording.linger_s)
                lingered_s = time.monotonic() - began_s
                faults += judge.judge(Exchange("linger", ()), outcome, ())
        shown = next((fault for fault in faults if shows(recording, fault)), None)
        return Replayed(shown, tuple(faults), frozenset(changing), lingered_s)

    def try_play(self, recording: Recording) -> Replayed:
        """Play *recording* once; a guest that does not start shows nothing."""
        try:
            return self.play(recording)
        except RigError:
            return Replayed(None)


def _changes(each: Answered) -> bool:
    return bool(each.send.ident) and each.digest.fate is not Fate.REFUSED and not only_reads(each.send.command)


def ask_schema(guest: FuzzedGuest) -> Schema:
    """Return the schema of a live QEMU.

    :raises RigError: it does not tell it.
    """
    entries = guest.ask("query-qmp-schema", timeout_s=30.0)
    if not isinstance(entries, list):
        raise RigError("QEMU does not answer query-qmp-schema", reason="no-monitor")
    return Schema(entries)
